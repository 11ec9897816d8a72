"""What both policy steps do with what they publish: the Rego examined, what is outdated of ours taken away, a copy."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.journal import ReceiptFate
from canswarm_tui.engine.records import Record, Removal, Sink, Wanted
from canswarm_tui.engine.step import Finding, Kind, Level, Outcome
from canswarm_tui.engine.steps.keyed import SetDigest
from canswarm_tui.engine.text import counted
from canswarm_tui.engine.transfer import CopyPlan, copy
from canswarm_tui.engine.v2.policy.opa_cli import Complaint, OpaCli, RegoTests, find_opa, require_opa, unsound
from canswarm_tui.engine.v2.policy.source import PolicySource, load_source

NOT_TESTED = "not tested here, as there is no opa program: our own Rego, tested when this version was released"


def source_of(ctx: StepContext) -> PolicySource:
    """The policy that the settings choose."""
    return load_source(ctx.settings.policy)


def opa_for(ctx: StepContext, source: PolicySource) -> OpaCli | None:
    """The opa program; None where there is none and none is needed. Raises `SettingsError` where one is."""
    if not source.shipped:
        return require_opa(ctx.settings.policy)
    path = find_opa(ctx.settings.policy)
    return None if path is None else OpaCli(path)


def described(source: PolicySource) -> str:
    """What is published, in a few words."""
    whose = "our Rego" if source.shipped else f"your Rego in {source.folder}"
    return f"{whose} ({counted(len(source.modules), 'module')}) with the data of version {source.version}"


def set_digest(records: Iterable[Record]) -> str:
    """Of what is published, for a plan."""
    digest = SetDigest()
    for record in records:
        digest.add(record.key, record.digest, record.size)
    return digest.text()


def examined(ctx: StepContext, source: PolicySource) -> str:
    """check, fmt and test of the Rego, in a sentence; raises `Blocked` for rules that can't be trusted."""
    opa = opa_for(ctx, source)
    if opa is None:
        ctx.say(NOT_TESTED)
        return NOT_TESTED
    complaints, tests = opa.examine(source)
    if failed := unsound(complaints):
        raise Blocked("the Rego", f"opa {failed[0].command} says: {failed[0].text}", "mend it and run the step again")
    ctx.found(*(_unformatted(one) for one in complaints))
    return _tested(tests, opa.version(), formatted=not complaints)


def copy_policy(
    ctx: StepContext, sink: Sink, records: Sequence[Record], plan: CopyPlan, here: Collection[bytes]
) -> Outcome:
    """Bring the records to the target; `here` are the keys that it holds now.

    What this run had published there and has another content in this version is taken away first; what has got lost
    there since (OPA keeps it in memory) is published again.
    """
    wanted = {record.key: record.digest for record in records}
    outdated = {
        r.key for r in ctx.journal.receipts() if wanted.get(r.key) != r.digest and r.fate is ReceiptFate.CREATED
    }
    for batch, receipts in ctx.journal.batches_with(ReceiptFate.CREATED) if outdated else ():
        old = [Wanted(r.key, r.digest, r.size) for r in receipts if r.key in outdated]
        ctx.journal.mark_write()
        removals = sink.remove(old, batch.tag)
        gone = [one.key for one, removal in zip(old, removals, strict=True) if removal is not Removal.KEPT]
        ctx.journal.set_fates(gone, ReceiptFate.REMOVED)
    ctx.journal.set_fates([r.key for r in ctx.journal.receipts() if r.key not in here], ReceiptFate.LOST)
    return copy(records, sink, ctx, plan)


def as_record(key: bytes, body: bytes) -> Record:
    """A record of this content."""
    return Record(key, hashlib.sha256(body).digest(), len(body), body)


def _unformatted(complaint: Complaint) -> Finding:
    return Finding(
        "policy.not_formatted", Level.NOTE, Kind.CONDITION, "the Rego",
        f"opa fmt would write it otherwise: {complaint.text}", "run `opa fmt -w` on it if you like",
    )  # fmt: skip


def _tested(tests: RegoTests, version: str, *, formatted: bool) -> str:
    words = f"checked by opa {version}" + (" and formatted" if formatted else "")
    return f"{words}, {tests.passed} of {tests.total} tests passed" if tests.total else f"{words}, it has no tests"
