"""A sorted map from bytes to bytes on disk, for what must be put in order or looked up without holding it in memory.

A temporary SQLite file that has no name any more once it is open: it is gone when it is closed, or when we are killed.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from canswarm_tui.engine.sqlite import sqlite_errors

_PAGE: Final = 1000
_CACHE_KIB: Final = 16 * 1024


class Spool:
    """Holds each key once: what is put first stays. May be used by several threads; close it, or use `with`."""

    def __init__(self, folder: Path | None = None) -> None:
        """The file lies in `folder`, or where the system keeps temporary files; raises `SiteUnreadable`, `NoSpace`."""
        self._lock = threading.Lock()
        with sqlite_errors(self._subject(folder)):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="spool-", suffix=".db", dir=folder)
            os.close(handle)
            self._db = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            finally:
                Path(name).unlink()
        self._name = self._subject(folder)

    @staticmethod
    def _subject(folder: Path | None) -> str:
        return f"temporary file in {folder or tempfile.gettempdir()}"

    def _prepare(self) -> None:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the disk; a second call does nothing."""
        with self._lock:
            self._db.close()

    def put_many(self, entries: Iterable[tuple[bytes, bytes]]) -> int:
        """Adds a batch of (key, value) pairs; a key that is there keeps its value. Returns how many were new."""
        batch = list(entries)  # before the transaction: there is no journal to roll it back from
        with self._lock, sqlite_errors(self._name):
            before = self._db.total_changes
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?)", batch)
            self._db.execute("COMMIT")
            return self._db.total_changes - before

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        with self._lock, sqlite_errors(self._name):
            row = self._db.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        with self._lock, sqlite_errors(self._name):
            return int(self._db.execute("SELECT count(*) FROM entry").fetchone()[0])

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All pairs sorted by key as bytes, from the first key past `after`; it may be written to meanwhile."""
        page = self._page("", ()) if after is None else self._page("WHERE key > ?", (after,))
        while page:
            yield from page
            page = self._page("WHERE key > ?", (page[-1][0],))

    def _page(self, where: str, values: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
        sql = f"SELECT key, value FROM entry {where} ORDER BY key LIMIT {_PAGE}"
        with self._lock, sqlite_errors(self._name):
            return self._db.execute(sql, values).fetchall()
