"""What the steps that copy a keyed set share: comparing source and target key by key, each difference by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from canswarm_tui.engine.compare import Keyed, Pair, Side, side_by_side
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.journal import Receipt, ReceiptFate
from canswarm_tui.engine.rate import Meter
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Progress, Verdict
from canswarm_tui.engine.text import counted, shown

FINDINGS_AT_ONCE = 200
CHOOSE = "compare both values, then `canswarm-tui findings resolve ID --keep target` or `--keep site`"


class Mended(Enum):
    """What puts a changed record right."""

    BY_HAND = auto()
    BY_CHOICE = auto()
    """Its step can put either side's value in place, see `Resolver`."""
    BY_RUNNING_AGAIN = auto()
    """The target holds nothing but the site's content, or it is damaged."""


@dataclass(frozen=True, slots=True)
class SetName:
    """What a compared set is called: `blobs`, findings `blob.…`, target `MinIO`, proof `by content`."""

    noun: str
    code: str
    target: str
    proof: str
    mended: Mended = Mended.BY_HAND
    """How a record that this run had copied and that is something else now is put right."""
    remedy: str = "run the step again: it copies it anew"
    """What to do where running again mends it."""


@dataclass
class _Count:
    compared: int = 0
    equal: int = 0
    differences: int = 0
    foreign: int = 0
    kept: int = 0


class Findings:
    """Collects findings and hands them to the journal many at a time; `flush` at the end."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._waiting: list[Finding] = []
        self.counts: dict[Kind, int] = dict.fromkeys(Kind, 0)

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        self._waiting.append(finding)
        if len(self._waiting) >= FINDINGS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        self._ctx.found(*self._waiting)
        self._waiting.clear()


def compare_keyed(
    ctx: StepContext,
    source: Iterable[Keyed],
    target: Iterable[Keyed],
    name: SetName,
    *,
    total: int | None = None,
    value_text: Callable[[bytes], str] = bytes.hex,
    size_bytes: Callable[[], int] = lambda: 0,
    missing: Callable[[bytes], str] | None = None,
) -> Verdict:
    """Compare two streams of (key, content or digest) sorted by key; every difference becomes a finding by name.

    A record that this run had copied and that is missing at the target loses its receipt, so that the next run copies
    it again. What the target holds beyond the site is a difference when this run put it there, a note otherwise.
    `missing` says of a key that did not come why not; without it, that it is missing in the target.
    """
    count, findings, meter = _Count(), Findings(ctx), Meter()
    lost: list[bytes] = []
    kept = {r.key for r in ctx.journal.receipts(fates=(ReceiptFate.TARGET_KEPT,))}
    for pair in side_by_side(source, target):
        ctx.stop.check()
        if pair.side is Side.EQUAL:
            count.equal += 1
        elif pair.side is Side.DIFFERS and pair.key in kept:
            count.kept += 1
        else:
            _differs(ctx, pair, name, count, findings, lost, value_text, missing)
        count.compared += pair.side is not Side.EXTRA
        done = count.compared
        if done % 256 == 0:
            meter.count(done)
            ctx.progress(Progress("comparing", done, total, rate=meter.rate(), eta_s=meter.eta_s(total)))
    findings.flush()
    ctx.journal.set_fates(lost, ReceiptFate.LOST)
    comparison = Comparison(f"{name.noun} in {name.target}", name.proof, count.compared, count.equal, size_bytes())
    return Verdict((comparison,), count.differences, _summary(name, count), {"compared": count.compared})


def _differs(
    ctx: StepContext,
    pair: Pair,
    name: SetName,
    count: _Count,
    findings: Findings,
    lost: list[bytes],
    value_text: Callable[[bytes], str],
    missing: Callable[[bytes], str] | None,
) -> None:
    receipt = ctx.journal.receipt(pair.key)
    ours = receipt is not None and receipt.fate in (ReceiptFate.CREATED, ReceiptFate.REPLACED)
    if pair.side is Side.EXTRA and not ours:
        count.foreign += 1
        findings.add(_foreign(pair, name))
        return
    count.differences += 1
    damaged = pair.side is Side.DIFFERS and name.mended is Mended.BY_RUNNING_AGAIN
    if (pair.side is Side.MISSING or damaged) and receipt is not None:
        lost.append(pair.key)
    found = _difference(pair, name, receipt, ours=ours, value_text=value_text)
    if pair.side is Side.MISSING and missing is not None:
        found = replace(found, happened=missing(pair.key))
    findings.add(found)


def _moved_in_site(pair: Pair, receipt: Receipt | None) -> bool:
    """The site has another value than this run had copied: the copy calls that a conflict too, so it is one finding."""
    assert pair.source is not None
    return receipt is not None and receipt.digest not in (pair.source, hashlib.sha256(pair.source).digest())


def _foreign(pair: Pair, name: SetName) -> Finding:
    return Finding(
        f"{name.code}.foreign", Level.NOTE, Kind.CONDITION, shown(pair.key),
        f"{name.target} holds it, but neither the site nor this run does", "nothing: it is left alone",
    )  # fmt: skip


def _difference(
    pair: Pair, name: SetName, receipt: Receipt | None, *, ours: bool, value_text: Callable[[bytes], str]
) -> Finding:
    details = {"key": pair.key.hex()}
    if pair.source is not None:
        details["site"] = value_text(pair.source)
    if pair.target is not None:
        details["target"] = value_text(pair.target)
    if receipt is not None:
        details["receipt"] = f"{receipt.fate.name.lower().replace('_', ' ')}, SHA-256 {receipt.digest.hex()}"
    chosen = name.mended is Mended.BY_CHOICE
    if pair.side is Side.DIFFERS and (not ours or (chosen and _moved_in_site(pair, receipt))):
        return Finding(
            f"{name.code}.conflict", Level.WARNING, Kind.CONFLICT, shown(pair.key),
            f"{name.target} already holds something else under this name; it was not overwritten",
            CHOOSE, details,
        )  # fmt: skip
    code, happened, remedy = {
        Side.MISSING: ("missing", f"it is missing in {name.target}", "run the step again: it copies what is missing"),
        Side.EXTRA: (
            "vanished", f"this run copied it to {name.target}, but the site does not have it any more",
            "find out who removed it from the site; accept this with a reason, or undo the step",
        ),
        Side.DIFFERS: (
            "differs", f"{name.target} holds something else than the site, although this run had copied it",
            "find out who changed it, move it away and run the step again, or accept this with a reason",
        ),
    }[pair.side]  # fmt: skip
    kind = Kind.DIFFERENCE
    if pair.side is Side.DIFFERS and name.mended is Mended.BY_CHOICE:
        kind, remedy = Kind.CONFLICT, f"find out who changed it, {CHOOSE}"
    elif pair.side is Side.DIFFERS and name.mended is Mended.BY_RUNNING_AGAIN:
        happened = f"{name.target} does not give it back whole: {details.get('target', '')}"
        remedy = name.remedy
    return Finding(f"{name.code}.{code}", Level.WARNING, kind, shown(pair.key), happened, remedy, details)


def _summary(name: SetName, count: _Count) -> str:
    text = f"{count.equal:,} of {count.compared:,} {name.noun} equal in {name.target}, {name.proof}"
    if count.differences:
        text += f"; {counted(count.differences, 'difference')}"
    if count.kept:
        text += f"; {count.kept:,} where a person kept the target's value"
    if count.foreign:
        text += f"; {count.foreign:,} others are there and were left alone"
    return text


class SetDigest:
    """SHA-256 over the keys and digests of a sorted set: two sets with the same one are the same."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.records = 0
        self.size_bytes = 0

    def add(self, key: bytes, digest: bytes, size_bytes: int) -> None:
        self._sha.update(len(key).to_bytes(4, "big") + key + digest)
        self.records += 1
        self.size_bytes += size_bytes

    def text(self) -> str:
        return self._sha.hexdigest()[:16]
