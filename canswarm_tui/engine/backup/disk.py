"""What writing a backup asks of a disk: errors in our words, one flush for many files, reading what is there."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import EngineError, NoSpace, Refused, SiteUnreadable

CHUNK_BYTES: Final = 1 << 20
"""Read and written at once, and between two looks at `stop`: some milliseconds."""

Stop = Callable[[], None]
"""Raises `Stopped` when a stop is asked for, as `StopSignal.check` does."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Advance:
    """How far it is; totals are what was counted at the start, so a growing log can pass them."""

    doing: str
    files: int
    total_files: int
    size_bytes: int
    total_bytes: int


Tell = Callable[[Advance], None]


def never_stop() -> None:
    """For callers that can't be stopped."""


def tell_nobody(_: Advance) -> None:
    """For callers that don't listen."""


def is_folder(path: Path) -> bool:
    """Whether a folder is there; no also for a name that none can have, as a damaged journal may hold one."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextmanager
def disk_errors(subject: Path) -> Iterator[None]:
    """Raises the engine's error for any OSError of the block."""
    try:
        yield
    except OSError as exc:
        raise _translate(str(exc.filename or subject), exc) from exc


def _translate(subject: str, exc: OSError) -> EngineError:
    happened = exc.strerror or str(exc)
    if exc.errno in _FULL:
        return NoSpace(subject, happened, "free some space, or set backup.dir to another disk")
    if exc.errno in _FORBIDDEN:
        return Refused(subject, happened, "run as a user with the rights, or set backup.dir to a folder that you own")
    return SiteUnreadable(subject, happened, "check the path and its disk")


def flush(path: Path) -> None:
    """The file's content is on the disk when this returns, and will be read from there and not from memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def flush_folder(path: Path) -> None:
    """Names in the folder, and renames, are on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_filesystem(path: Path) -> None:
    """Everything written to the file system of `path`: one call for any number of files, see syncfs(2)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)
