"""The plan store in a backup: copied by SQLite, and known by a digest of what it means and not of its pages.

Free pages, the change counter and side files may differ between two equal stores; schema, rowids and rows may not.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from canswarm_tui.engine.backup.disk import Stop
from canswarm_tui.engine.backup.manifest import PLAN_COPY, PlanCopy
from canswarm_tui.engine.errors import Stopped
from canswarm_tui.engine.sqlite import sqlite_errors
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_open import connect

_ROWS: Final = 2000
_OPCODES: Final = 100_000
"""Steps of SQLite's machine between two looks at `stop`: some milliseconds."""


def copy_plan(plan_db: Path, folder: Path, stop: Stop) -> PlanCopy:
    """A snapshot of a plan store that may be in use, into `folder`; raises `SiteUnreadable`, `Unreachable`.

    Damage within the file is no error here: it is copied as it is and told in `integrity`.
    """
    source = PlanDb.open(plan_db, folder / "scratch")
    status = plan_db.stat()
    copy = folder / PLAN_COPY
    source.snapshot(copy, lambda _done, _total: stop())
    integrity = _integrity(copy, stop)
    logical = "" if integrity else digest(copy, stop)
    return PlanCopy(
        status.st_mode & 0o7777,
        status.st_mtime_ns,
        status.st_uid,
        status.st_gid,
        logical,
        source.recovered_from,
        integrity,
    )


def _integrity(plan_db: Path, stop: Stop) -> tuple[str, ...]:
    """What `PRAGMA integrity_check` says, empty for ok; unlike the store's own reader it can be stopped within."""
    stopped: list[Stopped] = []

    def look() -> int:
        try:
            stop()
        except Stopped as exc:
            stopped.append(exc)
        return len(stopped)

    with sqlite_errors(str(plan_db)), closing(connect(plan_db)) as db:
        db.text_factory = _text
        db.set_progress_handler(look, _OPCODES)
        try:
            lines = tuple(row[0] for row in db.execute("PRAGMA integrity_check(100)"))
        except sqlite3.DatabaseError as exc:
            if stopped:
                raise stopped[0] from None
            if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            lines = (str(exc),)
    return () if lines == ("ok",) else lines


def digest(plan_db: Path, stop: Stop) -> str:
    """SHA-256 over the schema, then every row of every table with its rowid, in order; raises `SiteUnreadable`.

    Values keep their SQLite type; text that is no UTF-8 counts byte for byte.
    """
    hasher = hashlib.sha256()
    with sqlite_errors(str(plan_db)), closing(connect(plan_db)) as db:
        db.text_factory = _text
        schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        hasher.update(repr(schema).encode("utf-8", "surrogateescape"))
        for kind, name, *_ in schema:
            if kind == "table":
                _hash_table(db, name, hasher, stop)
    return hasher.hexdigest()


def _hash_table(db: sqlite3.Connection, name: str, hasher: hashlib._Hash, stop: Stop) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    hasher.update(f"table {name}".encode("utf-8", "surrogateescape"))
    try:
        rows = db.execute(f"SELECT rowid, * FROM {quoted} ORDER BY rowid")
    except sqlite3.OperationalError:  # WITHOUT ROWID: no table of v1, but it may be there
        rows = db.execute(f"SELECT * FROM {quoted}")
    while batch := rows.fetchmany(_ROWS):
        stop()
        hasher.update(repr(batch).encode("utf-8", "surrogateescape"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
