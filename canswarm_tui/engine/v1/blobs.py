"""v1's content store, `.cas/sha256/<h[0:2]>/<h[2:4]>/<h>`: walked in the order of hashes, hashed, never written.

Whatever lies there is told: a blob, or an `Oddity` with what is wrong with it. Child processes share the folders of
the first level, because a store of small files is bound by Python and not by the disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.v1.envelope import is_blob_name
from canswarm_tui.engine.v1.workers import default_processes, ordered_map, stop_if_unwanted

_HEX: Final = frozenset("0123456789abcdef")
_NAME: Final = attrgetter("name")
_CHUNK_BYTES: Final = 1 << 20
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link isn't followed and a pipe doesn't block."""
_ALONE_UP_TO: Final = 4000
"""Files that are read before child processes are worth their start."""

SIZE_CLASSES: Final = (
    ("empty", 0),
    ("up to 1 KiB", 1 << 10),
    ("up to 64 KiB", 64 << 10),
    ("up to 256 KiB", 256 << 10),
    ("up to 1 MiB", 1 << 20),
    ("up to 2 MiB", 2 << 20),
)
"""Upper bounds in bytes, inclusive; 2 MiB is the largest raw block of IPFS. Beyond them: `larger`."""
LARGER: Final = "larger"


class BlobFault(StrEnum):
    """Why something in the content store is no blob that can be migrated."""

    LEFTOVER = "leftover"
    """A `tmp…` file of a writer that crashed before its rename; v1 never reads it."""
    NOT_A_BLOB = "not_a_blob"
    WRONG_FOLDER = "wrong_folder"
    WRONG_HASH = "wrong_hash"
    UNREADABLE = "unreadable"
    SYMLINK = "symlink"
    NOT_A_FILE = "not_a_file"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Blob:
    """A file whose name is a hash and which lies where it should; whether its content agrees depends on who asks."""

    name: str
    """Its SHA-256, 64 lower-case hex digits."""
    size: int
    mode: int
    """Permission bits."""
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something in the content store that is no sound blob."""

    path: str
    """Relative to the store's folder; bytes that are no UTF-8 escaped."""
    fault: BlobFault
    happened: str
    size: int = 0


_Look = Callable[["os.DirEntry[str]", Path], Blob | Oddity]


def blob_path(cas: Path, name: str) -> Path:
    """Where v1 keeps the blob of this hash."""
    return cas / "sha256" / name[:2] / name[2:4] / name


def blob_exists(cas: Path, name: str) -> bool:
    """True when v1 would find a blob under this hash; its content is not looked at."""
    return is_blob_name(name) and blob_path(cas, name).is_file()


def size_class(size: int) -> str:
    """The name of the smallest class that holds `size` bytes."""
    return next((name for name, bound in SIZE_CLASSES if size <= bound), LARGER)


def walk(cas: Path) -> Iterator[Blob | Oddity]:
    """Everything in the store; blobs sorted by hash, oddities where they turn up. Contents are not read."""
    folders, oddities = _top(cas)
    yield from oddities
    for folder in folders:
        yield from _look_through(cas, folder, _stat)


def inventory(cas: Path, processes: int | None = None) -> Generator[Blob | Oddity, None, None]:
    """As `walk`, but every file is read and hashed: a `Blob` then holds what its name says.

    Close it if you stop early: that ends its child processes.
    """
    folders, oddities = _top(cas)
    yield from oddities
    rest, done = iter(folders), 0
    for folder in rest:
        found = _hashed(cas, folder)
        yield from found
        done += len(found)
        if done > _ALONE_UP_TO:
            break
    workers = default_processes() if processes is None else processes
    with closing(ordered_map(partial(_hashed, cas), rest, workers)) as parts:
        for part in parts:
            yield from part


def load(cas: Path, blob: Blob, inline_bytes: int) -> Record | Oddity:
    """The blob as a record, read and hashed now; up to `inline_bytes` the content itself, beyond that its path."""
    path = blob_path(cas, blob.name)
    try:
        fd = os.open(path, _OPEN_FLAGS)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return _no_file(path, cas, found)
            if found.st_size > inline_bytes:
                digest, size = _hash_all(fd, found.st_size)
                body: bytes | Path = path
            else:
                body = _whole(fd)
                digest, size = hashlib.sha256(body).hexdigest(), len(body)
        finally:
            os.close(fd)
    except OSError as exc:
        return _unreadable(_shown(path, cas), exc)
    if digest != blob.name:
        return _wrong_hash(_shown(path, cas), digest, size)
    return Record(blob.name.encode(), bytes.fromhex(digest), size, body)


def _whole(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb", buffering=0) as file:
        return file.readall()


@dataclass(frozen=True, slots=True)
class _Listing:
    """A folder's entries sorted by name; or none, and why."""

    entries: Sequence[os.DirEntry[str]]
    oddities: tuple[Oddity, ...] = ()


def _list(folder: str | Path, cas: Path) -> _Listing:
    try:
        with os.scandir(folder) as entries:
            return _Listing(sorted(entries, key=_NAME))
    except OSError as exc:
        return _Listing((), (_unreadable(_shown(folder, cas), exc),))


def _top(cas: Path) -> tuple[list[str], list[Oddity]]:
    """The folders of the first level, sorted; and what lies there or above and does not belong there."""
    if not cas.exists():
        return [], []
    above = _list(cas, cas)
    oddities = [*above.oddities, *(_stranger(e, cas) for e in above.entries if e.name != "sha256" or not e.is_dir())]
    try:
        if not (cas / "sha256").is_dir():
            return [], oddities
    except OSError as exc:
        raise SiteUnreadable(str(cas), exc.strerror or str(exc), "check the folder's rights and its disk") from exc
    level = _list(cas / "sha256", cas)
    oddities += [*level.oddities, *(_stranger(e, cas) for e in level.entries if not _is_prefix(e))]
    return [e.name for e in level.entries if _is_prefix(e)], oddities


def _hashed(cas: Path, top: str) -> list[Blob | Oddity]:
    return list(_look_through(cas, top, _read))


def _look_through(cas: Path, top: str, look: _Look) -> Iterator[Blob | Oddity]:
    """One folder of the first level."""
    seconds = _list(cas / "sha256" / top, cas)
    yield from seconds.oddities
    for second in seconds.entries:
        if not _is_prefix(second):
            yield _stranger(second, cas)
            continue
        stop_if_unwanted()
        prefix = top + second.name
        listing = _list(second.path, cas)
        yield from listing.oddities
        for entry in listing.entries:
            if not is_blob_name(entry.name):
                yield _stranger(entry, cas)
            elif not entry.name.startswith(prefix):
                yield _oddity(entry, cas, BlobFault.WRONG_FOLDER, f"a blob, but not in {_home(entry.name)}")
            else:
                yield look(entry, cas)


def _is_prefix(entry: os.DirEntry[str]) -> bool:
    return len(entry.name) == 2 and _HEX.issuperset(entry.name) and entry.is_dir()


def _stat(entry: os.DirEntry[str], cas: Path) -> Blob | Oddity:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as exc:
        return _unreadable(_shown(entry.path, cas), exc)
    if not stat.S_ISREG(found.st_mode):
        return _no_file(entry.path, cas, found)
    return Blob(entry.name, found.st_size, stat.S_IMODE(found.st_mode), found.st_mtime_ns)


def _read(entry: os.DirEntry[str], cas: Path) -> Blob | Oddity:
    try:
        fd = os.open(entry.path, _OPEN_FLAGS)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return _oddity(entry, cas, BlobFault.SYMLINK, "a symbolic link")
        return _unreadable(_shown(entry.path, cas), exc)
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            return _no_file(entry.path, cas, before)
        digest, size = _hash_all(fd, before.st_size)
        after = os.fstat(fd)
    except OSError as exc:
        return _unreadable(_shown(entry.path, cas), exc)
    finally:
        os.close(fd)
    if size != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return _oddity(entry, cas, BlobFault.CHANGED, "it was written to while it was read")
    if digest != entry.name:
        return _wrong_hash(_shown(entry.path, cas), digest, size)
    return Blob(entry.name, size, stat.S_IMODE(before.st_mode), before.st_mtime_ns)


def _hash_all(fd: int, expected_bytes: int) -> tuple[str, int]:
    """(SHA-256 in hex, bytes read). A file that fits one chunk takes two system calls."""
    chunk = os.read(fd, min(expected_bytes + 1, _CHUNK_BYTES))
    hasher, size = hashlib.sha256(chunk), len(chunk)
    while chunk and size >= min(expected_bytes + 1, _CHUNK_BYTES):
        stop_if_unwanted()
        chunk = os.read(fd, _CHUNK_BYTES)
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def _stranger(entry: os.DirEntry[str], cas: Path) -> Oddity:
    if entry.is_symlink():
        return _oddity(entry, cas, BlobFault.SYMLINK, "a symbolic link")
    if entry.name.startswith("tmp") and entry.is_file():
        return _oddity(entry, cas, BlobFault.LEFTOVER, "left behind by a writer that crashed; v1 never reads it")
    return _oddity(entry, cas, BlobFault.NOT_A_BLOB, "its name is no SHA-256, or it lies where no blob belongs")


def _oddity(entry: os.DirEntry[str], cas: Path, fault: BlobFault, happened: str) -> Oddity:
    try:
        size = entry.stat(follow_symlinks=False).st_size
    except OSError:
        size = 0
    return Oddity(_shown(entry.path, cas), fault, happened, size)


def _no_file(path: str | Path, cas: Path, found: os.stat_result) -> Oddity:
    if stat.S_ISLNK(found.st_mode):
        return Oddity(_shown(path, cas), BlobFault.SYMLINK, "a symbolic link")
    kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
    return Oddity(_shown(path, cas), BlobFault.NOT_A_FILE, f"{kind} where a blob should be")


def _wrong_hash(path: str, digest: str, size: int) -> Oddity:
    return Oddity(path, BlobFault.WRONG_HASH, f"its content hashes to {digest}", size)


def _unreadable(path: str, exc: OSError) -> Oddity:
    return Oddity(path, BlobFault.UNREADABLE, exc.strerror or str(exc))


def _home(name: str) -> str:
    return f"{name[:2]}/{name[2:4]}"


def _shown(path: str | Path, cas: Path) -> str:
    return os.fsencode(os.path.relpath(path, cas)).decode("utf-8", "backslashreplace")
