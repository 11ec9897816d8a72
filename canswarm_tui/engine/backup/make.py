"""Makes a backup of one site into one new folder, and proves it by reading it back: `back_up`.

It grows under a name that ends in `.partial` and gets its own name only when every byte has been flushed, read back and
compared. A killed one is begun anew: a half of a site that has moved on since would be no state that ever was.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from canswarm_tui import __version__
from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.disk import (
    Advance,
    Stop,
    Tell,
    disk_errors,
    flush,
    flush_folder,
    never_stop,
    tell_nobody,
)
from canswarm_tui.engine.backup.packs import PackWriter, entry_of
from canswarm_tui.engine.backup.places import Found, Places, walk
from canswarm_tui.engine.backup.plan_copy import copy_plan
from canswarm_tui.engine.backup.redis_dump import dump
from canswarm_tui.engine.backup.verify import Fault, Reading, faults
from canswarm_tui.engine.errors import Busy, NoSpace, WrongAnswer
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.text import bytes_text
from canswarm_tui.engine.v1.redis_client import redis_address

PARTIAL: Final = ".partial"
_SCRATCH: Final = "scratch"
_SPARE: Final = 1.05


@dataclass(frozen=True, slots=True)
class BackupDone:
    """A finished backup, read back and compared."""

    folder: Path
    manifest: m.Manifest
    verified: Reading


@dataclass(frozen=True, slots=True)
class _Sizes:
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _How:
    with_redis: bool
    store_as_files: bool
    made: datetime
    keep_until: datetime


def back_up(
    site: SiteSettings,
    into: Path,
    retention_days: int,
    *,
    with_redis: bool = True,
    store_as_files: bool = False,
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
    now: datetime | None = None,
) -> BackupDone:
    """Into a new folder `<into>/<site>-<UTC time>`, mode 0700; `.partial` folders of this site are removed.

    `store_as_files` copies the plan store as plain files, for a site whose store is missing or damaged beyond reading.
    What can't be copied is told in `manifest.skipped`, so that the rest is safe. Raises `NoSpace` before it begins
    where the disk is too small, `Busy` while another backup of the site is made, and what the stores raise.
    """
    root = site.require_root().resolve()
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    places = Places.of(site)
    stem = _slug(root.name)
    with disk_errors(into):
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_partials(into, stem)
        sizes = _measure(places, stop)
        _require_space(into, sizes)
        final = _free_name(into, f"{stem}-{moment:%Y%m%dT%H%M%SZ}")
        partial = final.with_name(final.name + PARTIAL)
        partial.mkdir(mode=0o700)
        with _locked(partial), _removed_on_failure(partial):
            how = _How(with_redis, store_as_files, moment, moment + timedelta(days=retention_days))
            manifest = _fill(site, places, partial, sizes, how, stop, tell)
            reading = _prove(partial, stop, tell)
            partial.rename(final)
            flush_folder(into)
    return BackupDone(final, manifest, reading)


def _fill(
    site: SiteSettings,
    places: Places,
    folder: Path,
    sizes: _Sizes,
    how: _How,
    stop: Stop,
    tell: Tell,
) -> m.Manifest:
    scratch = folder / _SCRATCH
    scratch.mkdir(mode=0o700)
    keys = dump(site, folder, scratch, stop) if how.with_redis else 0
    plan = None if how.store_as_files else copy_plan(places.plan_db, folder, stop)
    copying = _Copying(sizes, tell)
    with PackWriter(folder, stop) as packs:
        m.write_entries(folder / m.INDEX, copying.entries(walk(places, with_store=how.store_as_files), packs, stop))
    shutil.rmtree(scratch)
    manifest = m.Manifest(
        str(site.require_root().resolve()),
        redis_address(site) if how.with_redis else "",
        __version__,
        how.made.isoformat(),
        how.keep_until.isoformat(),
        plan,
        tuple(_flushed(folder, stop)),
        copying.files,
        copying.folders,
        copying.links,
        copying.size_bytes,
        keys,
        tuple(copying.skipped),
    )
    manifest.write(folder)
    flush(folder / m.MANIFEST)
    flush_folder(folder)
    return manifest


class _Copying:
    """Turns what the walk finds into entries, and counts."""

    def __init__(self, sizes: _Sizes, tell: Tell) -> None:
        self._sizes = sizes
        self._tell = tell
        self.files = self.folders = self.links = self.size_bytes = 0
        self.skipped: list[m.Skipped] = []

    def entries(self, everything: Iterable[Found], packs: PackWriter, stop: Stop) -> Iterator[m.Entry]:
        for found in everything:
            stop()
            made = self._entry(found, packs)
            if isinstance(made, m.Skipped):
                self.skipped.append(made)
            else:
                yield made
            self._tell(Advance("copying", self.files, self._sizes.files, self.size_bytes, self._sizes.size_bytes))

    def _entry(self, found: Found, packs: PackWriter) -> m.Entry | m.Skipped:
        name = f"{found.part}:{found.relative}"
        if found.status is None:
            return m.Skipped(name, found.trouble)
        if stat.S_ISDIR(found.status.st_mode):
            self.folders += 1
            return entry_of(found.part, found.relative, m.FOLDER, found.status)
        if stat.S_ISLNK(found.status.st_mode):
            self.links += 1
            return _link(found, found.status)
        if not stat.S_ISREG(found.status.st_mode):
            return m.Skipped(name, "it is a pipe, a socket or a device")
        made = packs.add(found)
        if isinstance(made, m.Entry):
            self.files += 1
            self.size_bytes += made.size
        return made


def _link(found: Found, status: os.stat_result) -> m.Entry:
    mode, target = stat.S_IMODE(status.st_mode), str(found.path.readlink())
    owner = (status.st_uid, status.st_gid)
    return m.Entry(found.part, found.relative, m.LINK, mode, status.st_mtime_ns, *owner, target=target)


def _flushed(folder: Path, stop: Stop) -> Iterator[m.Stored]:
    """Every file of the backup as the disk has it, after it was flushed."""
    for path in sorted(folder.iterdir()):
        stop()
        flush(path)
        yield m.stored_file(path, stop)


def _prove(folder: Path, stop: Stop, tell: Tell) -> Reading:
    reading = Reading()
    found: list[Fault] = list(faults(folder, reading, stop, tell))
    if found:
        raise WrongAnswer(
            str(folder),
            f"{found[0].name} does not read back as it was written: {found[0].happened}",
            "check the disk, and set backup.dir to another one",
        )
    return reading


def _measure(places: Places, stop: Stop) -> _Sizes:
    files, size = 1, places.plan_db.stat().st_size if places.plan_db.is_file() else 0
    for found in walk(places):
        stop()
        if found.status is not None and stat.S_ISREG(found.status.st_mode):
            files += 1
            size += found.status.st_size
    return _Sizes(files, size)


def _require_space(into: Path, sizes: _Sizes) -> None:
    free = shutil.disk_usage(into).free
    needed = int(sizes.size_bytes * _SPARE) + 2048 * sizes.files
    if free < needed:
        raise NoSpace(
            str(into),
            f"{bytes_text(free)} are free and {bytes_text(needed)} are needed",
            "free space, or set backup.dir to another disk",
        )


def _free_name(into: Path, name: str) -> Path:
    path, number = into / name, 1
    while path.exists() or path.with_name(path.name + PARTIAL).exists():
        number += 1
        path = into / f"{name}-{number}"
    return path


def _remove_partials(into: Path, stem: str) -> None:
    for path in into.iterdir():
        if path.name.endswith(PARTIAL) and re.fullmatch(re.escape(stem) + r"-\d{8}T\d{6}Z(-\d+)?\.partial", path.name):
            with _locked(path):
                shutil.rmtree(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held by the process that makes the backup; a dead one holds nothing."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Busy(str(folder), "another backup of this site is being made", "wait until it has ended") from exc
        yield
    finally:
        os.close(handle)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """A failed backup must not fill the disk that somebody is freeing."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "site"
