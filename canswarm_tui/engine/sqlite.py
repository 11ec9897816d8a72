"""SQLite's exceptions as engine errors: one border for every SQLite file that the engine reads or writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, SiteUnreadable, Unreachable

_PRIMARY_CODE = 0xFF
"""Mask of an extended result code: its low byte is the primary code."""


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
