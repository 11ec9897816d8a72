"""Which names a backup has: asked about in any order, kept on disk, so that a million files need no memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from canswarm_tui.engine.backup.manifest import read_entries
from canswarm_tui.engine.backup.redis_dump import batches
from canswarm_tui.engine.spool import Spool

_BATCH: Final = 5000


class Seen:
    """The (part, path) pairs of a backup's index; use with `with`. Its temporary file lies in `scratch`."""

    def __init__(self, folder: Path, scratch: Path | None = None) -> None:
        self._names = Spool(scratch)
        for batch in batches(read_entries(folder), _BATCH):
            self._names.put_many((_key(entry.part, entry.path), b"") for entry in batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._names.close()

    def __contains__(self, name: tuple[str, str]) -> bool:
        return _key(*name) in self._names


def _key(part: str, path: str) -> bytes:
    return f"{part}\0{path}".encode("utf-8", "surrogateescape")
