"""Opens a plan store without ever writing beside it: told apart are a sound file, a hot journal and a write-ahead log.

Stands apart from `plan_db` because it is the only place that knows SQLite's side files.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from canswarm_tui.engine.errors import SiteUnreadable, Unreachable
from canswarm_tui.engine.sqlite import sqlite_errors

BUSY_TIMEOUT_S: Final = 5.0
HOT_JOURNAL: Final = "hot journal"
WRITE_AHEAD_LOG: Final = "write-ahead log"

_COPY_ATTEMPTS: Final = 5
_WAL_VERSION: Final = 2
"""Bytes 18 and 19 of the header of a database in WAL mode, https://sqlite.org/fileformat2.html section 1.3.3."""
_SIDE_FILES: Final = ("", "-journal", "-wal")


def connect(path: Path) -> sqlite3.Connection:
    """Read-only; text arrives as bytes, because not every text in a SQLite file is UTF-8."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    db.text_factory = bytes
    return db


def needs_recovery(path: Path) -> str:
    """`hot journal` or `write-ahead log` where the file can't be read in place, else empty; raises sqlite3.Error."""
    with path.open("rb") as file:
        header = file.read(20)
    if header[18:20] == bytes([_WAL_VERSION, _WAL_VERSION]):
        return WRITE_AHEAD_LOG
    try:
        with closing(connect(path)) as db:
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            return HOT_JOURNAL
        raise
    return ""


def recovered_copy(path: Path, scratch: Path) -> Path:
    """A copy in `scratch`, side files included, that SQLite has rolled back or checkpointed; the site is only read.

    A hot journal belongs to a dead writer, so the files stand still; if they do move while they are copied, it
    tries again and in the end raises `Unreachable`.
    """
    copy = scratch / "recovered-plan.db"
    with sqlite_errors(str(path)):
        scratch.mkdir(parents=True, exist_ok=True)
        for _ in range(_COPY_ATTEMPTS):
            before = _fingerprints(path)
            for suffix in _SIDE_FILES:
                _copy_if_there(Path(f"{path}{suffix}"), Path(f"{copy}{suffix}"))
            if _fingerprints(path) == before:
                _recover(copy)
                return copy
    raise Unreachable(str(path), "it changes while it is copied", "stop v1's writer, or wait and try again")


def _fingerprints(path: Path) -> list[tuple[int, int, int] | None]:
    return [_fingerprint(Path(f"{path}{suffix}")) for suffix in _SIDE_FILES]


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _copy_if_there(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return
    target.chmod(0o600)


def _recover(copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=DELETE").fetchall()
        if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise SiteUnreadable(str(copy), "it is damaged after recovery", "restore plan.db from a backup of its own")
