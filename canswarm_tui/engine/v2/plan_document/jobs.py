"""What a parent asks of a child process and what it is told: plain values that marshal can carry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WriteJob:
    """Make `new` from `document` (if that exists) and the spooled rows; the parent renames it."""

    document: str
    new: str
    actor: bytes
    with_place: bool
    ops: str
    tasks: str
    edges: str
    op_count: int
    task_count: int
    edge_count: int
    known_content: str = ""
    """If the input's digest is this and the file's is `known_sha256`, there is nothing to do."""
    known_sha256: str = ""


@dataclass(frozen=True, slots=True)
class WriteResult:
    changed: bool
    """False: `new` was not written, the document holds all this already."""
    ops: int
    tasks: int
    edges: int
    """Rows put in or found there."""
    appended: int
    conflicts: int
    size: int
    sha256: str
    heads: list[str]
    """Of the document as it will be. Empty where the job was skipped unseen: the index knows them."""
    content: str
    """The digest of the spooled input."""
    peak_memory_bytes: int


DISPUTES_TOLD = 50


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Load `document` from the disk and spool what is in it."""

    document: str
    with_place: bool
    ops: str
    tasks: str
    edges: str


@dataclass(frozen=True, slots=True)
class ReadResult:
    ops: int
    tasks: int
    edges: int
    size: int
    sha256: str
    heads: list[str]
    actor: bytes
    """Of the first change: whose migration made it."""
    peak_memory_bytes: int
    changes: int
    actors: int
    disputes: list[str]
    """Values that hide another one that was written at the same time, in words; at most `DISPUTES_TOLD`."""
    disputes_sought: bool
    """False: too much was written since the migration to look for them."""


@dataclass(frozen=True, slots=True)
class MergeJob:
    """Prove in memory that a document forks, merges and syncs, also after a lost message."""

    document: str
    peer: str


@dataclass(frozen=True, slots=True)
class MergeResult:
    merged_heads: list[str]
    rounds: int
    """Sync messages each way until both had equal heads."""
    message_bytes: int
    """The largest message: a bus may have a limit."""
    lost_message_stalls: bool
    """After a lost message the same sync states had nothing to say while the heads differed; fresh ones settled it."""
    peak_memory_bytes: int


Job = WriteJob | ReadJob | MergeJob
Result = WriteResult | ReadResult | MergeResult
KINDS: dict[str, type[Job]] = {kind.__name__: kind for kind in (WriteJob, ReadJob, MergeJob)}
RESULTS: dict[str, type[Result]] = {kind.__name__: kind for kind in (WriteResult, ReadResult, MergeResult)}
