"""Receipts: what the journal knows of each record that was copied.

A batch that arrived whole keeps its receipts packed, in its intent: to say so costs one small write, not a row for
each record. Anything else is a row, which can be changed. Two rules keep one answer for each key: the spans of a step's
whole batches never meet, and a whole batch is spread into rows before one of its records changes.
"""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from canswarm_tui.engine.journal.batches import STANDING, ClosedBatch, Receipt, ReceiptFate, unpack

PAGE = 5000
_ROWS = 100
"""Receipts in one statement: a third less time than one each, and other threads run meanwhile."""
_COLUMNS = "key, digest, size, fate, place, batch"


def close(db: sqlite3.Connection, step: str, closed: Iterable[ClosedBatch]) -> None:
    """Account for these batches, in the caller's transaction."""
    for batch in closed:
        if batch.whole and not _meets(db, step, batch.whole[0].key, batch.whole[-1].key):
            _close(db, batch.number, batch.whole[0].key, batch.whole[-1].key, len(batch.whole))
            continue
        receipts = batch.receipts or tuple(_created(batch.whole, batch.number))
        put(db, step, receipts)
        # The span leads from a batch to its receipts; an index would cost a third of writing them.
        first, last = (min(receipts).key, max(receipts).key) if receipts else (None, None)
        _close(db, batch.number, first, last, None)
        db.execute("DELETE FROM intents WHERE batch = ?", (batch.number,))


def put(db: sqlite3.Connection, step: str, receipts: Sequence[Receipt]) -> None:
    """Receipts as rows; each takes the place of what was known of its key."""
    _spread(db, step, [r.key for r in receipts])
    _insert(db, step, receipts)


def set_fates(db: sqlite3.Connection, step: str, keys: Iterable[bytes], fate: ReceiptFate) -> None:
    """Change what is known of those that have a receipt."""
    keys = list(keys)
    _spread(db, step, keys)
    db.executemany("UPDATE receipts SET fate = ? WHERE step = ? AND key = ?", ((int(fate), step, k) for k in keys))


def one(db: sqlite3.Connection, step: str, key: bytes) -> Receipt | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM receipts WHERE step = ? AND key = ?", (step, key)).fetchone()
    if row is not None:
        return _receipt(row)
    number = _whole_around(db, step, key)
    packed = () if number is None else _unpacked(db, number)
    return next((receipt for receipt in packed if receipt.key == key), None)


def count(db: sqlite3.Connection, step: str, fates: Sequence[ReceiptFate]) -> int:
    marks = ",".join("?" * len(fates))
    rows: int = db.execute(
        f"SELECT count(*) FROM receipts WHERE step = ? AND fate IN ({marks})", (step, *map(int, fates))
    ).fetchone()[0]
    if ReceiptFate.CREATED not in fates:
        return rows
    packed: int = db.execute(
        "SELECT coalesce(sum(whole), 0) FROM batches WHERE step = ? AND whole IS NOT NULL", (step,)
    ).fetchone()[0]
    return rows + packed


def page(
    db: sqlite3.Connection, step: str, after: bytes | None = None, fates: Sequence[ReceiptFate] = STANDING
) -> list[Receipt]:
    """The next receipts of these fates in key order, about `PAGE`; none are left when it is empty.

    `after` is the key of the last one before; None begins, for an empty key is a key.
    """
    marks = ",".join("?" * len(fates))
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM receipts WHERE step = ? AND key > ? AND fate IN ({marks}) ORDER BY key LIMIT {PAGE}",
        # Any blob is greater than a number.
        (step, -1 if after is None else after, *map(int, fates)),
    ).fetchall()
    upto: bytes | None = rows[-1][0] if len(rows) == PAGE else None
    packed: list[Receipt] = []
    if ReceiptFate.CREATED in fates:
        packed, upto = _packed_page(db, step, after, upto)
    merged = sorted(chain((_receipt(row) for row in rows), packed))
    return merged if upto is None else merged[: bisect_right(merged, upto, key=lambda r: r.key)]


def of_batch(db: sqlite3.Connection, step: str, number: int, fate: ReceiptFate) -> tuple[Receipt, ...]:
    """The receipts of one closed batch that have this fate, in key order."""
    first, last, whole = db.execute("SELECT first, last, whole FROM batches WHERE id = ?", (number,)).fetchone()
    if whole is not None:
        return tuple(_unpacked(db, number)) if fate is ReceiptFate.CREATED else ()
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM receipts WHERE step = ? AND key BETWEEN ? AND ? AND batch = ? AND fate = ?"
        " ORDER BY key",
        (step, first, last, number, int(fate)),
    )
    return tuple(map(_receipt, rows))


def _close(db: sqlite3.Connection, number: int, first: bytes | None, last: bytes | None, whole: int | None) -> None:
    db.execute(
        "UPDATE batches SET closed_at = ?, first = ?, last = ?, whole = ? WHERE id = ?",
        (time.time(), first, last, whole, number),
    )


def _insert(db: sqlite3.Connection, step: str, receipts: Sequence[Receipt]) -> None:
    for at in range(0, len(receipts), _ROWS):
        rows = receipts[at : at + _ROWS]
        marks = ",".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
        # sqlite3 looks for an adapter of every value that is bytes, which costs more than a copy as bytearray.
        values = chain.from_iterable(
            (bytearray(key), bytearray(digest), size, int(fate), place, number)
            for key, digest, size, fate, place, number in rows
        )
        each = f"SELECT ?, * FROM (VALUES {marks})"
        db.execute(f"INSERT OR REPLACE INTO receipts (step, {_COLUMNS}) {each}", (step, *values))


def _receipt(row: tuple[bytes, bytes, int, int, str, int]) -> Receipt:
    key, digest, size, fate, place, batch = row
    return Receipt(key, digest, size, ReceiptFate(fate), place, batch)


def _created(wanted: Iterable[tuple[bytes, bytes, int]], number: int) -> Iterator[Receipt]:
    return (Receipt(key, digest, size, ReceiptFate.CREATED, "", number) for key, digest, size in wanted)


def _unpacked(db: sqlite3.Connection, number: int) -> list[Receipt]:
    packed = db.execute("SELECT wanted FROM intents WHERE batch = ?", (number,)).fetchone()[0]
    return list(_created(unpack(packed), number))


def _packed_page(
    db: sqlite3.Connection, step: str, after: bytes | None, upto: bytes | None
) -> tuple[list[Receipt], bytes | None]:
    """Packed receipts after a key, and up to which key they are all there (None: to the end)."""
    spans = db.execute(
        "SELECT id, last FROM batches WHERE step = ? AND whole IS NOT NULL AND last > ? ORDER BY first",
        (step, -1 if after is None else after),
    )
    found: list[Receipt] = []
    for number, last in spans:
        receipts = _unpacked(db, number)
        found += receipts if after is None else receipts[bisect_right(receipts, after, key=lambda r: r.key) :]
        if upto is not None and last >= upto:
            return found, upto
        if len(found) >= PAGE:
            return found, last
    return found, upto


def _whole_around(db: sqlite3.Connection, step: str, key: bytes) -> int | None:
    """The one whole batch in whose span the key is."""
    row = db.execute(
        "SELECT id, last FROM batches WHERE step = ? AND whole IS NOT NULL AND first <= ? ORDER BY first DESC LIMIT 1",
        (step, key),
    ).fetchone()
    return None if row is None or row[1] < key else row[0]


def _meets(db: sqlite3.Connection, step: str, first: bytes, last: bytes) -> bool:
    """Whether a receipt of another batch, row or packed, may have a key in this span."""
    row = db.execute("SELECT 1 FROM receipts WHERE step = ? AND key BETWEEN ? AND ? LIMIT 1", (step, first, last))
    if row.fetchone() is not None:
        return True
    nearest = db.execute(
        "SELECT last FROM batches WHERE step = ? AND whole IS NOT NULL AND first <= ? ORDER BY first DESC LIMIT 1",
        (step, last),
    ).fetchone()
    return nearest is not None and nearest[0] >= first


def _spread(db: sqlite3.Connection, step: str, keys: Sequence[bytes]) -> None:
    """Turn the whole batches that hold one of these keys into rows."""
    if not keys:
        return
    wanted = sorted(set(keys))
    spans = db.execute(
        "SELECT id, first, last FROM batches WHERE step = ? AND whole IS NOT NULL AND first <= ? AND last >= ?",
        (step, wanted[-1], wanted[0]),
    ).fetchall()
    for number, first, last in spans:
        inside = set(wanted[bisect_left(wanted, first) : bisect_right(wanted, last)])
        receipts = _unpacked(db, number) if inside else []
        if any(receipt.key in inside for receipt in receipts):
            _insert(db, step, receipts)
            db.execute("UPDATE batches SET whole = NULL WHERE id = ?", (number,))
            db.execute("DELETE FROM intents WHERE batch = ?", (number,))
