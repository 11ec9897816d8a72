"""Files packed into few tar archives, and read back from them.

100,000 small files in a tree of their own cost a folder, a file and a flush each, when written and when read back; in
packs they cost one write. The archives are plain GNU tar without compression; hard links would be no backup at all.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from canswarm_tui.engine.backup.disk import CHUNK_BYTES, Stop
from canswarm_tui.engine.backup.manifest import FILE, Entry, Skipped
from canswarm_tui.engine.backup.places import LOGS, Found

PACK_BYTES: Final = 256 << 20
"""A pack is closed when it has passed this."""
_FLUSH_BYTES: Final = 32 << 20
"""Sent to the disk at once, so that no flush takes longer than a stop may wait."""
_BLOCK: Final = 512
_ATTEMPTS: Final = 3
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_END: Final = b"\0" * (2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class _Content:
    size: int
    sha256: str


class _Moved(Exception):
    """A file was not what it was when it was looked at."""


class PackWriter:
    """Writes packs `files-00001.tar` and so on into `folder`, mode 0600; use with `with`."""

    def __init__(self, folder: Path, stop: Stop, pack_bytes: int = PACK_BYTES) -> None:
        self._folder = folder
        self._stop = stop
        self._pack_bytes = pack_bytes
        self._file: BinaryIO | None = None
        self._name = ""
        self._unflushed = 0
        self.names: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._close()
        elif self._file is not None:
            self._file.close()

    def add(self, found: Found) -> Entry | Skipped:
        """Copies a regular file. A log may grow meanwhile: it is copied as far as it went when it was opened."""
        name = f"{found.part}:{found.relative}"
        why = "it can't be opened"
        for _ in range(_ATTEMPTS):
            try:
                handle = os.open(found.path, _OPEN_FLAGS)
            except OSError as exc:
                return Skipped(name, exc.strerror or str(exc))
            try:
                return self._copy(found, handle)
            except _Moved as exc:
                why = str(exc)
            finally:
                os.close(handle)
        return Skipped(name, why)

    def _copy(self, found: Found, handle: int) -> Entry:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise _Moved("it is no file any more")
        file = self._open()
        start = file.tell()
        empty = entry_of(found.part, found.relative, FILE, before)
        header = tar_header(empty)
        try:
            content = self._write(handle, file, header, before.st_size)
            after = os.fstat(handle)
            if found.part != LOGS and (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise _Moved("it was written to while it was copied")
        except _Moved:
            file.seek(start)
            file.truncate()
            raise
        at = start + len(header)
        return entry_of(found.part, found.relative, FILE, before, content.sha256, self._name, at)

    def _write(self, handle: int, file: BinaryIO, header: bytes, size: int) -> _Content:
        hasher = hashlib.sha256()
        left = size
        data = header
        while left:
            self._stop()
            chunk = _read(handle, min(left, CHUNK_BYTES))
            hasher.update(chunk)
            left -= len(chunk)
            file.write(data + chunk)
            self._count(file, len(data) + len(chunk))
            data = b""
        file.write(data + b"\0" * (-size % _BLOCK))
        return _Content(size, hasher.hexdigest())

    def _count(self, file: BinaryIO, size: int) -> None:
        self._unflushed += size
        if self._unflushed >= _FLUSH_BYTES:
            file.flush()
            os.fdatasync(file.fileno())
            self._unflushed = 0

    def _open(self) -> BinaryIO:
        if self._file is not None and self._file.tell() >= self._pack_bytes:
            self._close()
        if self._file is None:
            self._name = f"files-{len(self.names) + 1:05}.tar"
            self.names.append(self._name)
            path = self._folder / self._name
            path.touch(mode=0o600)
            self._file = path.open("wb", buffering=4 * CHUNK_BYTES)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.write(_END)
            self._file.close()
            self._file = None


def entry_of(
    part: str, relative: str, kind: str, status: os.stat_result, sha256: str = "", pack: str = "", offset: int = 0
) -> Entry:
    """An entry with what `stat` says."""
    size = status.st_size if kind == FILE else 0
    mode, mtime_ns = stat.S_IMODE(status.st_mode), status.st_mtime_ns
    return Entry(part, relative, kind, mode, mtime_ns, status.st_uid, status.st_gid, size, sha256, pack, offset)


def tar_header(entry: Entry) -> bytes:
    """Of a file's member; longer than one block where the name is long."""
    info = tarfile.TarInfo(f"{entry.part}/{entry.path}" if entry.path else entry.part)
    info.size, info.mode, info.mtime = entry.size, entry.mode, entry.mtime_ns // 10**9
    info.uid, info.gid = entry.uid, entry.gid
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _read(handle: int, size: int) -> bytes:
    try:
        chunk = os.read(handle, size)
    except OSError as exc:  # of the site's disk; the backup's own troubles end the backup
        raise _Moved(exc.strerror or str(exc)) from exc
    if not chunk:
        raise _Moved("it became shorter while it was copied")
    return chunk


class PackReader:
    """Reads members; keeps the pack of the last one open, so reading in the index's order is sequential."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file; shorter than its size where the pack is cut."""
        file = self._at(entry, entry.offset)
        left = entry.size
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk

    def fault(self, entry: Entry, stop: Stop, advance: Callable[[int], None]) -> str:
        """Why a member is not what the index says, or empty: its header and its hash are looked at."""
        header = tar_header(entry)
        if self._at(entry, entry.offset - len(header)).read(len(header)) != header:
            return "its header in the pack is damaged"
        hasher = hashlib.sha256()
        for chunk in self.chunks(entry):
            stop()
            hasher.update(chunk)
            advance(len(chunk))
        return "" if hasher.hexdigest() == entry.sha256 else "its content in the pack is damaged"

    def _at(self, entry: Entry, offset: int) -> BinaryIO:
        if self._name != entry.pack or self._file is None:
            if self._file is not None:
                self._file.close()
            self._file = (self._folder / entry.pack).open("rb", buffering=CHUNK_BYTES)
            self._name = entry.pack
        if self._file.tell() != offset:
            self._file.seek(offset)
        return self._file
