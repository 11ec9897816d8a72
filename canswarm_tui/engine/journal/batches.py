"""Batches and receipts: what a transfer intended and what arrived.

An intent is one packed row, so that it costs one small write; a receipt is a row of its own, so that it can be paged,
searched and joined.
"""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from canswarm_tui.engine.records import Wanted

_HEAD = struct.Struct(">I32sQ")
_ROWS = 100
"""Receipts in one statement: a third less time than one each, and other threads run meanwhile."""
PAGE = 5000


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
    receipts: tuple[Receipt, ...]


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
    db.executemany(
        "INSERT INTO batches (id, step, tag, wanted, opened_at) VALUES (?, ?, ?, ?, ?)",
        ((b.number, step, b.tag, pack(b.wanted), now) for b in batches),
    )


def write_receipts(db: sqlite3.Connection, step: str, closed: Iterable[ClosedBatch]) -> None:
    now = time.time()
    for batch in closed:
        for at in range(0, len(batch.receipts), _ROWS):
            rows = batch.receipts[at : at + _ROWS]
            marks = ",".join(["(?1, ?, ?, ?, ?, ?, ?)"] * len(rows))
            # sqlite3 looks for an adapter of every value that is bytes, which costs more than a copy as bytearray.
            values = chain.from_iterable(
                (bytearray(key), bytearray(digest), size, int(fate), place, number)
                for key, digest, size, fate, place, number in rows
            )
            db.execute(
                f"INSERT OR REPLACE INTO receipts (step, key, digest, size, fate, place, batch) VALUES {marks}",
                (step, *values),
            )
        # The span leads from a batch to its receipts; an index would cost a third of writing them.
        span = {min(batch.receipts), max(batch.receipts)} if batch.receipts else ()
        packed = pack(Wanted(r.key, r.digest, r.size) for r in sorted(span))
        db.execute("UPDATE batches SET closed_at = ?, wanted = ? WHERE id = ?", (now, packed, batch.number))


def open_batches(db: sqlite3.Connection, step: str) -> list[Batch]:
    rows = db.execute("SELECT id, tag, wanted FROM batches WHERE step = ? AND closed_at IS NULL ORDER BY id", (step,))
    return [Batch(number, tag, unpack(wanted)) for number, tag, wanted in rows]


def receipts_of(
    db: sqlite3.Connection, step: str, number: int, span: Sequence[Wanted], fate: ReceiptFate
) -> tuple[Receipt, ...]:
    """The receipts of one closed batch that have this fate, in key order; `span` is what the closed batch keeps."""
    if not span:
        return ()
    rows = db.execute(
        "SELECT key, digest, size, fate, place, batch FROM receipts"
        " WHERE step = ? AND key BETWEEN ? AND ? AND batch = ? AND fate = ? ORDER BY key",
        (step, span[0].key, span[-1].key, number, int(fate)),
    )
    return tuple(
        Receipt(key, digest, size, ReceiptFate(of), place, batch) for key, digest, size, of, place, batch in rows
    )


def read_receipts(
    db: sqlite3.Connection, step: str, after: bytes = b"", fates: Sequence[ReceiptFate] = tuple(ReceiptFate)
) -> Iterator[Receipt]:
    """Receipts in key order, read in pages so that no long read holds up the journal's log."""
    marks = ",".join("?" * len(fates))
    sql = (
        f"SELECT key, digest, size, fate, place, batch FROM receipts WHERE step = ? AND key > ? AND fate IN ({marks})"
        f" ORDER BY key LIMIT {PAGE}"
    )
    # An empty key is greater than nothing: start below it.
    first: bytes | int = after if after else -1
    while True:
        rows = db.execute(sql, (step, first, *map(int, fates))).fetchall()
        for key, digest, size, fate, place, batch in rows:
            yield Receipt(key, digest, size, ReceiptFate(fate), place, batch)
        if len(rows) < PAGE:
            return
        first = rows[-1][0]
