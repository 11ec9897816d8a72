"""Two keyed sets side by side: one merge walk over sorted streams, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from canswarm_tui.engine.errors import Defect

Keyed = tuple[bytes, bytes]
"""A key and the digest (or the content) under it."""


class Side(StrEnum):
    MISSING = "missing at the target"
    EXTRA = "at the target, but not in the site"
    DIFFERS = "differs"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class Pair:
    """What both sides hold for one key; None where a side has nothing."""

    key: bytes
    side: Side
    source: bytes | None
    target: bytes | None


def side_by_side(source: Iterable[Keyed], target: Iterable[Keyed]) -> Iterator[Pair]:
    """Every key of either side, in order. Raises `Defect` when a side is out of order or repeats a key."""
    left, right = _ordered(source, "source"), _ordered(target, "target")
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield Pair(a[0], Side.MISSING, a[1], None)
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield Pair(b[0], Side.EXTRA, None, b[1])
            b = next(right, None)
        else:
            yield Pair(a[0], Side.EQUAL if a[1] == b[1] else Side.DIFFERS, a[1], b[1])
            a, b = next(left, None), next(right, None)


def _ordered(side: Iterable[Keyed], name: str) -> Iterator[Keyed]:
    before: bytes | None = None
    for keyed in side:
        if before is not None and keyed[0] <= before:
            fault = "twice" if keyed[0] == before else "out of order"
            raise Defect(name, f"key {keyed[0]!r} came {fault}", "report this with `canswarm-tui diagnose`")
        before = keyed[0]
        yield keyed
