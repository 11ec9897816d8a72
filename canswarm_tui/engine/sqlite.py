"""SQLite's exceptions as engine errors, and temporary databases: one border for every SQLite file of the engine."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, SiteUnreadable, Unreachable

_PRIMARY_CODE: Final = 0xFF
"""Mask of an extended result code: its low byte is the primary code."""
_CACHE_KIB: Final = 16 * 1024


def temporary_database(folder: Path | None) -> sqlite3.Connection:
    """An empty database on disk without a name: it is gone when it is closed, or when we are killed.

    In `folder`, or where the system keeps temporary files. No journal: nothing can be rolled back. Raises sqlite3.Error
    and OSError.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="spool-", suffix=".db", dir=folder)
    os.close(handle)
    try:
        db = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE_KIB}"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.execute("CREATE TABLE opened (yes INTEGER)")  # only a write opens the file, which then may lose its name
    finally:
        Path(name).unlink()
    return db


def temporary_subject(folder: Path | None) -> str:
    """What errors call such a database."""
    return f"temporary file in {folder or tempfile.gettempdir()}"


@contextmanager
def sqlite_errors(subject: str) -> Iterator[None]:
    """Raises the engine's error for any `sqlite3.Error` or `OSError` of the block; `subject` names the file."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _translate(subject, exc) from exc
    except OSError as exc:
        raise SiteUnreadable(subject, exc.strerror or str(exc), "check the path, its rights and its disk") from exc


def _translate(subject: str, exc: sqlite3.Error) -> EngineError:
    happened = f"SQLite says: {exc}"
    match getattr(exc, "sqlite_errorcode", 0) & _PRIMARY_CODE:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unreachable(subject, happened, "somebody is writing: stop the writer, or wait and try again")
        case sqlite3.SQLITE_FULL:
            return NoSpace(subject, happened, "free some space on its disk")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return SiteUnreadable(subject, happened, "the file is damaged: restore it from a backup of its own")
        case _ if isinstance(exc, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.NotSupportedError):
            return Defect(subject, happened, "please report this")
        case _:
            return SiteUnreadable(subject, happened, "check that the file can be read and is a whole v1 database")
