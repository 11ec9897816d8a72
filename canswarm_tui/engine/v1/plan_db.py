"""v1's plan store, `.state/plan.db`, read and never written: snapshot, rows in order, counts, faults.

SQLite is typed by value, not by column, so a row can hold anything anywhere: such a row is yielded as a `BadRow`.
A reader that streams holds a lock that makes v1's writer wait: take a `snapshot` of a live site and stream from that.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from canswarm_tui.engine.errors import SiteUnreadable, Unreachable
from canswarm_tui.engine.sqlite import sqlite_errors
from canswarm_tui.engine.v1.plan_open import connect, needs_recovery, recovered_copy
from canswarm_tui.engine.v1.plan_rows import (
    SCHEMA,
    BadRow,
    Column,
    Edge,
    Op,
    Task,
    edge_from,
    op_from,
    task_from,
)

_STEP_PAGES: Final = 4096
"""Pages copied under one lock: some milliseconds, so v1's writer hardly notices."""
_MAX_RESTARTS: Final = 3
"""SQLite starts a stepwise backup anew when the source is written to; past this, the rest goes under one lock."""
_MAX_WAITS: Final = 3
"""Times that a step waits for a lock, each as long as `connect`'s time-out and a little more."""
_NOT_UTF8: Final = "Could not decode to UTF-8"
"""How the sqlite3 module begins its complaint; it has no code of its own."""

Row = TypeVar("Row")
Pages = Callable[[int, int], None]
"""Called with (pages done, pages in all)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows as SQL counts them, bad ones included."""

    ops: int
    tasks: int
    edges: int
    threads: int
    """Distinct thread ids among the ops."""
    last_rowid: int
    """Largest rowid of an op; 0 where there is none."""
    ops_by_type: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlanDb:
    """A plan store that can be read. Thread-safe: every call opens a connection of its own."""

    path: Path
    """The file that was asked for."""
    source: Path
    """The file that is read: `path`, or a recovered copy of it outside the site."""
    recovered_from: str = ""
    """Why a copy is read: `hot journal` or `write-ahead log`; empty when `path` itself is."""

    @classmethod
    def open(cls, path: Path, scratch: Path) -> PlanDb:
        """Looks at the file; raises `SiteUnreadable`, or `Unreachable` while a writer holds it.

        A crashed writer leaves a hot journal that only a writer can roll back, and a write-ahead log can't be read
        without writing beside it. Both are recovered in a copy inside `scratch`; the site stays as it is.
        """
        if not path.is_file():
            raise SiteUnreadable(str(path), "there is no such file", "check site.root: v1 keeps it in .state/plan.db")
        with sqlite_errors(str(path)):
            reason = needs_recovery(path)
        if not reason:
            return cls(path, path)
        return cls(path, recovered_copy(path, scratch), reason)

    def snapshot(self, to: Path, progress: Pages | None = None) -> None:
        """A consistent copy by SQLite's backup API, mode 0600, of journal mode `delete`; replaces `to`."""
        with sqlite_errors(f"{self.path} → {to}"), closing(connect(self.source)) as source:
            to.unlink(missing_ok=True)
            to.touch(mode=0o600)
            with closing(sqlite3.connect(to, isolation_level=None)) as target:
                _backup(source, target, progress)
                target.execute("PRAGMA journal_mode=DELETE").fetchall()

    def ops(self, after_rowid: int | None = None) -> Iterator[Op | BadRow]:
        """The ops in insertion order (rowid), from the first one after `after_rowid`."""
        sql, values = _select("ops", "rowid", after_rowid)
        with sqlite_errors(str(self.path)), closing(connect(self.source)) as db:
            db.text_factory = str
            rowid = after_rowid
            try:
                for row in db.execute(sql, values):
                    yield Op(*row[:-1]) if row[-1] else _bad_row(db, "ops", row[0])
                    rowid = row[0]
                return
            except sqlite3.OperationalError as exc:
                if not str(exc).startswith(_NOT_UTF8):
                    raise
        # From the first text that is no UTF-8 on, each text is decoded here: a fifth slower, and the row has a name.
        yield from self._rows("ops", op_from, "rowid", rowid)

    def tasks(self) -> Iterator[Task | BadRow]:
        """Sorted by task id, as bytes."""
        return self._rows("tasks", task_from, "task_id")

    def edges(self) -> Iterator[Edge | BadRow]:
        """Sorted by parent, then child, as bytes."""
        return self._rows("edges", edge_from, "parent_id, child_id")

    def counts(self) -> Counts:
        """One pass over the tables."""
        with sqlite_errors(str(self.path)), closing(connect(self.source)) as db:
            by_type = db.execute("SELECT CAST(op_type AS TEXT), count(*) FROM ops GROUP BY 1 ORDER BY 1").fetchall()
            ops, last_rowid, threads = db.execute(
                "SELECT count(*), coalesce(max(rowid), 0), count(DISTINCT thread_id) FROM ops"
            ).fetchone()
            (tasks,) = db.execute("SELECT count(*) FROM tasks").fetchone()
            (edges,) = db.execute("SELECT count(*) FROM edges").fetchone()
        return Counts(ops, tasks, edges, threads, last_rowid, {_shown(name): count for name, count in by_type})

    def thread_ids(self) -> Iterator[str]:
        """Every thread id that an op names, once, sorted as bytes; values that are no text are left out."""
        sql = "SELECT DISTINCT thread_id FROM ops WHERE typeof(thread_id) = 'text' ORDER BY thread_id"
        with sqlite_errors(str(self.path)), closing(connect(self.source)) as db:
            yield from (_shown(row[0]) for row in db.execute(sql))

    def integrity_faults(self) -> tuple[str, ...]:
        """What `PRAGMA integrity_check` says, at most 100 lines; empty when it says ok."""
        with sqlite_errors(str(self.path)), closing(connect(self.source)) as db:
            try:
                lines = tuple(_shown(row[0]) for row in db.execute("PRAGMA integrity_check(100)"))
            except sqlite3.DatabaseError as exc:
                if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise
                lines = (str(exc),)  # damage that the check itself stumbles over
        return () if lines == ("ok",) else lines

    def schema_faults(self) -> tuple[str, ...]:
        """How tables and columns differ from v1's, a line each; empty when they are the same. Indexes don't matter."""
        with sqlite_errors(str(self.path)), closing(connect(self.source)) as db:
            found = {table: _declared(db, table) for table in SCHEMA}
        return tuple(fault for table in SCHEMA for fault in _schema_faults(table, found[table]))

    def _rows(
        self, table: str, make: Callable[..., Row], order: str, after: int | None = None
    ) -> Iterator[Row | BadRow]:
        sql, values = _select(table, order, after)
        with sqlite_errors(str(self.path)), closing(connect(self.source)) as db:
            for row in db.execute(sql, values):
                made: Row | None = None
                if row[-1]:
                    try:
                        made = make(row)
                    except UnicodeDecodeError:
                        made = None
                yield _bad_row(db, table, row[0]) if made is None else made


def _select(table: str, order: str, after: int | None) -> tuple[str, tuple[int, ...]]:
    kinds = {name: ", ".join(f"'{kind}'" for kind in column.kinds) for name, column in SCHEMA[table].items()}
    sound = " AND ".join(f"typeof({name}) IN ({allowed})" for name, allowed in kinds.items())
    where = "" if after is None else "WHERE rowid > ?"
    sql = f"SELECT rowid, {', '.join(kinds)}, {sound} FROM {table} {where} ORDER BY {order}"
    return sql, () if after is None else (after,)


def _bad_row(db: sqlite3.Connection, table: str, rowid: int) -> BadRow:
    names = tuple(SCHEMA[table])
    typed = ", ".join(f"typeof({name}), CAST({name} AS BLOB)" for name in names)
    row = db.execute(f"SELECT {typed} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
    found = {name: (_shown(row[2 * at]), row[2 * at + 1]) for at, name in enumerate(names)}
    faults = tuple(fault for name, (kind, value) in found.items() if (fault := _fault(table, name, kind, value)))
    return BadRow(table, rowid, f"rowid {rowid} ({_shown(found[names[0]][1])})", faults)


def _fault(table: str, name: str, kind: str, value: object) -> str:
    if kind not in SCHEMA[table][name].kinds:
        return f"{name} is {kind}"
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return f"{name} is not UTF-8"
    return ""


def _shown(value: object) -> str:
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _declared(db: sqlite3.Connection, table: str) -> dict[str, Column]:
    rows = db.execute(f"PRAGMA table_info({table})")
    return {
        name.decode(): Column(declared.decode().upper(), (), bool(strict), key)
        for _, name, declared, strict, _, key in rows
    }


def _schema_faults(table: str, found: Mapping[str, Column]) -> Iterator[str]:
    if not found:
        yield f"table {table} is missing"
        return
    for name, column in SCHEMA[table].items():
        there = found.get(name)
        if there is None:
            yield f"column {table}.{name} is missing"
        elif (there.declared, there.not_null, there.key) != (column.declared, column.not_null, column.key):
            yield f"column {table}.{name} is declared otherwise than by v1"
    yield from (f"column {table}.{name} is not v1's" for name in found if name not in SCHEMA[table])


def _backup(source: sqlite3.Connection, target: sqlite3.Connection, progress: Pages | None) -> None:
    try:
        source.backup(target, pages=_STEP_PAGES, progress=_Steps(progress, _MAX_RESTARTS).step, sleep=0)
    except _Restarted:
        source.backup(target, pages=-1, progress=_Steps(progress, 0).step)


class _Restarted(Exception):
    """The source is written to faster than it can be copied in steps."""


class _Steps:
    """Watches a backup that would otherwise go on for ever beside a busy writer.

    SQLite's only sign of a restart is that no fewer pages remain than before; it waits for a lock without end.
    """

    def __init__(self, progress: Pages | None, max_restarts: int) -> None:
        self._progress = progress
        self._restarts_left = max_restarts
        self._waits_left = _MAX_WAITS
        self._left = sys.maxsize

    def step(self, status: int, left: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            self._waits_left -= 1
            if self._waits_left == 0:
                raise Unreachable("plan store", "a writer keeps it locked", "stop v1's writer, or try again")
            return
        if left >= self._left:
            self._restarts_left -= 1
            if self._restarts_left < 0:
                raise _Restarted
        self._left = left
        if self._progress is not None:
            self._progress(total - left, total)
