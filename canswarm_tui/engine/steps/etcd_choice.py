"""A conflict in etcd resolved as a person chose, and taken back by an undo. Shared by decisions and the map of CIDs."""

from __future__ import annotations

import hashlib

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.journal import Receipt, ReceiptFate
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.step import Finding, Keep, Outcome
from canswarm_tui.engine.steps import replaced
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.transfer import CopyPlan, kept
from canswarm_tui.engine.v2.decisions import EXISTING_SHOWN_BYTES, EtcdSink


def choose(ctx: StepContext, sink: EtcdSink, record: Record, finding: Finding, keep: Keep) -> Outcome:
    """Keep etcd's value, or put `record`, the site's, in its place; etcd's former value is kept whole for an undo.

    Raises `Blocked` where etcd holds nothing there any more, or something else than the finding shows.
    """
    key = record.key
    there = sink.get(key)
    if there is None:
        raise Blocked(shown(key), "etcd holds nothing under this key any more", "run the step again: it copies it")
    replaced.require_shown(finding, shown(there.value), shown(there.value[:EXISTING_SHOWN_BYTES]))
    if keep is Keep.TARGET:
        ctx.journal.put_receipt(Receipt(key, record.digest, record.size, ReceiptFate.TARGET_KEPT, "", 0))
        return Outcome(present=1, summary=f"etcd keeps its value of {shown(key)}")
    former = ctx.journal.keep_replaced(
        Receipt(key, record.digest, record.size, ReceiptFate.REPLACED, "", 0), there.value
    )
    if sink.replace(record, hashlib.sha256(there.value).digest()) is None:
        ctx.journal.set_fates([key], ReceiptFate.LOST)
        ctx.journal.forget_replaced(key, former.earlier)
        raise Blocked(shown(key), "etcd's value changed at this moment", "look at both values again")
    now = sink.get(key)
    replaced.require_arrived(key, None if now is None else now.value, record.digest)
    return Outcome(created=1, summary=f"etcd now holds the site's value of {shown(key)}; {former.words}")


def sweep(ctx: StepContext, sink: EtcdSink) -> None:
    """Remove this run's markers from etcd, for all batches that have their receipts."""
    ctx.retry.call(lambda: sink.sweep(ctx.journal.run_id, ctx.journal.open_tags()))


def put_back(ctx: StepContext, sink: EtcdSink, plan: CopyPlan) -> int:
    """Undo every replacement in etcd, see `replaced.put_back`."""

    def fetch(key: bytes) -> bytes | None:
        there = sink.get(key)
        return None if there is None else there.value

    def replace(key: bytes, former: bytes, there: bytes | None) -> bool:
        record = Record(key, hashlib.sha256(former).digest(), len(former), former)
        if there is None:
            return sink.create(record)
        return sink.replace(record, hashlib.sha256(there).digest()) is not None

    return replaced.put_back(ctx, plan, fetch, replace)


def remove_renewed(ctx: StepContext, sink: EtcdSink, plan: CopyPlan) -> tuple[int, int]:
    """After `put_back`: delete what a person let this run put over a value of its own; (removed, changed since)."""
    kept_ones = {key for key, _ in ctx.journal.replaced()}
    renewed = [r for r in ctx.journal.receipts(fates=(ReceiptFate.REPLACED,)) if r.key not in kept_ones]
    removed = changed = 0
    for receipt in renewed:
        ctx.journal.mark_write()
        there = sink.get(receipt.key)
        ours = there is not None and hashlib.sha256(there.value).digest() == receipt.digest
        if there is not None and not (ours and sink.delete(there)):
            changed += 1
            ctx.found(kept(plan, receipt.key))
            continue
        removed += there is not None
        ctx.journal.set_fates([receipt.key], ReceiptFate.REMOVED)
    return removed, changed
