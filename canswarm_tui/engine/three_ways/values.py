"""What one record is on each of three sides, and how each two of them stand to each other. All values are frozen."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from canswarm_tui.engine.journal import Receipt, ReceiptFate
from canswarm_tui.engine.text import shown

EXCERPT_BYTES: Final = 2048
_HEX_BYTES: Final = 64
_FATES: Final = {
    ReceiptFate.CREATED: "this run made it",
    ReceiptFate.PRESENT: "it was there, and equal",
    ReceiptFate.REPLACED: "a person put the site's value there",
    ReceiptFate.TARGET_KEPT: "a person kept the target's value",
    ReceiptFate.REMOVED: "an undo took it away",
    ReceiptFate.LOST: "a verification found it missing",
}


class Likeness(StrEnum):
    EQUAL = "equal"
    DIFFERENT = "different"
    MISSING = "missing on one side"
    ABSENT = "on neither side"
    APART = "can't be compared"


@dataclass(frozen=True, slots=True)
class Held:
    """What one side holds under the key, read now."""

    where: str
    """The place in words: a server and a key, a file, the journal's batch."""
    digest: bytes | None = None
    """SHA-256 of what is held; None where nothing is."""
    size_bytes: int = 0
    excerpt: tuple[str, ...] = ()
    """Its beginning as printable lines, control and direction characters escaped; bytes that are no text as hex."""
    facts: tuple[str, ...] = ()
    """Sentences about it: a revision, a CID, who made it."""
    problem: str = ""
    """Why it is not whole or not what its key says; empty where nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides beside each other; `why` says what a reader could not guess."""

    first: str
    second: str
    likeness: Likeness
    why: str = ""


@dataclass(frozen=True, slots=True)
class ThreeWays:
    """One record of one step: the site's value, the target's, and what the journal's receipt says it was."""

    step: str
    noun: str
    """What the record is: `decision`, `blob`, `op`, `task`, `thread`, `policy document`, `envelope`."""
    key: bytes
    site: Held
    target: Held
    receipt: Held
    pairs: tuple[Pair, Pair, Pair]
    """Site and target, site and receipt, target and receipt."""
    read_at: float
    """Seconds since 1970."""
    notes: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Site and target hold the same, whole, and no receipt says otherwise."""
        return (
            self.pairs[0].likeness is Likeness.EQUAL
            and all(pair.likeness is not Likeness.DIFFERENT for pair in self.pairs)
            and not (self.site.problem or self.target.problem)
        )

    @property
    def known(self) -> bool:
        """Whether any side has ever heard of the key."""
        return any(side.digest is not None or side.problem for side in (self.site, self.target, self.receipt))

    @property
    def summary(self) -> str:
        """The outcome in one sentence."""
        if not self.known:
            return "neither the site, nor the target, nor the journal knows this key"
        if self.equal:
            return "site and target hold the same"
        return "they are not all the same"


def held(where: str, content: bytes, *facts: str, problem: str = "") -> Held:
    """A side that holds `content`."""
    return held_stream(where, (content,), *facts, problem=problem)


def held_stream(where: str, pieces: Iterable[bytes], *facts: str, problem: str = "") -> Held:
    """A side whose content comes in pieces; memory for one piece. What `pieces` raises goes through."""
    sha256, size, head = hashlib.sha256(), 0, b""
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
        if len(head) < EXCERPT_BYTES:
            head += piece[: EXCERPT_BYTES - len(head)]
    return Held(where, sha256.digest(), size, excerpt(head, size), facts, problem)


def excerpt(head: bytes, size_bytes: int) -> tuple[str, ...]:
    """The beginning of a content of `size_bytes` as printable lines."""
    if not size_bytes:
        return ("(empty)",)
    more = f"… {size_bytes - len(head):,} more bytes" if size_bytes > len(head) else ""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=not more)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        left = size_bytes - _HEX_BYTES
        lines = [f"bytes: {head[:_HEX_BYTES].hex(' ')}"]
        return (*lines, f"… {left:,} more bytes") if left > 0 else tuple(lines)
    lines = [shown(line) for line in text.splitlines()]
    return (*lines, more) if more else tuple(lines)


def held_receipt(receipt: Receipt | None) -> Held:
    """What the journal says; it keeps digest, size and place, never the content."""
    if receipt is None:
        return Held("the journal")
    where = f"the journal, batch {receipt.batch}" if receipt.batch else "the journal, as a person decided"
    facts = (_FATES[receipt.fate], *((shown(receipt.place, 200),) if receipt.place else ()))
    return Held(where, receipt.digest, receipt.size, (), facts)


def likeness_of(first: Held, second: Held) -> Likeness:
    """By their digests."""
    if first.digest is None or second.digest is None:
        return Likeness.ABSENT if first.digest is second.digest else Likeness.MISSING
    return Likeness.EQUAL if first.digest == second.digest else Likeness.DIFFERENT


def pairs_of(site: Held, target: Held, receipt: Held) -> tuple[Pair, Pair, Pair]:
    """All three by their digests: for records whose receipt is of the very content."""
    without = "" if receipt.digest is not None else "the journal has no receipt of it"
    return (
        Pair("site", "target", likeness_of(site, target)),
        Pair("site", "receipt", likeness_of(site, receipt), without),
        Pair("target", "receipt", likeness_of(target, receipt), without),
    )


def parted_at(site: bytes, target: bytes) -> str:
    """From which byte on two contents differ, in a sentence; empty where they are equal."""
    if site == target:
        return ""
    at = next((n for n, (a, b) in enumerate(zip(site, target, strict=False)) if a != b), min(len(site), len(target)))
    return f"site and target differ from byte {at + 1:,} on"
