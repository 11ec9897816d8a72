"""Plan store: SQLite → Automerge. All documents of a site are prepared beside the old ones, then renamed into place.

Between the two the journal says which digests are about to appear, so that after any crash a file is known to be this
run's or somebody else's. A file that nobody announced is never touched.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.journal import Batch, ClosedBatch, Receipt, ReceiptFate
from canswarm_tui.engine.records import Removal, Wanted
from canswarm_tui.engine.step import Comparison, Figure, Finding, Keep, Kind, Outcome, Verdict
from canswarm_tui.engine.steps.keyed import Findings, SetDigest
from canswarm_tui.engine.steps.plan_compare import OpsComparison, compare_views, op_rows
from canswarm_tui.engine.steps.plan_findings import (
    bad_row,
    changed_file,
    changed_op,
    damaged_file,
    foreign_file,
    kept_file,
    missing_file,
    not_writable,
    partitioned,
    told_file,
    unfit_op,
)
from canswarm_tui.engine.steps.plan_source import Source, Telling, copy_aside, work_folder
from canswarm_tui.engine.steps.replaced import require_shown
from canswarm_tui.engine.text import bytes_text, counted
from canswarm_tui.engine.v1.plan_rows import BadRow
from canswarm_tui.engine.v2.plan_document import store
from canswarm_tui.engine.v2.plan_document.files import (
    DamagedDocument,
    file_digest,
    file_errors,
    new_name,
    rename_durably,
    write_new,
)
from canswarm_tui.engine.v2.plan_document.target import (
    PlanTarget,
    choose_partitions,
    estimate,
    read_index,
    site_actor,
)

PROCESSES = 2
_OURS = (ReceiptFate.CREATED, ReceiptFate.PRESENT)


class PlanStore:
    """Source: `.state/plan.db`; target: `.state/plan_automerge.bin`, or the folder of the partitioned form."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        source = copy_aside(ctx)
        target = _target(ctx, source)
        digest, bad = SetDigest(), 0

        def count_bad(_: BadRow) -> None:
            nonlocal bad
            bad += 1

        for row in op_rows(source.db, count_bad):
            content = repr(row).encode()
            digest.add(row[1].encode("utf-8", "backslashreplace"), hashlib.sha256(content).digest(), len(content))
        written = ctx.journal.fact("ops")
        there = written if isinstance(written, int) else 0
        where = f"{target.partitions} documents in {target.folder}" if target.partitions else f"{target.file}"
        lines = [
            f"write {max(0, digest.records - there):,} of {digest.records:,} ops, with the tasks and edges that follow"
            f" from them, into {where}, as actor {target.actor.hex()}",
            f"the set of ops has digest {digest.text()}",
        ]
        if bad:
            lines.append(f"leave {bad:,} rows where they are and name them: they are no ops as v1 writes them")
        return tuple(lines)

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """The plan store opens, the place can be written, and nobody else's document is there."""
        site = ctx.settings.site
        ctx.journal.pin("plan.document", str(site.plan_document.resolve()))
        source = copy_aside(ctx)
        if not os.access(site.plan_document.parent, os.W_OK | os.X_OK):
            yield not_writable(site.plan_document.parent)
            return
        target = _target(ctx, source)
        if target.partitions:
            yield partitioned(source.ops, estimate(source.ops, source.mean_row_bytes), target.partitions)

    def run(self, ctx: StepContext) -> Outcome:
        arrived = _settle(ctx)
        source = copy_aside(ctx)
        target = _target(ctx, source)
        kept = any(ctx.journal.receipts(fates=(ReceiptFate.TARGET_KEPT,)))
        if kept:
            return Outcome(present=source.ops, summary="a person chose to keep the plan document that was there")
        _found_again(ctx)
        foreign = list(_foreign(ctx, target))
        if foreign:
            ctx.found(*foreign)
            summary = "a plan document is there that this run did not write: nothing was written"
            return Outcome(conflicts=len(foreign), summary=summary)
        _remember(ctx, target)
        findings = Findings(ctx)
        try:
            began = time.monotonic()
            done = ctx.retry.call(lambda: _prepare(ctx, source, target, findings))
            took_s = time.monotonic() - began
            findings.flush()
            size = _publish(ctx, done)
        finally:
            store.discard(target)
        ctx.journal.set_fact("ops", done.ops)
        outcome = _outcome(source, target, done, findings, size, arrived)
        rate: dict[str, Figure] = {"ops a second": round(done.appended / took_s)} if done.appended and took_s else {}
        return replace(outcome, figures={**rate, **outcome.figures})

    def verify(self, ctx: StepContext) -> Verdict:
        """Every op field for field and in order, tasks and edges against v1's tables, from the files on the disk."""
        source = copy_aside(ctx)
        target = _on_disk(ctx, source)
        findings = Findings(ctx)
        missing = [path for path in _expected(ctx, target) if not path.exists()]
        if missing:
            ctx.found(*(missing_file(path) for path in missing))
            ctx.journal.set_fates([_key(target, path) for path in missing], ReceiptFate.LOST)
            return _nothing_equal(source, "a plan document is missing")
        tools = store.Tools(work_folder(ctx, "read"), PROCESSES, ctx.stop.check, Telling(ctx, source.ops))
        try:
            reading = store.read(target, tools)
        except DamagedDocument as exc:
            ctx.found(damaged_file(exc))
            return _nothing_equal(source, f"{exc.subject}: {exc.happened}")
        meter = Telling(ctx, source.ops)

        def tick(done: int) -> None:
            ctx.stop.check()
            meter("comparing", done)

        ops = OpsComparison(
            source.db, reading, bool(target.partitions), work_folder(ctx, "compare"), findings.add, tick
        ).run()
        comparisons = (ops.comparison, *compare_views(source.db, reading, findings.add))
        for finding in _changed_since(ctx, target):
            findings.add(finding)
        findings.flush()
        differences = sum(one.different for one in comparisons)
        counts = ", ".join(f"{c.equal:,} of {c.compared:,} {c.name.split()[0]}" for c in comparisons)
        return Verdict(
            comparisons, differences, f"{counts} equal in Automerge, by content and in v1's order",
            {
                "document bytes": sum(one.size for one in reading.documents),
                **_heads([one.heads for one in reading.documents]),
                "documents": len(reading.documents), "quarantined ops": ops.quarantined, "ops of others": ops.others,
                "memory of the child processes": bytes_text(reading.peak_memory_bytes),
            },
        )  # fmt: skip

    def undo(self, ctx: StepContext) -> Outcome:
        """Remove the documents that this run wrote and nobody has changed since; put back what a person replaced."""
        _settle(ctx)
        folder = ctx.settings.site.plan_document.parent
        removed = 0
        changed: set[Path] = set()
        for _, receipts in ctx.journal.batches_with(ReceiptFate.CREATED):
            ctx.stop.check()
            ctx.journal.mark_write()
            for receipt in receipts:
                path = folder / receipt.key.decode()
                removal = store.remove(path, receipt.digest)
                removed += removal is Removal.REMOVED
                if removal is Removal.KEPT:
                    changed.add(path)
                else:
                    ctx.journal.set_fates([receipt.key], ReceiptFate.REMOVED)
        for key, content in ctx.journal.replaced():
            path = folder / key.decode()
            if not _put_back(ctx, path, key, content):
                changed.add(path)
        ctx.found(*map(kept_file, sorted(changed)))
        kept = len(changed)
        store.discard(_empty_target(ctx))
        if not kept:
            ctx.journal.set_fact("form", None)
            ctx.journal.set_fact("ops", None)
        summary = f"{counted(removed, 'file')} of the plan document removed, written by this run"
        return Outcome(removed=removed, conflicts=kept, summary=f"{summary}, {kept:,} kept" if kept else summary)

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        """Keep the document that is there, or write the site's in its place; the other one is kept for an undo."""
        key = bytes.fromhex(finding.details["key"])
        path = ctx.settings.site.plan_document.parent / key.decode()
        digest = file_digest(path)
        if digest is None:
            raise Blocked(str(path), "the file is not there any more", "run the step again")
        with file_errors(path):
            content = path.read_bytes()
        require_shown(finding, told_file(digest, len(content)))
        if keep is Keep.TARGET:
            ctx.journal.put_receipt(Receipt(key, digest, len(content), ReceiptFate.TARGET_KEPT, "", 0))
            return Outcome(present=1, summary=f"{path} is kept as it is; the step writes nothing beside it")
        ctx.journal.keep_replaced(Receipt(key, digest, len(content), ReceiptFate.REPLACED, "", 0), content)
        store.remove(path, digest)
        return self.run(ctx)


def _nothing_equal(source: Source, why: str) -> Verdict:
    nothing = Comparison("ops in Automerge, in v1's order", "by content", source.ops, 0)
    return Verdict((nothing,), max(1, source.ops), why)


def _target(ctx: StepContext, source: Source) -> PlanTarget:
    """Form and actor as decided at the first run; else by the estimate."""
    form = ctx.journal.fact("form")
    if isinstance(form, dict):
        return _with(ctx, bytes.fromhex(str(form["actor"])), int(str(form["partitions"])))
    budget = ctx.settings.engine.memory_budget_mib * 2**20
    partitions = choose_partitions(source.ops, source.mean_row_bytes, budget, PROCESSES)
    return _with(ctx, site_actor(source.identity), partitions)


def _on_disk(ctx: StepContext, source: Source) -> PlanTarget:
    """What a reader of the site would find: the partitioned form where its index is."""
    planned = _target(ctx, source)
    index = read_index(planned.index)
    return _with(ctx, planned.actor, 0 if index is None and planned.file.exists() else
                 index.partitions if index is not None else planned.partitions)  # fmt: skip


def _with(ctx: StepContext, actor: bytes, partitions: int) -> PlanTarget:
    site = ctx.settings.site
    return PlanTarget(site.plan_document, site.plan_partitions, actor, partitions)


def _empty_target(ctx: StepContext) -> PlanTarget:
    form = ctx.journal.fact("form")
    return _with(ctx, b"", int(str(form["partitions"])) if isinstance(form, dict) else 0)


def _remember(ctx: StepContext, target: PlanTarget) -> None:
    """Before anything is written: a later estimate must not change form or actor."""
    if ctx.journal.fact("form") is None:
        ctx.journal.set_fact("form", {"partitions": target.partitions, "actor": target.actor.hex()})


def _key(target: PlanTarget, path: Path) -> bytes:
    """A file's key in the journal: its path from `.state`."""
    return str(path.relative_to(target.file.parent)).encode()


def _files(target: PlanTarget) -> tuple[Path, ...]:
    return (*target.documents, target.index) if target.partitions else target.documents


def _expected(ctx: StepContext, target: PlanTarget) -> Iterator[Path]:
    """Every file that must be there: the form's, and whatever has a receipt."""
    yield from _files(target)
    known = {_key(target, path) for path in _files(target)}
    for receipt in ctx.journal.receipts(fates=_OURS):
        if receipt.key not in known:
            yield target.file.parent / receipt.key.decode()


def _settle(ctx: StepContext) -> int:
    """After a crash: a file that has the announced content did arrive. Answers how many did."""
    folder = ctx.settings.site.plan_document.parent
    arrived = 0
    for batch in ctx.journal.open_batches():
        there = [w for w in batch.wanted if file_digest(folder / w.key.decode()) == w.digest]
        ctx.say(f"batch {batch.number} was interrupted: {len(there):,} of {len(batch.wanted):,} files had arrived")
        receipts = tuple(Receipt(w.key, w.digest, w.size, ReceiptFate.CREATED, "", batch.number) for w in there)
        ctx.journal.commit(closed=[ClosedBatch(batch.number, receipts)])
        arrived += len(there)
    return arrived


def _found_again(ctx: StepContext) -> None:
    """A file that a verify missed and that is there again as this run wrote it is this run's as before."""
    folder = ctx.settings.site.plan_document.parent
    lost = ctx.journal.receipts(fates=(ReceiptFate.LOST,))
    again = [one.key for one in lost if file_digest(folder / one.key.decode()) == one.digest]
    ctx.journal.set_fates(again, ReceiptFate.CREATED)


def _foreign(ctx: StepContext, target: PlanTarget) -> Iterator[Finding]:
    """Files where ours belong, and a document of the other form, that this run did not write as they are."""
    for path in dict.fromkeys((target.file, target.index, *_files(target))):
        digest = file_digest(path)
        receipt = ctx.journal.receipt(_key(target, path))
        ours = receipt is not None and receipt.fate in _OURS and receipt.digest == digest
        if digest is None or ours:
            continue
        yield foreign_file(path, _key(target, path), digest, receipt)


def _prepare(ctx: StepContext, source: Source, target: PlanTarget, findings: Findings) -> store.Preparation:
    rows = op_rows(source.db, lambda bad: findings.add(bad_row(bad)))
    tools = store.Tools(
        work_folder(ctx, "write"), PROCESSES, ctx.stop.check, Telling(ctx, source.ops),
        lambda rejected: findings.add(unfit_op(rejected)), lambda conflict: findings.add(changed_op(conflict)),
    )  # fmt: skip
    return store.prepare(target, rows, tools)


def _publish(ctx: StepContext, done: store.Preparation) -> int:
    """Announce, rename, acknowledge; answers the bytes written."""
    changed = [file for file in done.files if file.changed]
    if not changed:
        return 0
    folder = ctx.settings.site.plan_document.parent
    keys = [str(file.path.relative_to(folder)).encode() for file in changed]
    number = ctx.journal.next_batch_number()
    wanted = tuple(Wanted(key, file.sha256, file.size) for key, file in zip(keys, changed, strict=True))
    ctx.stop.check()
    ctx.journal.commit(opened=[Batch(number, f"{ctx.journal.run_id}-{number}", wanted)])
    ctx.retry.call(lambda: store.publish(done))
    receipts = tuple(
        Receipt(key, file.sha256, file.size, ReceiptFate.CREATED, " ".join(file.heads), number)
        for key, file in zip(keys, changed, strict=True)
    )
    ctx.journal.commit(closed=[ClosedBatch(number, receipts)])
    return sum(file.size for file in changed)


def _outcome(
    source: Source, target: PlanTarget, done: store.Preparation, findings: Findings, size: int, arrived: int
) -> Outcome:
    where = f"{target.partitions} documents" if target.partitions else "one document"
    summary = f"{done.appended:,} ops were written into {where}, {done.ops - done.appended:,} were there"
    if not size:
        summary = f"nothing new: all {done.ops:,} ops are in {where}"
    if arrived:
        summary += f"; {arrived:,} files of an interrupted run had arrived"
    return Outcome(
        created=done.appended, unchanged=done.ops - done.appended - done.conflicts, conflicts=done.conflicts,
        quarantined=findings.counts[Kind.QUARANTINE], size_bytes=size, summary=summary,
        figures={
            "document bytes": sum(file.size for file in done.files), **_heads([f.heads for f in done.files if f.heads]),
            "ops": done.ops, "tasks": done.tasks, "edges": done.edges, "documents": len(target.documents),
            "memory of the child processes": bytes_text(done.peak_memory_bytes),
            "estimated memory of one document": bytes_text(estimate(source.ops, source.mean_row_bytes)),
        },
    )  # fmt: skip


def _heads(of_documents: Sequence[Sequence[str]]) -> dict[str, Figure]:
    """The heads of one document by name, of several by number."""
    if len(of_documents) == 1:
        return {"heads": " ".join(of_documents[0])}
    return {"heads of all documents": sum(map(len, of_documents))} if of_documents else {}


def _changed_since(ctx: StepContext, target: PlanTarget) -> Iterator[Finding]:
    for path in _files(target):
        receipt = ctx.journal.receipt(_key(target, path))
        if receipt is not None and receipt.fate in _OURS and receipt.digest != file_digest(path):
            yield changed_file(path)


def _put_back(ctx: StepContext, path: Path, key: bytes, content: bytes) -> bool:
    """The file that a person had replaced; False where somebody has put another one there since."""
    there = file_digest(path)
    if there not in (None, hashlib.sha256(content).digest()):
        return False
    if there is None:
        ctx.journal.mark_write()
        with file_errors(path):
            path.parent.mkdir(mode=0o700, exist_ok=True)
        write_new(new_name(path), content)
        rename_durably(new_name(path), path)
        ctx.say(f"put the former {path.name} back")
    ctx.journal.set_fates([key], ReceiptFate.REMOVED)
    ctx.journal.forget_replaced(key)
    return True
