"""Findings as the journal keeps them: what was seen, whether it still stands, and who decided what about it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from canswarm_tui.engine.step import Finding, Kind, Level


class FindingStatus(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"
    """A person accepts it as it is, with a reason."""
    RESOLVED = "resolved"
    """A person chose which of two values is kept."""
    GONE = "gone"
    """A later look did not see it any more."""


@dataclass(frozen=True, slots=True)
class StoredFinding:
    id: str
    step: str
    verb: str
    finding: Finding
    status: FindingStatus
    first_seen: float
    last_seen: float
    decided_by: str | None
    decided_at: float | None
    reason: str | None

    @property
    def wants_decision(self) -> bool:
        return self.status is FindingStatus.OPEN and self.finding.needs_person


_COLUMNS = (
    "id, step, verb, code, level, kind, subject, happened, remedy, details, status, first_seen, last_seen,"
    " decided_by, decided_at, reason"
)
_WAITING = "status = 'open' AND kind <> 'condition'"
"""See `StoredFinding.wants_decision`."""


def store(db: sqlite3.Connection, step: str, verb: str, sweep: int, finding: Finding) -> str:
    """Insert or renew; a finding that was gone, or whose facts have changed since it was decided, is open again."""
    now = time.time()
    identity = finding.identity(step)
    details = json.dumps(dict(finding.details), sort_keys=True)
    changed = finding.needs_person and _sees_otherwise(db, step, identity, verb, details)
    db.execute(
        """
        INSERT INTO findings (id, step, verb, code, level, kind, subject, happened, remedy, details,
                              first_seen, last_seen, sweep, status)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')
        ON CONFLICT (id) DO UPDATE SET
            verb = excluded.verb, level = excluded.level, last_seen = excluded.last_seen, sweep = excluded.sweep,
            remedy = excluded.remedy,
            status = CASE WHEN status = 'gone' OR ? OR kind <> excluded.kind
                               OR (kind = 'condition' AND details <> excluded.details)
                               OR (kind <> 'condition' AND happened <> excluded.happened)
                          THEN 'open' ELSE status END,
            kind = excluded.kind, happened = excluded.happened, details = excluded.details
        """,
        (
            identity, step, verb, finding.code, finding.level.value, finding.kind.value, _storable(finding.subject),
            _storable(finding.happened), _storable(finding.remedy), details, now, now, sweep, changed,
        ),
    )  # fmt: skip
    return identity


def _sees_otherwise(db: sqlite3.Connection, step: str, identity: str, verb: str, details: str) -> bool:
    """Whether the same verb saw other details before: a run and a verify may tell the same fact in different words.

    A verb's first look is held against what any other saw last.
    """
    look = f"finding {identity}, {verb}"
    before = (
        db.execute("SELECT value FROM facts WHERE step = ? AND name = ?", (step, look)).fetchone()
        or db.execute("SELECT details FROM findings WHERE id = ?", (identity,)).fetchone()
    )
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (step, look, details))
    return before is not None and before[0] != details


def sweep_out(db: sqlite3.Connection, step: str, verb: str, sweep: int, check: str | None = None) -> None:
    """After a whole look, or that of one check: what it did not see again is gone."""
    db.execute(
        "UPDATE findings SET status = 'gone' WHERE step = ? AND verb = ? AND sweep < ? AND status <> 'gone'"
        " AND (? IS NULL OR json_extract(details, '$.check') = ?)",
        (step, verb, sweep, check, check),
    )


def close_compared(db: sqlite3.Connection, step: str) -> None:
    """What nobody has decided of two values, one of which is not there any more, is gone."""
    db.execute(
        "UPDATE findings SET status = 'gone' WHERE step = ? AND status = 'open' AND kind IN (?, ?)",
        (step, Kind.CONFLICT, Kind.DIFFERENCE),
    )


def decide(db: sqlite3.Connection, identity: str, status: FindingStatus, who: str, reason: str) -> None:
    db.execute(
        "UPDATE findings SET status = ?, decided_by = ?, decided_at = ?, reason = ? WHERE id = ?",
        (status.value, who, time.time(), reason, identity),
    )


def read(
    db: sqlite3.Connection, *, step: str | None = None, identity: str | None = None, with_gone: bool = False
) -> Iterator[StoredFinding]:
    """Findings, the gravest first, then by step and subject."""
    where, values = ["1"], []
    if step is not None:
        where.append("step = ?")
        values.append(step)
    if identity is not None:
        where.append("id LIKE ? || '%'")
        values.append(identity)
    if not with_gone:
        where.append("status <> 'gone'")
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM findings WHERE {' AND '.join(where)}"
        " ORDER BY CASE level WHEN 'blocker' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, step, code, subject",
        values,
    )
    for row in rows:
        yield _stored(row)


def count_waiting(db: sqlite3.Connection, step: str | None = None) -> int:
    """How many open findings need a person."""
    where, values = (_WAITING, ()) if step is None else (f"{_WAITING} AND step = ?", (step,))
    count: int = db.execute(f"SELECT count(*) FROM findings WHERE {where}", values).fetchone()[0]
    return count


def is_waiting(db: sqlite3.Connection, step: str) -> bool:
    """Whether an open finding of this step needs a person."""
    sql = f"SELECT 1 FROM findings WHERE {_WAITING} AND step = ? LIMIT 1"
    return db.execute(sql, (step,)).fetchone() is not None


def _stored(row: tuple[str, ...]) -> StoredFinding:
    (
        identity,
        step,
        verb,
        code,
        level,
        kind,
        subject,
        happened,
        remedy,
        details,
        status,
        first,
        last,
        by,
        at,
        why,
    ) = row
    finding = Finding(code, Level(level), Kind(kind), subject, happened, remedy, json.loads(details))
    return StoredFinding(
        identity,
        step,
        verb,
        finding,
        FindingStatus(status),
        float(first),
        float(last),
        by,
        None if at is None else float(at),
        why,
    )


def _storable(text: str) -> str:
    """SQLite stores UTF-8: what has none (lone surrogates) is written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
