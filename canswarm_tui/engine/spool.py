"""A sorted map from bytes to bytes on disk, for what must be put in order or looked up without holding it in memory.

It is gone when it is closed, or when we are killed. After an error it can only be closed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from canswarm_tui.engine.sqlite import sqlite_errors, temporary_database, temporary_subject

_PAGE: Final = 1000
_ROWS: Final = 100
"""Pairs in one statement: faster than one each, and other threads run meanwhile."""


class Spool:
    """Holds each key once: what is put first stays. May be used by several threads; close it, or use `with`."""

    def __init__(self, folder: Path | None = None) -> None:
        """The file lies in `folder`, or where the system keeps temporary files; raises `SiteUnreadable`, `NoSpace`."""
        self._lock = threading.Lock()
        self._name = temporary_subject(folder)
        with sqlite_errors(self._name):
            self._db = temporary_database(folder)
            self._db.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB NOT NULL)")

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
            for at in range(0, len(batch), _ROWS):
                rows = batch[at : at + _ROWS]
                marks = ",".join(["(?, ?)"] * len(rows))
                self._db.execute(f"INSERT OR IGNORE INTO entry VALUES {marks}", tuple(chain.from_iterable(rows)))
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
