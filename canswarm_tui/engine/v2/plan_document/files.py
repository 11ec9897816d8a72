"""How plan documents get onto the disk and how the disk's errors become the engine's."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from canswarm_tui.engine.errors import NoSpace, Refused, SiteUnreadable


class DamagedDocument(SiteUnreadable):
    """A file is there that is no whole plan document."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def file_errors(subject: Path) -> Iterator[None]:
    """Raises NoSpace, Refused or SiteUnreadable for any `OSError` of the block."""
    try:
        yield
    except OSError as exc:
        what = exc.strerror or str(exc)
        if exc.errno in _FULL:
            raise NoSpace(str(subject), what, "free some space on its disk") from exc
        if exc.errno in _FORBIDDEN:
            raise Refused(str(subject), what, "give the user of this program the right to write there") from exc
        raise SiteUnreadable(str(subject), what, "check the path and its disk") from exc


def new_name(final: Path) -> Path:
    """Where the next content of `final` is written before it is renamed; the same name each time, so none piles up."""
    return final.with_name(final.name + ".new")


def write_new(path: Path, content: bytes) -> None:
    """A file of mode 0600 with this content, on the disk when this returns; what was there is replaced."""
    with file_errors(path):
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def rename_durably(new: Path, final: Path) -> None:
    """Put `new` in the place of `final`, on the disk when this returns."""
    with file_errors(final):
        new.replace(final)
        sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> bytes | None:
    """The SHA-256 of the file's content; None where there is no such file."""
    with file_errors(path):
        try:
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        except FileNotFoundError:
            return None
