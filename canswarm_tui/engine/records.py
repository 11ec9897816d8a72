"""The values that travel between a source, a sink and the journal. Adapters and the transfer share them.

A record is immutable: same key, same bytes, for ever. Keys are bytes and are ordered as bytes.
They are named tuples: a run makes several for each record, and a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One record on its way: `digest` is the 32-byte SHA-256 of the content, `size` its length in bytes."""

    key: bytes
    digest: bytes
    size: int
    body: bytes | Path
    """The content, or the file that holds it where it is too large for memory."""


class Fate(IntEnum):
    """What became of a record at the target."""

    CREATED = 1
    """This run's batch made it (its tag says so)."""
    PRESENT = 2
    """It was there before, with equal content."""
    CONFLICT = 3
    """Something else is there under this key; it was left alone."""
    ABSENT = 4
    """It is not there: not written (yet)."""


class Landed(NamedTuple):
    """What the target holds for one key after a write or after looking."""

    key: bytes
    fate: Fate
    where: str = ""
    """Where it can be looked up, if the key does not say: a CID, a file's name."""
    existing: bytes | None = None
    """For a conflict: what is there, at most its first 4096 bytes."""


class Wanted(NamedTuple):
    """A key and the content that should be under it, without the content itself."""

    key: bytes
    digest: bytes
    size: int


class Removal(IntEnum):
    """What became of a record that an undo wanted gone."""

    REMOVED = 1
    GONE = 2
    """It was not there any more."""
    KEPT = 3
    """It is not what this run created, or has changed since: left alone."""


class Sink(Protocol):
    """A keyed store of immutable records that only ever creates. `tag` names one batch of one run at the target.

    All methods raise `EngineError`s; after a transient one from `write` the effect is unknown, and `settle` tells it.
    They may be called from several threads at once, with different batches.
    """

    max_records: int
    """Largest batch, in records."""
    max_bytes: int
    """Largest batch, in bytes of content; one record may be larger and then travels alone."""

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        """Create what is absent and leave alone what is there; one `Landed` for each record, in order, never ABSENT."""
        ...

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:
        """After no answer or a crash: one `Landed` for each; CREATED only where the target shows that `tag` made it."""
        ...

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:
        """Delete what `tag` created and is still the same; one `Removal` for each, in order."""
        ...
