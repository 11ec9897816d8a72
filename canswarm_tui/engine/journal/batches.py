"""Batches: what a transfer intended, and that its records have been accounted for.

An intent is one packed value, so that it costs one small write. What arrived is kept by `receipts`.
"""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from canswarm_tui.engine.records import Wanted

_HEAD = struct.Struct(">I32sQ")


class ReceiptFate(IntEnum):
    """What the journal knows of one record at the target."""

    CREATED = 1
    PRESENT = 2
    REPLACED = 5
    """A person chose the site's value over another that was there; that one is kept in `replaced`."""
    TARGET_KEPT = 6
    """A person chose the target's value."""
    REMOVED = 7
    """An undo took it away: not at the target."""
    LOST = 8
    """A verify found it missing: to be copied again."""


STANDING = (ReceiptFate.CREATED, ReceiptFate.PRESENT, ReceiptFate.REPLACED, ReceiptFate.TARGET_KEPT)


@dataclass(frozen=True, slots=True)
class Batch:
    """An intent: these keys, under this tag. `number` is 0 until the journal gives one."""

    number: int
    tag: str
    wanted: tuple[Wanted, ...]


class Receipt(NamedTuple):
    """The proof that one record reached its target."""

    key: bytes
    digest: bytes
    size: int
    fate: ReceiptFate
    place: str
    batch: int


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """A batch whose records have all been accounted for; a record in conflict has no receipt."""

    number: int
    receipts: tuple[Receipt, ...] = ()
    whole: tuple[Wanted, ...] = ()
    """Instead of receipts, the intent: it arrived whole, each record CREATED, none with a place, in key order."""


def pack(wanted: Iterable[Wanted]) -> bytes:
    """Keys, digests and sizes as one byte string; `unpack` is its inverse."""
    head = _HEAD.pack
    return b"".join([head(len(key), digest, size) + key for key, digest, size in wanted])


def unpack(packed: bytes) -> tuple[Wanted, ...]:
    wanted = []
    at = 0
    while at < len(packed):
        length, digest, size = _HEAD.unpack_from(packed, at)
        at += _HEAD.size
        wanted.append(Wanted(packed[at : at + length], digest, size))
        at += length
    return tuple(wanted)


def write_intents(db: sqlite3.Connection, step: str, batches: Iterable[Batch]) -> None:
    now = time.time()
    for batch in batches:
        db.execute(
            "INSERT INTO batches (id, step, tag, opened_at) VALUES (?, ?, ?, ?)",
            (batch.number, step, batch.tag, now),
        )
        db.execute("INSERT INTO intents VALUES (?, ?)", (batch.number, pack(batch.wanted)))


def open_batches(db: sqlite3.Connection, step: str) -> list[Batch]:
    rows = db.execute(
        "SELECT id, tag, wanted FROM batches JOIN intents ON batch = id"
        " WHERE step = ? AND closed_at IS NULL ORDER BY id",
        (step,),
    )
    return [Batch(number, tag, unpack(wanted)) for number, tag, wanted in rows]
