"""Which backups there are, how old they are, and until when none of them may go."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from canswarm_tui.engine.backup.disk import disk_errors, flush_folder
from canswarm_tui.engine.backup.make import PARTIAL
from canswarm_tui.engine.backup.manifest import Manifest
from canswarm_tui.engine.errors import Blocked, SiteUnreadable


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in the backup folder. `manifest` is None where it is unfinished or unreadable: see `trouble`."""

    folder: Path
    manifest: Manifest | None
    trouble: str
    size_bytes: int
    """On its disk."""

    def age(self, now: datetime) -> timedelta | None:
        return None if self.manifest is None else now - self.manifest.created_at

    def left(self, now: datetime) -> timedelta | None:
        """Until it may be removed; zero or less when it may."""
        return None if self.manifest is None else self.manifest.kept_until - now


def list_backups(into: Path, site_root: Path | None = None) -> list[Kept]:
    """The newest first, then what is unfinished or unreadable; of one site, or of all."""
    if not into.is_dir():
        return []
    with disk_errors(into):
        found = [_look(path) for path in sorted(into.iterdir()) if path.is_dir()]
    if site_root is not None:
        root = str(site_root.resolve())
        found = [one for one in found if one.manifest is None or one.manifest.site == root]
    return sorted(found, key=lambda one: (one.manifest is not None, _created(one)), reverse=True)


def remove_backup(folder: Path, now: datetime | None = None) -> None:
    """Removes a finished backup; raises `Blocked` before its date, `SiteUnreadable` where it can't be told.

    Renamed first, so that a half-removed one is never taken for a backup.
    """
    manifest = Manifest.read(folder)
    moment = now or datetime.now(UTC)
    if moment < manifest.kept_until:
        raise Blocked(
            str(folder), f"it must be kept until {manifest.keep_until}", "wait: nothing younger is ever removed"
        )
    with disk_errors(folder):
        doomed = folder.with_name(folder.name + PARTIAL)
        folder.rename(doomed)
        flush_folder(folder.parent)
        shutil.rmtree(doomed)


def _look(folder: Path) -> Kept:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if folder.name.endswith(PARTIAL):
        return Kept(folder, None, "it was never finished, and the next backup removes it", size)
    try:
        return Kept(folder, Manifest.read(folder), "", size)
    except SiteUnreadable as exc:
        return Kept(folder, None, exc.happened, size)


def _created(kept: Kept) -> str:
    return kept.manifest.created if kept.manifest is not None else kept.folder.name
