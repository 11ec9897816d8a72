"""The journal of one run. One process writes; any number may read."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import findings
from canswarm_tui.engine.journal.findings import FindingStatus, StoredFinding
from canswarm_tui.engine.journal.schema import Json, connect, translate
from canswarm_tui.engine.journal.state import INTERRUPTED, StepRecord, StepState, step_record
from canswarm_tui.engine.journal.step_view import StepJournal


class Journal:
    """Opened with `open` by the one that runs, with `observe` by those that only look.

    Methods may be called from any thread; each is one transaction. Raises `NoSpace`, `Unreachable` (locked) and
    `SiteUnreadable` (damaged) for what SQLite says of its file.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, *, fault: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._db = db
        self._mutex = threading.RLock()
        self._fault = fault or (lambda _boundary: None)

    @classmethod
    def open(cls, path: Path, setup: Mapping[str, str], *, fault: Callable[[str], None] | None = None) -> Journal:
        """Open or make the journal at `path` for a site described by `setup`; another site's journal is refused.

        `fault` is called with the name of each boundary (`before:…`, `after:…` a commit); tests kill the process there.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal = cls(path, connect(path), fault=fault)
        with journal.transaction("setup") as db:
            db.execute("INSERT OR IGNORE INTO setup VALUES ('run_id', ?)", (uuid.uuid4().hex[:12],))
            if not _has_begun(db):
                # Nothing was done yet: a setting that was wrong at the first look may be put right.
                db.executemany("DELETE FROM setup WHERE name = ?", ((name,) for name in setup))
            for name, value in setup.items():
                journal._pin(db, name, value)
        return journal

    @classmethod
    def join(cls, path: Path) -> Journal:
        """Open an existing journal beside a live run, to leave a request or a decision. Raises `SettingsError`."""
        if not path.exists():
            raise SettingsError(str(path), "nothing has run for this site yet", "run `canswarm-tui run` first")
        return cls(path, connect(path))

    @classmethod
    def observe(cls, path: Path) -> Journal:
        """Open an existing journal read-only, beside a live run. Raises `SiteUnreadable` where there is none."""
        return cls(path, connect(path, read_only=True))

    def close(self) -> None:
        with self._mutex:
            self._db.close()

    @property
    def run_id(self) -> str:
        return str(self.setup()["run_id"])

    def setup(self) -> dict[str, str]:
        with self.reading() as db:
            return dict(db.execute("SELECT name, value FROM setup").fetchall())

    def pin(self, name: str, value: str) -> None:
        """Remember what a target is at its first use; raises `SettingsError` when it is another one later."""
        with self.transaction("pin") as db:
            self._pin(db, f"pin:{name}", value)

    def _pin(self, db: sqlite3.Connection, name: str, value: str) -> None:
        db.execute("INSERT OR IGNORE INTO setup VALUES (?, ?)", (name, value))
        known = db.execute("SELECT value FROM setup WHERE name = ?", (name,)).fetchone()[0]
        if known != value:
            raise SettingsError(
                name.removeprefix("pin:"),
                f"this run began with {known}, the settings now say {value}",
                "put the setting back, or begin another run with another state folder (CANSWARM_STATE_DIR)",
            )

    def step(self, name: str) -> StepJournal:
        return StepJournal(self, name)

    def records(self) -> dict[str, StepRecord]:
        """The steps that the journal knows, by name."""
        with self.reading() as db:
            rows = db.execute(
                "SELECT step, state, changed_at, outcome, outcome_at, verdict, verdict_at, wrote_at, error FROM steps"
            ).fetchall()
        return {row[0]: step_record(row) for row in rows}

    def end_interrupted(self) -> None:
        """What an earlier run left running is stopped: only for who holds the site."""
        if any(record.state is StepState.RUNNING for record in self.records().values()):
            with self.transaction("interrupted") as db:
                db.execute(
                    "UPDATE steps SET state = ?, error = ? WHERE state = ?",
                    (StepState.STOPPED, INTERRUPTED, StepState.RUNNING),
                )

    def findings(
        self, *, step: str | None = None, identity: str | None = None, with_gone: bool = False
    ) -> list[StoredFinding]:
        with self.reading() as db:
            return list(findings.read(db, step=step, identity=identity, with_gone=with_gone))

    def waiting_findings(self) -> int:
        with self.reading() as db:
            return findings.count_waiting(db)

    def decide(self, finding: StoredFinding, status: FindingStatus, who: str, reason: str) -> None:
        """Record a person's decision; who, when and why stay in the history."""
        with self.transaction("decide") as db:
            findings.decide(db, finding.id, status, who, reason)
            self._note(
                db,
                finding.step,
                "",
                f"finding {status.value}",
                {"id": finding.id, "who": who, "reason": reason},
            )

    def history(
        self, *, after: int = 0, step: str | None = None, limit: int = 1000
    ) -> list[tuple[int, float, str, str, str, dict[str, Json]]]:
        """Rows (id, at, step, verb, what, data) after an id, oldest first."""
        with self.reading() as db:
            rows = db.execute(
                "SELECT id, at, step, verb, what, data FROM history"
                " WHERE id > ? AND (? IS NULL OR step = ?) ORDER BY id LIMIT ?",
                (after, step, step, limit),
            ).fetchall()
        return [(n, at, of, verb, what, json.loads(data)) for n, at, of, verb, what, data in rows]

    def note(self, step: str, verb: str, what: str, data: Mapping[str, Json] | None = None) -> int:
        with self.transaction("note") as db:
            return self._note(db, step, verb, what, data or {})

    def ask(self, what: str, data: Mapping[str, Json] | None = None) -> None:
        """Leave a request for the process that runs, such as `stop`."""
        with self.transaction("ask") as db:
            db.execute(
                "INSERT INTO requests (at, what, data) VALUES (?, ?, ?)",
                (time.time(), what, json.dumps(data or {})),
            )

    def take_requests(self) -> list[tuple[str, dict[str, Json]]]:
        """Requests not yet taken, oldest first; they count as taken now."""
        with self.reading() as db:
            rows = db.execute("SELECT id, what, data FROM requests WHERE done_at IS NULL ORDER BY id").fetchall()
        if rows:
            with self.transaction("take requests") as db:
                db.execute(
                    "UPDATE requests SET done_at = ? WHERE id <= ? AND done_at IS NULL",
                    (time.time(), rows[-1][0]),
                )
        return [(what, json.loads(data)) for _, what, data in rows]

    @staticmethod
    def _note(db: sqlite3.Connection, step: str, verb: str, what: str, data: Mapping[str, Json]) -> int:
        cursor = db.execute(
            "INSERT INTO history (at, step, verb, what, data) VALUES (?, ?, ?, ?, ?)",
            (time.time(), step, verb, what, json.dumps(dict(data), sort_keys=True)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    @contextmanager
    def transaction(self, boundary: str) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                self._fault(f"before:{boundary}")
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
                self._fault(f"after:{boundary}")
            except sqlite3.Error as exc:
                raise translate(exc, self.path) from exc

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                yield self._db
            except sqlite3.Error as exc:
                raise translate(exc, self.path) from exc


def _has_begun(db: sqlite3.Connection) -> bool:
    """Whether anything but a preflight has been done, or was under way."""
    done = "SELECT 1 FROM steps WHERE step <> 'preflight' AND (outcome IS NOT NULL OR wrote_at IS NOT NULL) LIMIT 1"
    under_way = "SELECT 1 FROM batches LIMIT 1"
    return any(db.execute(sql).fetchone() is not None for sql in (done, under_way))
