"""Copying a keyed set of immutable records: intent, write, receipt, in bounded batches with a bounded window.

One thread (the caller's) reads the source, writes the journal and emits events; workers only talk to the target.
Killed at any instant and called again, it ends as if it had never been disturbed: an intent without receipts is
settled with the target first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Defect, EngineError, Stopped
from canswarm_tui.engine.journal import Batch, ClosedBatch, Receipt, ReceiptFate, StepJournal
from canswarm_tui.engine.rate import Meter, RateLimit
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Sink, Wanted
from canswarm_tui.engine.retry import RetryPolicy
from canswarm_tui.engine.step import Figure, Finding, Kind, Level, Outcome, Progress
from canswarm_tui.engine.text import shown


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """How one set is copied and what it is called on a screen."""

    noun: str
    """What a record is, in the plural: `blobs`."""
    code: str
    """First part of its findings' codes: `blob`."""
    target: str
    """Where it goes: `MinIO`."""
    total: int | None = None
    total_bytes: int | None = None
    live: Callable[[], Mapping[str, Figure]] = dict
    """More figures for its progress, as they are now."""
    window: int = 2
    """Batches in flight: one is written while the next is read."""


@dataclass
class _Totals:
    already: Callable[[], int] = lambda: 0
    created: int = 0
    present: int = 0
    met: int = 0
    conflicts: int = 0
    size_bytes: int = 0
    meter: Meter = field(default_factory=Meter)

    def count_created(self, batch: ClosedBatch) -> int:
        """Count what of it this run created; returns how many that were."""
        sizes = [w.size for w in batch.whole] or [r.size for r in batch.receipts if r.fate is ReceiptFate.CREATED]
        self.created += len(sizes)
        self.size_bytes += sum(sizes)
        return len(sizes)

    @property
    def unchanged(self) -> int:
        return self.met + self.already()

    @property
    def done(self) -> int:
        return self.created + self.present + self.unchanged + self.conflicts


def copy(
    source: Iterable[Record], sink: Sink, ctx: StepContext, plan: CopyPlan, already: Callable[[], int] = lambda: 0
) -> Outcome:
    """Copy what of `source` (sorted by key) has no standing receipt yet; returns what was done.

    A source that reads only what is pending (see `pending`) tells with `already` how many it has left out.

    Raises the sink's errors after its retries are used up, and `Stopped`; in both cases every acknowledged batch has
    its receipts. A record whose content has changed since its receipt is given to the sink again, which tells a
    conflict.
    """
    totals = _Totals(already)
    _settle_open(sink, ctx, plan, totals)
    batches = _batches(_without_receipt(source, ctx.journal, totals), sink, ctx.limit)
    with ThreadPoolExecutor(plan.window, thread_name_prefix=f"copy-{ctx.step}") as workers:
        _Window(workers, sink, ctx, plan, totals).pump(batches)
    _tell(ctx, plan, totals, now=True)
    return Outcome(
        created=totals.created,
        present=totals.present,
        unchanged=totals.unchanged,
        conflicts=totals.conflicts,
        size_bytes=totals.size_bytes,
        summary=_summary(plan, totals),
    )


_Sent = tuple[Batch, list[Record]]
_Arrived = tuple[Batch, list[Record], Sequence[Landed]]


class _Window:
    """The batches in flight; receipts of what has landed are committed together with the next intent."""

    def __init__(
        self, workers: ThreadPoolExecutor, sink: Sink, ctx: StepContext, plan: CopyPlan, totals: _Totals
    ) -> None:
        self._workers, self._sink, self._ctx, self._plan, self._totals = workers, sink, ctx, plan, totals
        self._flying: dict[Future[Sequence[Landed]], _Sent] = {}
        self._number = ctx.journal.next_batch_number()

    def pump(self, batches: Iterator[list[Record]]) -> None:
        failure: BaseException | None = None
        try:
            for records in batches:
                self._ctx.stop.check()
                landed = self._landed(until=self._plan.window - 1)
                batch = self._intent(records)
                self._close(landed, opened=(batch,))
                self._ctx.limit.pause(len(records), sum(r.size for r in records), self._ctx.stop, self._held_back)
                retry = self._ctx.retry
                self._flying[self._workers.submit(write_settled, self._sink, records, batch, retry)] = (batch, records)
        except BaseException as exc:  # noqa: BLE001 - kept until what is in flight has its receipts, then raised
            failure = exc
        failure = self._drain() or failure
        if failure is not None:
            raise failure

    def _held_back(self) -> None:
        _tell(self._ctx, self._plan, self._totals, waiting="held back by the rate limit")

    def _intent(self, records: list[Record]) -> Batch:
        number, self._number = self._number, self._number + 1
        wanted = tuple(Wanted(key, digest, size) for key, digest, size, _ in records)
        return Batch(number, f"{self._ctx.journal.run_id}-{number}", wanted)

    def _landed(self, until: int) -> list[_Arrived]:
        """Results of finished batches, waiting until at most `until` are in flight."""
        finished = []
        while self._flying:
            ready = [f for f in self._flying if f.done()]
            if not ready and len(self._flying) <= until:
                break
            if not ready:
                wait(self._flying, timeout=0.2, return_when=FIRST_COMPLETED)
                _tell(self._ctx, self._plan, self._totals)
            for future in ready:
                finished.append((*self._flying[future], future.result()))
                del self._flying[future]
        return finished

    def _close(self, landed: Sequence[_Arrived], opened: Sequence[Batch] = ()) -> None:
        _commit(self._ctx, self._plan, self._totals, landed, opened)
        _tell(self._ctx, self._plan, self._totals)

    def _drain(self) -> BaseException | None:
        """Wait for what is in flight and keep what has landed; the first failure, if any."""
        failure: BaseException | None = None
        for future, sent in list(self._flying.items()):
            try:
                self._close([(*sent, future.result())])
            except (EngineError, Stopped) as exc:
                failure = failure or exc
        self._flying.clear()
        return failure


def write_settled(sink: Sink, records: Sequence[Record], batch: Batch, retry: RetryPolicy) -> Sequence[Landed]:
    """Write a batch; after a transient failure ask the target what has landed before trying the rest again."""
    landed: dict[bytes, Landed] = {}
    failed = False

    def attempt() -> None:
        nonlocal failed
        if failed:
            known = sink.settle([Wanted(r.key, r.digest, r.size) for r in records], batch.tag)
            landed.update((one.key, one) for one in known if one.fate is not Fate.ABSENT)
        failed = True
        rest = [r for r in records if r.key not in landed]
        if rest:
            landed.update((one.key, one) for one in sink.write(rest, batch.tag))

    retry.call(attempt)
    return [landed[r.key] for r in records]


def undo(sink: Sink, ctx: StepContext, plan: CopyPlan) -> Outcome:
    """Take away what the receipts call created by this run, newest batch first; returns how many went."""
    removed = left = gone = 0
    meter = Meter()
    _settle_open(sink, ctx, plan, _Totals())
    total = ctx.journal.count_receipts((ReceiptFate.CREATED,))
    for batch, receipts in ctx.journal.batches_with(ReceiptFate.CREATED):
        ctx.stop.check()
        ctx.journal.mark_write()
        removals = ctx.retry.call(lambda b=batch: sink.remove(b.wanted, b.tag))  # type: ignore[misc]
        for receipt, removal in zip(receipts, removals, strict=True):
            if removal is Removal.KEPT:
                left += 1
                ctx.found(kept(plan, receipt.key))
        ctx.journal.set_fates(
            [r.key for r, m in zip(receipts, removals, strict=True) if m is not Removal.KEPT], ReceiptFate.REMOVED
        )
        removed += sum(m is Removal.REMOVED for m in removals)
        gone += sum(m is Removal.GONE for m in removals)
        meter.count(removed + gone + left)
        ctx.progress(Progress("removing", removed + gone + left, total, rate=meter.rate(), eta_s=meter.eta_s(total)))
    summary = f"{removed:,} {plan.noun} that this run had created were removed from {plan.target}"
    if gone:
        summary += f", {gone:,} were gone already"
    if left:
        summary += f", {left:,} have changed since and were kept"
    return Outcome(removed=removed, conflicts=left, summary=summary)


def kept(plan: CopyPlan, key: bytes) -> Finding:
    """The finding for a record of this run that an undo leaves alone."""
    return Finding(
        f"{plan.code}.kept",
        Level.WARNING,
        Kind.CONFLICT,
        shown(key),
        f"it was written by this run, but {plan.target} holds something else now, so it was kept",
        "look at it; remove it yourself if nobody needs it, then accept this finding",
    )


def _settle_open(sink: Sink, ctx: StepContext, plan: CopyPlan, totals: _Totals) -> None:
    """Batches that a crash left without receipts: ask the target, and account for what is there."""
    for batch in ctx.journal.open_batches():
        ctx.stop.check()
        landed = ctx.retry.call(lambda b=batch: sink.settle(b.wanted, b.tag))  # type: ignore[misc]
        closed = _closed(batch, landed)
        arrived = len(closed.whole or closed.receipts)
        ctx.say(f"batch {batch.number} was interrupted: {arrived:,} of {len(landed):,} {plan.noun} had arrived")
        ctx.journal.commit(closed=[closed])
        # What was settled meets its receipt again when the source is read: don't count it twice.
        totals.met -= totals.count_created(closed)


def _closed(batch: Batch, landed: Sequence[Landed]) -> ClosedBatch:
    """What of the batch is at the target; `landed` is in the batch's order."""
    number, created, present = batch.number, ReceiptFate.CREATED, ReceiptFate.PRESENT
    if all(one.fate is Fate.CREATED and not one.where for one in landed):
        return ClosedBatch(number, whole=batch.wanted)
    receipts = tuple(
        Receipt(key, digest, size, created if one.fate is Fate.CREATED else present, one.where, number)
        for (key, digest, size), one in zip(batch.wanted, landed, strict=True)
        if one.fate is Fate.CREATED or one.fate is Fate.PRESENT
    )
    return ClosedBatch(number, receipts)


def _commit(
    ctx: StepContext,
    plan: CopyPlan,
    totals: _Totals,
    landed: Sequence[_Arrived],
    opened: Sequence[Batch],
) -> None:
    closed = []
    conflicts: list[Finding] = []
    for batch, records, ones in landed:
        closed.append(_closed(batch, ones))
        arrived = len(closed[-1].whole or closed[-1].receipts)
        totals.present += arrived - totals.count_created(closed[-1])
        if arrived < len(ones):
            conflicts += _conflicts(plan, records, ones)
    ctx.journal.commit(opened=opened, closed=closed)
    totals.conflicts += len(conflicts)
    ctx.found(*conflicts)


def _conflicts(plan: CopyPlan, records: Sequence[Record], landed: Sequence[Landed]) -> Iterator[Finding]:
    for record, one in zip(records, landed, strict=True):
        if one.fate is Fate.ABSENT:
            raise Defect(plan.target, "a batch was acknowledged with records still absent", "report this with the log")
        if one.fate is Fate.CONFLICT:
            yield _conflict(plan, record, one)


def _conflict(plan: CopyPlan, record: Record, one: Landed) -> Finding:
    there = "" if one.existing is None else shown(one.existing)
    ours = shown(record.body[:4096]) if isinstance(record.body, bytes) else str(record.body)
    return Finding(
        f"{plan.code}.conflict",
        Level.WARNING,
        Kind.CONFLICT,
        shown(one.key),
        f"{plan.target} already holds something else under this name; it was not overwritten",
        "compare both values, then `canswarm-tui findings resolve ID --keep target` or `--keep site`",
        {"site": ours, "target": there, "key": one.key.hex()},
    )


def _without_receipt(source: Iterable[Record], journal: StepJournal, totals: _Totals) -> Iterator[Record]:
    """Records that have no standing receipt with the same digest; both sides are in key order."""
    receipts = journal.receipts()
    receipt = next(receipts, None)
    before = b""
    for record in source:
        if record.key <= before and before:
            raise Defect("source", f"key {record.key!r} came out of order", "report this with the log")
        before = record.key
        while receipt is not None and receipt.key < record.key:
            receipt = next(receipts, None)
        if receipt is not None and receipt.key == record.key and _stands(receipt, record):
            totals.met += 1
            continue
        yield record


class Pending:
    """Of sorted (key, digest, size), those without a standing receipt; `left_out` counts the others as it goes."""

    def __init__(self, wanted: Iterable[Wanted], journal: StepJournal) -> None:
        self._wanted = wanted
        self._journal = journal
        self.left_out = 0

    def __iter__(self) -> Iterator[Wanted]:
        receipts = self._journal.receipts()
        receipt = next(receipts, None)
        for one in self._wanted:
            while receipt is not None and receipt.key < one.key:
                receipt = next(receipts, None)
            if receipt is not None and receipt.key == one.key and _stands(receipt, one):
                self.left_out += 1
            else:
                yield one


def _stands(receipt: Receipt, record: Record | Wanted) -> bool:
    return receipt.fate is ReceiptFate.TARGET_KEPT or receipt.digest == record.digest


def _batches(records: Iterator[Record], sink: Sink, limit: RateLimit) -> Iterator[list[Record]]:
    """As large as the sink takes them, but no larger than what the rate limit lets through in a second."""
    batch: deque[Record] = deque()
    size = 0
    for record in records:
        if batch and (
            len(batch) >= min(sink.max_records, limit.records_s or sink.max_records)
            or size + record.size > sink.max_bytes
        ):
            yield list(batch)
            batch.clear()
            size = 0
        batch.append(record)
        size += record.size
    if batch:
        yield list(batch)


def _tell(ctx: StepContext, plan: CopyPlan, totals: _Totals, *, now: bool = False, waiting: str = "") -> None:
    totals.meter.count(totals.done)
    ctx.progress(
        Progress(
            "copying",
            totals.done,
            plan.total,
            done_bytes=totals.size_bytes,
            total_bytes=plan.total_bytes,
            rate=totals.meter.rate(),
            eta_s=totals.meter.eta_s(plan.total),
            waiting=waiting,
            figures={
                "created": totals.created,
                "already there": totals.present,
                "conflicts": totals.conflicts,
                **plan.live(),
            },
        ),
        now=now,
    )


def _summary(plan: CopyPlan, totals: _Totals) -> str:
    if not totals.created and not totals.present and not totals.conflicts:
        return f"nothing new: all {totals.unchanged:,} {plan.noun} have arrived in {plan.target} before"
    parts = [f"{totals.created:,} {plan.noun} created in {plan.target}"]
    if totals.present:
        parts.append(f"{totals.present:,} were already there with equal content")
    if totals.unchanged:
        parts.append(f"{totals.unchanged:,} had arrived before")
    if totals.conflicts:
        parts.append(f"{totals.conflicts:,} in conflict")
    return ", ".join(parts)


def with_total(plan: CopyPlan, total: int, total_bytes: int | None = None) -> CopyPlan:
    """The same plan, now that the size of the set is known."""
    return replace(plan, total=total, total_bytes=total_bytes)
