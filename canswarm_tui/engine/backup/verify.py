"""Reads a backup from its disk and holds every byte of it against its manifest: `verify_backup`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.disk import Advance, Stop, Tell, disk_errors, never_stop, tell_nobody
from canswarm_tui.engine.backup.packs import PackReader
from canswarm_tui.engine.backup.plan_copy import digest
from canswarm_tui.engine.backup.redis_dump import saved_keys


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a backup that is not what its manifest says."""

    name: str
    happened: str


@dataclass(slots=True)
class Reading:
    """What has been read and found good so far."""

    files: int = 0
    size_bytes: int = 0
    redis_keys: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """Of a whole backup; it holds when there are no faults."""

    manifest: m.Manifest
    read: Reading
    faults: tuple[Fault, ...]


def verify_backup(folder: Path, stop: Stop = never_stop, tell: Tell = tell_nobody) -> Verification:
    """Everything in `folder` re-hashed: its files as a whole, and each file of the site within them.

    Raises `SiteUnreadable` where there is no readable manifest; any other damage is a fault by name.
    """
    reading = Reading()
    found = tuple(faults(folder, reading, stop, tell))
    return Verification(m.Manifest.read(folder), reading, found)


def faults(folder: Path, reading: Reading, stop: Stop, tell: Tell) -> Iterator[Fault]:
    """As `verify_backup`, one by one; `reading` grows meanwhile."""
    manifest = m.Manifest.read(folder)
    with disk_errors(folder):
        damaged = list(_stored_faults(folder, manifest, stop))
        yield from damaged
        if {fault.name for fault in damaged} & {m.INDEX, m.PLAN_COPY}:
            return  # its lines name everything else
        yield from _entry_faults(folder, manifest, reading, stop, tell)
        if not any(fault.name.startswith("redis-") for fault in damaged):
            yield from _redis_faults(folder, manifest, reading, stop)
        plan = manifest.plan
        if plan is not None and plan.logical and digest(folder / m.PLAN_COPY, stop) != plan.logical:
            yield Fault(m.PLAN_COPY, "its rows are not those that were copied")


def _stored_faults(folder: Path, manifest: m.Manifest, stop: Stop) -> Iterator[Fault]:
    expected = {stored.name: stored for stored in manifest.stored}
    there = {path.name for path in folder.iterdir()} - {m.MANIFEST}
    yield from (Fault(name, "the manifest does not know it") for name in sorted(there - expected.keys()))
    for name, stored in sorted(expected.items()):
        stop()
        if name not in there:
            yield Fault(name, "it is missing")
        elif m.stored_file(folder / name, stop) != stored:
            yield Fault(name, "its size or its SHA-256 is another one")


def _entry_faults(folder: Path, manifest: m.Manifest, reading: Reading, stop: Stop, tell: Tell) -> Iterator[Fault]:
    def advance(size: int) -> None:
        reading.size_bytes += size
        tell(Advance("reading back", reading.files, manifest.files, reading.size_bytes, manifest.size_bytes))

    packs = {path.name for path in folder.iterdir()}
    with PackReader(folder) as reader:
        for entry in m.read_entries(folder):
            if entry.kind != m.FILE:
                continue
            happened = reader.fault(entry, stop, advance) if entry.pack in packs else "its pack is missing"
            reading.files += 1
            if happened:
                yield Fault(entry.name, happened)
    if reading.files != manifest.files:
        yield Fault(m.INDEX, f"it names {reading.files} files and not {manifest.files}")


def _redis_faults(folder: Path, manifest: m.Manifest, reading: Reading, stop: Stop) -> Iterator[Fault]:
    last = b""
    for key in saved_keys(folder):
        stop()
        reading.redis_keys += 1
        if reading.redis_keys > 1 and key.key <= last:
            yield Fault(key.name, "it is out of order")
        last = key.key
    if reading.redis_keys != manifest.redis_keys:
        yield Fault("redis", f"it holds {reading.redis_keys} keys and not {manifest.redis_keys}")
