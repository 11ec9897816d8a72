"""Which files are v1's, and where each part of a site lies: in a real site by its settings, in a restored one by name.

Left out: the plan store, which is copied through SQLite, its side files, and the plan document that this tool writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.settings import SiteSettings

PLAN: Final = "plan"
"""The part that holds `plan.db`: `<root>/.state`."""
STATE: Final = "state"
"""v1's SWARM_STATE_DIR, where it is not `<root>/.state`."""
CAS: Final = "cas"
LOGS: Final = "logs"
ENV: Final = "env"
"""The one part that is a file."""

PLAN_DB: Final = "plan.db"
SIDE_FILES: Final = ("plan.db-journal", "plan.db-wal", "plan.db-shm")
OURS: Final = ("plan_automerge.bin", "plan_automerge")
"""The plan document in both forms; whatever begins like it is a temporary file of ours."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts lie, by name."""

    paths: dict[str, Path]

    @classmethod
    def of(cls, site: SiteSettings) -> Places:
        """Of a site, overrides included; raises `SettingsError` when none is named."""
        paths = {PLAN: site.plan_db.parent, CAS: site.cas_folder, LOGS: site.log_folder, ENV: site.env_file}
        if site.state_folder.resolve() != site.plan_db.parent.resolve():
            paths[STATE] = site.state_folder
        return cls(paths)

    @classmethod
    def under(cls, folder: Path) -> Places:
        """In a folder of their own, by v1's default names; a state folder from elsewhere becomes `state`."""
        names = {PLAN: ".state", STATE: "state", CAS: ".cas", LOGS: "logs", ENV: ".env"}
        return cls({part: folder / name for part, name in names.items()})

    @property
    def plan_db(self) -> Path:
        return self.paths[PLAN] / PLAN_DB

    def path(self, part: str, relative: str) -> Path:
        """Of an entry; the empty name is the part itself. Raises `Blocked` where there is no such part."""
        if part not in self.paths:
            raise Blocked(part, "the backup has this part and the site has no place for it", "set site.state_dir")
        return self.paths[part] / relative if relative else self.paths[part]


@dataclass(frozen=True, slots=True)
class Found:
    """A file, folder or link of the site, not followed. `trouble` says why it can't be looked at."""

    part: str
    relative: str
    path: Path
    status: os.stat_result | None
    trouble: str = ""


def walk(places: Places, *, with_store: bool = False) -> Iterator[Found]:
    """Everything of every part, parts by name, folders before what they hold, names sorted. Missing parts are none.

    `with_store`: also the plan store and its side files, as the files that they are.
    """
    parts = {_identity(path) for path in places.paths.values()}
    for part, path in sorted(places.paths.items()):
        if os.path.lexists(path):
            yield from _below(part, path, "", parts, with_store)


def is_v1s(part: str, relative: str, with_store: bool = False) -> bool:
    """False for what this tool wrote, and but `with_store` for the plan store with its side files."""
    if part != PLAN:
        return True
    top = relative.partition("/")[0].lstrip(".")
    if top.startswith("plan_automerge"):
        return False
    return with_store or (top != PLAN_DB and top not in SIDE_FILES)


def was_skipped(part: str, relative: str, skipped: Collection[str]) -> bool:
    """It, or a folder around it, could not be copied into a backup that names those as skipped."""
    if not skipped:
        return False
    names = relative.split("/")
    return any(f"{part}:{'/'.join(names[:depth])}" in skipped for depth in range(len(names) + 1))


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino


def _below(part: str, path: Path, relative: str, parts: set[tuple[int, int]], with_store: bool) -> Iterator[Found]:
    try:
        status = os.lstat(path)
    except OSError as exc:
        yield Found(part, relative, path, None, exc.strerror or str(exc))
        return
    if not relative and stat.S_ISLNK(status.st_mode):
        status = path.stat()  # a part may be a link to where it really is
    if relative and (status.st_dev, status.st_ino) in parts:
        return  # one part within another
    yield Found(part, relative, path, status)
    if not stat.S_ISDIR(status.st_mode):
        return
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as exc:
        yield Found(part, relative, path, None, exc.strerror or str(exc))
        return
    for name in names:
        below = f"{relative}/{name}" if relative else name
        if is_v1s(part, below, with_store):
            yield from _below(part, path / name, below, parts, with_store)
