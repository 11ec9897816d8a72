"""The journal of one run and a step's view of it. One process writes; any number may read."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import batches, findings
from canswarm_tui.engine.journal.batches import Batch, ClosedBatch, Receipt, ReceiptFate
from canswarm_tui.engine.journal.findings import FindingStatus, StoredFinding
from canswarm_tui.engine.journal.schema import connect, translate
from canswarm_tui.engine.records import Wanted
from canswarm_tui.engine.step import Comparison, Finding, Outcome, Verb, Verdict

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class StepState(StrEnum):
    """Where a step stands, as the journal knows it; `ready` and `blocked` are derived from its neighbours."""

    NOT_STARTED = "not started"
    RUNNING = "running"
    STOPPED = "stopped"
    NEEDS_ATTENTION = "needs attention"
    DONE = "done"
    PROVED = "proved"
    UNDONE = "undone"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The journal's row of one step; times are seconds since 1970."""

    step: str
    state: StepState = StepState.NOT_STARTED
    changed_at: float | None = None
    outcome: Outcome | None = None
    outcome_at: float | None = None
    verdict: Verdict | None = None
    verdict_at: float | None = None
    wrote_at: float | None = None
    error: str | None = None

    @property
    def verdict_is_fresh(self) -> bool:
        """The verdict is newer than the last write to that target."""
        return self.verdict_at is not None and (self.wrote_at is None or self.verdict_at > self.wrote_at)


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
        with journal._transaction("setup") as db:
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
        with self._reading() as db:
            return dict(db.execute("SELECT name, value FROM setup").fetchall())

    def pin(self, name: str, value: str) -> None:
        """Remember what a target is at its first use; raises `SettingsError` when it is another one later."""
        with self._transaction("pin") as db:
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
        with self._reading() as db:
            rows = db.execute(
                "SELECT step, state, changed_at, outcome, outcome_at, verdict, verdict_at, wrote_at, error FROM steps"
            ).fetchall()
        return {row[0]: _step_record(row) for row in rows}

    def findings(
        self, *, step: str | None = None, identity: str | None = None, with_gone: bool = False
    ) -> list[StoredFinding]:
        with self._reading() as db:
            return list(findings.read(db, step=step, identity=identity, with_gone=with_gone))

    def waiting_findings(self) -> int:
        with self._reading() as db:
            return findings.count_waiting(db)

    def decide(self, finding: StoredFinding, status: FindingStatus, who: str, reason: str) -> None:
        """Record a person's decision; who, when and why stay in the history."""
        with self._transaction("decide") as db:
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
        with self._reading() as db:
            rows = db.execute(
                "SELECT id, at, step, verb, what, data FROM history"
                " WHERE id > ? AND (? IS NULL OR step = ?) ORDER BY id LIMIT ?",
                (after, step, step, limit),
            ).fetchall()
        return [(n, at, of, verb, what, json.loads(data)) for n, at, of, verb, what, data in rows]

    def note(self, step: str, verb: str, what: str, data: Mapping[str, Json] | None = None) -> int:
        with self._transaction("note") as db:
            return self._note(db, step, verb, what, data or {})

    def ask(self, what: str, data: Mapping[str, Json] | None = None) -> None:
        """Leave a request for the process that runs, such as `stop`."""
        with self._transaction("ask") as db:
            db.execute(
                "INSERT INTO requests (at, what, data) VALUES (?, ?, ?)",
                (time.time(), what, json.dumps(data or {})),
            )

    def take_requests(self) -> list[tuple[str, dict[str, Json]]]:
        """Requests not yet taken, oldest first; they count as taken now."""
        with self._reading() as db:
            rows = db.execute("SELECT id, what, data FROM requests WHERE done_at IS NULL ORDER BY id").fetchall()
        if rows:
            with self._transaction("take requests") as db:
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
    def _transaction(self, boundary: str) -> Iterator[sqlite3.Connection]:
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
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                yield self._db
            except sqlite3.Error as exc:
                raise translate(exc, self.path) from exc


class StepJournal:
    """One step's view of the journal."""

    def __init__(self, journal: Journal, step: str) -> None:
        self._journal = journal
        self.step = step

    @property
    def run_id(self) -> str:
        return self._journal.run_id

    def sibling(self, step: str) -> StepJournal:
        """Another step's view, to read its receipts."""
        return StepJournal(self._journal, step)

    def close(self) -> None:
        """Close the whole journal."""
        self._journal.close()

    def pin(self, name: str, value: str) -> None:
        self._journal.pin(name, value)

    def record(self) -> StepRecord:
        return self._journal.records().get(self.step, StepRecord(self.step))

    def open_batches(self) -> list[Batch]:
        """Batches whose effect is unknown: intended, but without receipts."""
        with self._journal._reading() as db:
            return batches.open_batches(db, self.step)

    def next_batch_number(self) -> int:
        with self._journal._reading() as db:
            number: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM batches").fetchone()[0]
            return number

    def commit(self, opened: Sequence[Batch] = (), closed: Sequence[ClosedBatch] = ()) -> None:
        """Intents and receipts in one transaction. Opened batches carry numbers from `next_batch_number` on."""
        if not opened and not closed:
            return
        boundary = "+".join(name for name, there in (("intent", opened), ("receipts", closed)) if there)
        with self._journal._transaction(boundary) as db:
            batches.write_intents(db, self.step, opened)
            batches.write_receipts(db, self.step, closed)
            if any(r.fate is ReceiptFate.CREATED for c in closed for r in c.receipts) or opened:
                self._touch(db)

    def receipts(self, after: bytes = b"", fates: Sequence[ReceiptFate] = batches.STANDING) -> Iterator[Receipt]:
        """Receipts in key order, by default those of records that are at the target. Pages; safe beside `commit`."""
        pages = batches.read_receipts(self._journal._db, self.step, after, fates)
        while True:
            with self._journal._reading():
                page = list(islice(pages, batches.PAGE))
            if not page:
                return
            yield from page

    def receipt(self, key: bytes) -> Receipt | None:
        with self._journal._reading() as db:
            row = db.execute(
                "SELECT key, digest, size, fate, place, batch FROM receipts WHERE step = ? AND key = ?",
                (self.step, key),
            ).fetchone()
        return None if row is None else Receipt(row[0], row[1], row[2], ReceiptFate(row[3]), row[4], row[5])

    def count_receipts(self, fates: Sequence[ReceiptFate] = batches.STANDING) -> int:
        marks = ",".join("?" * len(fates))
        with self._journal._reading() as db:
            number: int = db.execute(
                f"SELECT count(*) FROM receipts WHERE step = ? AND fate IN ({marks})",
                (self.step, *map(int, fates)),
            ).fetchone()[0]
            return number

    def batches_with(self, fate: ReceiptFate) -> Iterator[tuple[Batch, tuple[Receipt, ...]]]:
        """Closed batches that have receipts of this fate, the newest first, each with just those receipts."""
        with self._journal._reading() as db:
            numbers = db.execute(
                "SELECT DISTINCT r.batch, b.tag FROM receipts r JOIN batches b ON b.id = r.batch"
                " WHERE r.step = ? AND r.fate = ? ORDER BY r.batch DESC",
                (self.step, int(fate)),
            ).fetchall()
        for number, tag in numbers:
            with self._journal._reading() as db:
                rows = db.execute(
                    "SELECT key, digest, size, fate, place, batch FROM receipts"
                    " WHERE batch = ? AND step = ? AND fate = ? ORDER BY key",
                    (number, self.step, int(fate)),
                ).fetchall()
            receipts = tuple(Receipt(r[0], r[1], r[2], ReceiptFate(r[3]), r[4], r[5]) for r in rows)
            yield Batch(number, tag, tuple(Wanted(r.key, r.digest, r.size) for r in receipts)), receipts

    def put_receipt(self, receipt: Receipt) -> None:
        """Record what a person decided about one record, outside any batch (batch 0)."""
        with self._journal._transaction("receipt") as db:
            db.execute(
                "INSERT OR REPLACE INTO receipts (step, key, digest, size, fate, place, batch)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.step, receipt.key, receipt.digest, receipt.size, int(receipt.fate), receipt.place, receipt.batch),
            )
            if receipt.fate is ReceiptFate.REPLACED:
                self._touch(db)

    def set_fates(self, keys: Iterable[bytes], fate: ReceiptFate) -> None:
        """Change what is known of records that have a receipt, such as LOST after a verify or REMOVED by an undo."""
        with self._journal._transaction("fates") as db:
            db.executemany(
                "UPDATE receipts SET fate = ? WHERE step = ? AND key = ?",
                ((int(fate), self.step, k) for k in keys),
            )
            if fate is ReceiptFate.REMOVED:
                self._touch(db)

    def add_finding(self, verb: Verb, sweep: int, seen: Iterable[Finding]) -> list[str]:
        with self._journal._transaction("findings") as db:
            return [findings.store(db, self.step, verb.value, sweep, f) for f in seen]

    def sweep_out(self, verb: Verb, sweep: int) -> None:
        with self._journal._transaction("sweep") as db:
            findings.sweep_out(db, self.step, verb.value, sweep)

    def findings(self) -> list[StoredFinding]:
        return self._journal.findings(step=self.step)

    def waiting_findings(self, *, everywhere: bool = False) -> int:
        """Open findings of this step, or of all, that need a person."""
        with self._journal._reading() as db:
            return findings.count_waiting(db, None if everywhere else self.step)

    def note(self, verb: Verb, what: str, data: Mapping[str, Json] | None = None) -> int:
        return self._journal.note(self.step, verb.value, what, data)

    def fact(self, name: str) -> Json:
        """A fact remembered with `set_fact`, or None."""
        with self._journal._reading() as db:
            row = db.execute("SELECT value FROM facts WHERE step = ? AND name = ?", (self.step, name)).fetchone()
        value: Json = None if row is None else json.loads(row[0])
        return value

    def set_fact(self, name: str, value: Json) -> None:
        with self._journal._transaction("fact") as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (self.step, name, json.dumps(value)))

    def keep_replaced(self, key: bytes, value: bytes) -> None:
        """Keep, whole, what a person lets us overwrite; before it is overwritten."""
        with self._journal._transaction("replaced") as db:
            db.execute("INSERT OR IGNORE INTO replaced VALUES (?, ?, ?)", (self.step, key, value))

    def replaced(self) -> list[tuple[bytes, bytes]]:
        with self._journal._reading() as db:
            return db.execute("SELECT key, value FROM replaced WHERE step = ? ORDER BY key", (self.step,)).fetchall()

    def forget_replaced(self, key: bytes) -> None:
        with self._journal._transaction("replaced") as db:
            db.execute("DELETE FROM replaced WHERE step = ? AND key = ?", (self.step, key))

    def mark_write(self) -> None:
        """The target is about to change, by something other than a batch: earlier verdicts are stale."""
        with self._journal._transaction("write mark") as db:
            self._touch(db)

    def set_state(
        self,
        state: StepState,
        *,
        outcome: Outcome | None = None,
        verdict: Verdict | None = None,
        error: str | None = None,
    ) -> None:
        """Record where the step stands; an outcome or verdict given becomes its newest, NOT_STARTED forgets both."""
        now = time.time()
        with self._journal._transaction("state") as db:
            db.execute(
                "INSERT OR IGNORE INTO steps (step, state, changed_at) VALUES (?, ?, ?)",
                (self.step, state.value, now),
            )
            db.execute(
                "UPDATE steps SET state = ?, changed_at = ?, error = ? WHERE step = ?",
                (state.value, now, error, self.step),
            )
            if state is StepState.NOT_STARTED:
                db.execute("UPDATE steps SET outcome = NULL, verdict = NULL WHERE step = ?", (self.step,))
            if outcome is not None:
                db.execute(
                    "UPDATE steps SET outcome = ?, outcome_at = ? WHERE step = ?",
                    (json.dumps(asdict(outcome)), now, self.step),
                )
            if verdict is not None:
                db.execute(
                    "UPDATE steps SET verdict = ?, verdict_at = ? WHERE step = ?",
                    (json.dumps(asdict(verdict)), now, self.step),
                )

    def _touch(self, db: sqlite3.Connection) -> None:
        now = time.time()
        db.execute(
            "INSERT INTO steps (step, state, changed_at, wrote_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (step) DO UPDATE SET wrote_at = excluded.wrote_at",
            (self.step, StepState.RUNNING.value, now, now),
        )


def _has_begun(db: sqlite3.Connection) -> bool:
    """Whether anything but a preflight has been done, or was under way."""
    done = "SELECT 1 FROM steps WHERE step <> 'preflight' AND (outcome IS NOT NULL OR wrote_at IS NOT NULL) LIMIT 1"
    under_way = "SELECT 1 FROM batches LIMIT 1"
    return any(db.execute(sql).fetchone() is not None for sql in (done, under_way))


def _step_record(row: tuple[str, ...]) -> StepRecord:
    step, state, changed_at, outcome, outcome_at, verdict, verdict_at, wrote_at, error = row
    return StepRecord(
        step,
        StepState(state),
        float(changed_at),
        None if outcome is None else Outcome(**json.loads(outcome)),
        None if outcome_at is None else float(outcome_at),
        None if verdict is None else verdict_from_json(json.loads(verdict)),
        None if verdict_at is None else float(verdict_at),
        None if wrote_at is None else float(wrote_at),
        error,
    )


def verdict_from_json(data: dict[str, object]) -> Verdict:
    comparisons = data.pop("comparisons")
    assert isinstance(comparisons, list)
    return Verdict(comparisons=tuple(Comparison(**c) for c in comparisons), **data)  # type: ignore[arg-type]
