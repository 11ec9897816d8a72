"""Where a site's plan documents lie, in which form, how many, and how much memory they take."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from canswarm_tui.engine.v2.plan_document.files import DamagedDocument, file_errors
from canswarm_tui.engine.v2.plan_document.rows import SCHEMA

OPS_PER_PARTITION: Final = 25_000
INDEX_NAME: Final = "index.json"
_ROW_BYTES: Final = 3_000
_ROW_FACTOR: Final = 5.5
_MIN_PARTITIONS: Final = 2


def site_actor(identity: bytes) -> bytes:
    """The 16-byte actor id of a site's migration: always the same for the same identity."""
    return hashlib.sha256(b"canswarm-tui plan document\0" + identity).digest()[:16]


def estimate(op_count: int, mean_row_bytes: float) -> int:
    """Peak memory in bytes to build and save ops in one document.

    Fitted to measured peaks of Automerge 1.0.0rc1: rows of 193, 373, 1,173 bytes took 3,910, 4,682, 9,106 bytes each.
    """
    return int(op_count * (_ROW_BYTES + _ROW_FACTOR * mean_row_bytes))


def choose_partitions(op_count: int, mean_row_bytes: float, budget_bytes: int, processes: int) -> int:
    """0 for one document; else how many, so that those that `processes` build at once keep to the budget."""
    needed = estimate(op_count, mean_row_bytes)
    if needed <= budget_bytes:
        return 0
    by_memory = -(-needed * processes // budget_bytes)
    return max(_MIN_PARTITIONS, -(-op_count // OPS_PER_PARTITION), by_memory)


@dataclass(frozen=True, slots=True)
class PlanTarget:
    """`partitions` is 0 for the one-document form, which lies in `file`; else the documents lie in `folder`."""

    file: Path
    folder: Path
    actor: bytes
    partitions: int = 0

    @property
    def documents(self) -> tuple[Path, ...]:
        """In partition order."""
        if not self.partitions:
            return (self.file,)
        return tuple(self.folder / f"{number:04d}.bin" for number in range(self.partitions))

    @property
    def index(self) -> Path:
        return self.folder / INDEX_NAME

    def part_of(self, thread_id: str) -> int:
        """Which document a thread's ops lie in."""
        return partition_of(thread_id, self.partitions) if self.partitions else 0


@lru_cache(maxsize=65_536)
def partition_of(thread_id: str, partitions: int) -> int:
    """The contract's hash of a thread id."""
    return int.from_bytes(hashlib.sha256(thread_id.encode()).digest()[:8], "big") % partitions


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One document as the migration last wrote it."""

    name: str
    ops: int
    tasks: int
    edges: int
    heads: tuple[str, ...]
    size: int
    sha256: str
    content: str


@dataclass(frozen=True, slots=True)
class Index:
    partitions: int
    actor: str
    documents: tuple[IndexEntry, ...]

    def to_bytes(self) -> bytes:
        """Canonical: the same index is the same bytes."""
        return (json.dumps({"schema": SCHEMA, **asdict(self)}, sort_keys=True, indent=1) + "\n").encode()


def read_index(path: Path) -> Index | None:
    """The index in a file, None where there is none; raises `DamagedDocument`."""
    with file_errors(path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']} is not {SCHEMA}")
        entries = tuple(IndexEntry(**{**entry, "heads": tuple(entry["heads"])}) for entry in data["documents"])
        index = Index(int(data["partitions"]), str(data["actor"]), entries)
        if index.partitions != len(entries):
            raise ValueError(f"{index.partitions} partitions, {len(entries)} documents")
    except (ValueError, KeyError, TypeError) as exc:
        raise DamagedDocument(
            str(path), f"it is no index of plan documents: {exc}", "move the folder away, keep it, and run again"
        ) from exc
    return index
