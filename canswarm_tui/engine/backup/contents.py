"""What one backup holds, part by part, told by its own manifest and index; nothing of it is read back here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.engine.backup.disk import is_folder
from canswarm_tui.engine.backup.manifest import FILE, Manifest, read_entries
from canswarm_tui.engine.backup.places import CAS, ENV, LOGS, PLAN, STATE
from canswarm_tui.engine.errors import EngineError

PARTS = {PLAN: ".state", STATE: "state folder", CAS: ".cas", LOGS: "logs", ENV: ".env (keys)"}
"""The parts of a site by their names in an index, as v1 calls them."""


@dataclass(frozen=True, slots=True)
class PartHeld:
    """One part of the site in the backup: its files, and their bytes."""

    part: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """A backup as its folder tells it now; `manifest` is None where that is gone or unreadable: see `trouble`."""

    manifest: Manifest | None
    parts: tuple[PartHeld, ...] = ()
    trouble: str = ""


def contents_of(folder: Path) -> Contents:
    """Read manifest and index; an index of a million files takes some seconds, and no memory."""
    if not is_folder(folder):
        return Contents(None, trouble="the folder is not there any more")
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    try:
        manifest = Manifest.read(folder)
        for entry in read_entries(folder):
            files[entry.part] += entry.kind == FILE
            sizes[entry.part] += entry.size
    except EngineError as exc:
        return Contents(None, trouble=exc.happened)
    return Contents(manifest, tuple(PartHeld(part, files[part], sizes[part]) for part in PARTS if part in files))
