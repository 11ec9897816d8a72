"""Brings a backup back: files into any folder or into the site itself, keys into any Redis: `restore`.

Every file is written beside its place and renamed into it, so at no instant is a half of one there; killed, it can be
begun again. v1 must not run meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.disk import (
    CHUNK_BYTES,
    Advance,
    Stop,
    Tell,
    disk_errors,
    flush_filesystem,
    never_stop,
    tell_nobody,
)
from canswarm_tui.engine.backup.packs import PackReader
from canswarm_tui.engine.backup.places import PLAN, PLAN_DB, SIDE_FILES, Places, walk, was_skipped
from canswarm_tui.engine.backup.redis_restore import put_back, require_empty
from canswarm_tui.engine.backup.seen import Seen
from canswarm_tui.engine.errors import Blocked, SiteUnreadable
from canswarm_tui.engine.settings import SiteSettings

_TEMPORARY: Final = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was written, and with `exact` removed."""

    files: int
    size_bytes: int
    redis_keys: int
    removed: tuple[str, ...]
    """Names of files and `decide:` keys that the backup does not have."""


@dataclass(frozen=True, slots=True)
class _Job:
    folder: Path
    manifest: m.Manifest
    places: Places
    leave: Collection[str]
    stop: Stop
    tell: Tell


def restore(
    folder: Path,
    into: Path | Places,
    redis: SiteSettings | None = None,
    *,
    replace: bool = False,
    exact: bool = False,
    leave: Collection[str] = (),
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
) -> Restored:
    """The backup in `folder` into a folder (v1's default names), or into the places of a site.

    `redis` names the Redis to fill; None leaves Redis alone. A destination that holds something is refused with
    `Blocked` unless `replace`; then files and keys of the backup replace what is there, and what the backup does not
    have stays, unless `exact`: then further files in v1's folders and further `decide:` keys are removed. Keys of
    other programmes, this tool's plan document and what the backup had to skip always stay; what is named in `leave`
    (`part:path`, with all below it) is neither replaced nor removed. Verify the backup before.
    """
    places = into if isinstance(into, Places) else Places.under(into)
    manifest = m.Manifest.read(folder)
    job = _Job(folder, manifest, places, leave, stop, tell)
    if not replace:
        _require_empty(places)
        if redis is not None:
            require_empty(redis)
    with disk_errors(places.paths[PLAN]):
        for path in places.paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        files, size = _put_files(job)
        _put_plan(job)
        removed = _remove_others(job) if exact else ()
        _dress_folders(job)
        folders = (path if path.is_dir() else path.parent for path in places.paths.values())
        for folder_on in {path.stat().st_dev: path for path in folders}.values():
            flush_filesystem(folder_on)
    keys, forgotten = put_back(folder, redis, exact, stop) if redis is not None else (0, ())
    return Restored(files + 1, size, keys, (*removed, *forgotten))


def _require_empty(places: Places) -> None:
    for found in walk(places):
        if found.relative or found.path.is_file():
            raise Blocked(str(found.path), "the destination is not empty", "name an empty folder, or say replace")
    if places.plan_db.exists():
        raise Blocked(str(places.plan_db), "the destination is not empty", "name an empty folder, or say replace")


def _put_files(job: _Job) -> tuple[int, int]:
    files = size = 0
    with PackReader(job.folder) as reader:
        for entry in _entries(job):
            job.stop()
            path = job.places.path(entry.part, entry.path)
            match entry.kind:
                case m.FOLDER:
                    _make_folder(path)
                case m.LINK:
                    _put_link(entry, path)
                case _:
                    _put_file(entry, path, reader, job.stop)
                    files += 1
                    size += entry.size
            whole = job.manifest
            job.tell(Advance("restoring", files, whole.files, size, whole.size_bytes))
    return files, size


def _entries(job: _Job) -> Iterator[m.Entry]:
    """Of the backup, without what is to be left as it is."""
    return (entry for entry in m.read_entries(job.folder) if not was_skipped(entry.part, entry.path, job.leave))


def _dress_folders(job: _Job) -> None:
    """Last, and the deepest first: writing into a folder needs rights and changes its time."""
    folders = [entry for entry in _entries(job) if entry.kind == m.FOLDER]
    for entry in reversed(folders):
        job.stop()
        _dress(entry, job.places.path(entry.part, entry.path))


def _make_folder(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(path.stat().st_mode | 0o700)


def _put_link(entry: m.Entry, path: Path) -> None:
    with _aside(path) as temporary:
        temporary.symlink_to(entry.target)
        os.utime(temporary, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def _put_file(entry: m.Entry, path: Path, reader: PackReader, stop: Stop) -> None:
    with _aside(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as file:
            written = 0
            for chunk in reader.chunks(entry):
                stop()
                written += _write_all(file.fileno(), chunk)
        if written != entry.size:
            raise SiteUnreadable(entry.pack, f"it ends within {entry.name}", "verify the backup, name another one")
        _dress(entry, temporary)


def _put_plan(job: _Job) -> None:
    """The store itself, after whatever an older one left beside it: a stale journal would be rolled into it."""
    plan, places = job.manifest.plan, job.places
    if plan is None:
        return
    places.paths[PLAN].mkdir(parents=True, exist_ok=True)
    for name in SIDE_FILES:
        (places.paths[PLAN] / name).unlink(missing_ok=True)
    with _aside(places.plan_db) as temporary:
        shutil.copyfile(job.folder / m.PLAN_COPY, temporary)
        entry = m.Entry(PLAN, PLAN_DB, m.FILE, plan.mode, plan.mtime_ns, plan.uid, plan.gid)
        _dress(entry, temporary)


def _remove_others(job: _Job) -> tuple[str, ...]:
    removed: list[str] = []
    folders: list[Path] = []
    stays = {one.name for one in job.manifest.skipped}.union(job.leave)
    with Seen(job.folder, job.places.paths[PLAN]) as seen:
        for found in walk(job.places):
            job.stop()
            if (found.part, found.relative) in seen or was_skipped(found.part, found.relative, stays):
                continue
            if found.path.is_dir() and not found.path.is_symlink():
                folders.append(found.path)
            else:
                found.path.unlink()
                removed.append(f"{found.part}:{found.relative}")
    for path in reversed(folders):
        with contextlib.suppress(OSError):  # it holds something of ours
            path.rmdir()
    return tuple(removed)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside `path`, for what then takes its place at once."""
    temporary = path.with_name(f"{_TEMPORARY}-{path.name[:200]}")
    temporary.unlink(missing_ok=True)
    if path.is_dir() and not path.is_symlink():
        raise Blocked(str(path), "a folder is where a file must go", "move it away")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _dress(entry: m.Entry, path: Path) -> None:
    """Owner (where we may), mode and time, in this order: each would undo the next."""
    if os.geteuid() == 0:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    path.chmod(entry.mode)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))


def _write_all(handle: int, chunk: bytes) -> int:
    view = memoryview(chunk)
    while view:
        view = view[os.write(handle, view[:CHUNK_BYTES]) :]
    return len(chunk)
