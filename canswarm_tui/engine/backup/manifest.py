"""What a backup says about itself: `manifest.json` for the whole, `files.jsonl` with a line for every file.

The lines are apart so that a site of a million blobs needs no memory; the manifest holds their hash. Both are plain
JSON and the packs plain tar, so that a backup can be read without this program.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from canswarm_tui.engine.backup.disk import CHUNK_BYTES, Stop, disk_errors
from canswarm_tui.engine.errors import SiteUnreadable

FORMAT: Final = "canswarm-tui backup 1"
MANIFEST: Final = "manifest.json"
INDEX: Final = "files.jsonl"
PLAN_COPY: Final = "plan.db"

FILE: Final = "file"
FOLDER: Final = "folder"
LINK: Final = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or symbolic link of the site. `part` and `path` name it, see `places`."""

    part: str
    path: str
    """Relative to its part, with `/`; bytes that are no UTF-8 as lone surrogates."""
    kind: str
    mode: int
    mtime_ns: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    pack: str = ""
    """The tar file that holds it."""
    offset: int = 0
    """Of its content in the pack; its header is the 512 bytes before."""
    target: str = ""
    """Of a link."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.part}:{self.path}" if self.path else self.part


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something of the site that is not in the backup, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the backup itself."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PlanCopy:
    """The plan store: `logical` is the digest of schema, rowids and rows; `integrity` what SQLite complains of."""

    mode: int
    mtime_ns: int
    uid: int
    gid: int
    logical: str
    recovered_from: str
    integrity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of a backup but the lines of its index. Times are ISO 8601 in UTC."""

    site: str
    """The root of the site."""
    redis: str
    """Address without secrets; empty where Redis was left out."""
    tool_version: str
    created: str
    keep_until: str
    """Not to be removed before."""
    plan: PlanCopy | None
    """None where SQLite could not read the store, or there was none: what there was is among the files."""
    stored: tuple[Stored, ...]
    """Every file of the backup but the manifest."""
    files: int
    folders: int
    links: int
    size_bytes: int
    """Of the files' contents."""
    redis_keys: int
    skipped: tuple[Skipped, ...]

    @property
    def kept_until(self) -> datetime:
        return datetime.fromisoformat(self.keep_until).astimezone(UTC)

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.created).astimezone(UTC)

    def write(self, folder: Path) -> None:
        """Into `folder`, mode 0600."""
        path = folder / MANIFEST
        path.touch(mode=0o600)
        path.write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of a finished backup; raises `SiteUnreadable`."""
        path = folder / MANIFEST
        if not path.exists():
            raise SiteUnreadable(
                str(folder), f"there is no backup in this folder: no {MANIFEST}", "name the folder of one backup"
            )
        with disk_errors(path):
            text = path.read_bytes()
        try:
            return cls._parse(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise SiteUnreadable(
                str(path), f"it is no manifest of a backup ({exc})", "name another backup: this one is damaged"
            ) from exc

    @classmethod
    def _parse(cls, fields: dict[str, Any]) -> Self:
        if fields.pop("format") != FORMAT:
            raise ValueError("of another format")
        plan = fields.pop("plan")
        copy = None if plan is None else PlanCopy(**{**plan, "integrity": tuple(plan["integrity"])})
        stored = tuple(Stored(**one) for one in fields.pop("stored"))
        skipped = tuple(Skipped(**one) for one in fields.pop("skipped"))
        found = cls(plan=copy, stored=stored, skipped=skipped, **fields)
        assert found.kept_until
        return found


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """A line for each, mode 0600."""
    path.touch(mode=0o600)
    with path.open("w", encoding="ascii") as lines:
        for entry in entries:
            fields = {name: value for name in Entry.__slots__ if (value := getattr(entry, name)) not in ("", 0)}
            lines.write(json.dumps(fields, separators=(",", ":")) + "\n")


def read_entries(folder: Path) -> Iterator[Entry]:
    """The lines of a backup's index in their order; raises `SiteUnreadable`."""
    path = folder / INDEX
    with disk_errors(path), path.open(encoding="ascii") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield Entry(**{**_EMPTY, **json.loads(line)})
            except (ValueError, TypeError) as exc:
                raise SiteUnreadable(str(path), f"line {number} is damaged", "name another backup") from exc


_EMPTY: Final = {"part": "", "path": "", "kind": "", "mode": 0, "mtime_ns": 0, "uid": 0, "gid": 0}


def stored_file(path: Path, stop: Stop) -> Stored:
    """What is on the disk under `path` now."""
    hasher, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            stop()
            hasher.update(chunk)
            size += len(chunk)
    return Stored(path.name, size, hasher.hexdigest())
