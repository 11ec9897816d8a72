"""Proves a restore, or shows how a site has moved on since its backup: every difference by name, `compare_restored`."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.disk import (
    CHUNK_BYTES,
    Advance,
    Stop,
    Tell,
    disk_errors,
    never_stop,
    tell_nobody,
)
from canswarm_tui.engine.backup.places import Places, walk, was_skipped
from canswarm_tui.engine.backup.plan_copy import digest
from canswarm_tui.engine.backup.redis_dump import live_keys, saved_keys
from canswarm_tui.engine.backup.redis_restore import difference, side_by_side
from canswarm_tui.engine.backup.seen import Seen
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.decisions import PREFIX


@dataclass(frozen=True, slots=True)
class Unlike:
    """One thing that is not as the backup has it."""

    name: str
    happened: str


@dataclass(slots=True)
class Compared:
    """What was compared so far; contents by hash, not by size."""

    files: int = 0
    size_bytes: int = 0
    redis_keys: int = 0
    expired: int = 0
    """Keys whose time ran out since the backup."""


@dataclass(frozen=True, slots=True)
class RestoreProof:
    """It holds when there are no differences."""

    compared: Compared
    differences: tuple[Unlike, ...]


def compare_restored(
    folder: Path,
    into: Path | Places,
    redis: SiteSettings | None = None,
    *,
    scratch: Path | None = None,
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
) -> RestoreProof:
    """The backup in `folder` against a folder or a site's places, and a Redis: reads everything, writes nothing.

    Files: content, mode, time; plan store: schema, rowids, rows; keys: type, value, time to live. Files and `decide:`
    keys that the backup does not have are differences, too. `scratch` is for temporary files.
    """
    places = into if isinstance(into, Places) else Places.under(into)
    compared = Compared()
    found = [*_files(folder, places, compared, stop, tell), *_plan(folder, places, compared, stop)]
    found += _others(folder, places, scratch, stop)
    if redis is not None:
        found += _keys(folder, redis, scratch, compared, stop)
    return RestoreProof(compared, tuple(found))


def _files(folder: Path, places: Places, compared: Compared, stop: Stop, tell: Tell) -> Iterator[Unlike]:
    whole = m.Manifest.read(folder)
    with disk_errors(folder):
        for entry in m.read_entries(folder):
            stop()
            happened = _entry_difference(entry, places.path(entry.part, entry.path), stop)
            if happened:
                yield Unlike(entry.name, happened)
            if entry.kind == m.FILE:
                compared.files += 1
                compared.size_bytes += entry.size
            tell(Advance("comparing", compared.files, whole.files, compared.size_bytes, whole.size_bytes))


def _entry_difference(entry: m.Entry, path: Path, stop: Stop) -> str:
    try:
        status = os.lstat(path) if entry.path else path.stat()
    except FileNotFoundError:
        return "it is missing"
    if _kind(status) != entry.kind:
        return f"it is no {entry.kind}"
    if entry.kind == m.LINK:
        return "" if str(path.readlink()) == entry.target else "it leads elsewhere"
    if entry.kind == m.FILE:
        if status.st_size != entry.size:
            return f"it has {status.st_size} bytes and not {entry.size}"
        try:
            if _hash(path, stop) != entry.sha256:
                return "its content is another one"
        except PermissionError as exc:
            return f"it can't be read: {exc.strerror}"
    if stat.S_IMODE(status.st_mode) != entry.mode:
        return f"its mode is {stat.S_IMODE(status.st_mode):o} and not {entry.mode:o}"
    if entry.kind == m.FILE and status.st_mtime_ns != entry.mtime_ns:
        return "its time is another one"
    return ""


def _plan(folder: Path, places: Places, compared: Compared, stop: Stop) -> Iterator[Unlike]:
    plan = m.Manifest.read(folder).plan
    if plan is None:
        return
    if not places.plan_db.is_file():
        yield Unlike(m.PLAN_COPY, "it is missing")
        return
    expected = plan.logical or _hash(folder / m.PLAN_COPY, stop)
    found = digest(places.plan_db, stop) if plan.logical else _hash(places.plan_db, stop)
    if found != expected:
        yield Unlike(m.PLAN_COPY, "its schema or its rows are others")
    if stat.S_IMODE(places.plan_db.stat().st_mode) != plan.mode:
        yield Unlike(m.PLAN_COPY, "its mode is another one")
    compared.files += 1


def _others(folder: Path, places: Places, scratch: Path | None, stop: Stop) -> Iterator[Unlike]:
    skipped = {one.name for one in m.Manifest.read(folder).skipped}
    with Seen(folder, scratch) as seen:
        for found in walk(places):
            stop()
            if (found.part, found.relative) not in seen and not was_skipped(found.part, found.relative, skipped):
                yield Unlike(f"{found.part}:{found.relative}", "the backup does not have it")


def _keys(folder: Path, site: SiteSettings, scratch: Path | None, compared: Compared, stop: Stop) -> Iterator[Unlike]:
    now_ms = time.time_ns() // 1_000_000
    for saved, live in side_by_side(saved_keys(folder), live_keys(site, scratch, stop)):
        if saved is None:
            if live is not None and live.key.startswith(PREFIX):
                yield Unlike(live.name, "the backup does not have it")
            continue
        compared.redis_keys += 1
        if live is None and saved.expires_ms is not None and saved.expires_ms <= now_ms:
            compared.expired += 1
            continue
        happened = "it is missing" if live is None else difference(saved, live)
        if happened:
            yield Unlike(saved.name, happened)


def _kind(status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode):
        return m.FILE
    if stat.S_ISDIR(status.st_mode):
        return m.FOLDER
    return m.LINK if stat.S_ISLNK(status.st_mode) else "known kind"


def _hash(path: Path, stop: Stop) -> str:
    hasher = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            stop()
            hasher.update(chunk)
    return hasher.hexdigest()
