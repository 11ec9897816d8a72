"""Policy: Python → OPA. Rules and data are published, read back, and held against v1's rules on every envelope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.journal import Receipt, ReceiptFate
from canswarm_tui.engine.step import Finding, Keep, Kind, Level, Outcome, Verdict
from canswarm_tui.engine.steps.keyed import Mended, SetName, compare_keyed
from canswarm_tui.engine.steps.policy_envelopes import open_envelopes
from canswarm_tui.engine.steps.policy_parity import conformance_questions, in_batches
from canswarm_tui.engine.steps.policy_publish import (
    as_record,
    copy_policy,
    described,
    examined,
    opa_for,
    set_digest,
    source_of,
)
from canswarm_tui.engine.steps.policy_verdict import Engine, conformance, history, tell_history, verdict_of
from canswarm_tui.engine.steps.replaced import plus_kept, put_back, require_arrived, require_shown
from canswarm_tui.engine.steps.targets import open_opa
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.transfer import CopyPlan, undo
from canswarm_tui.engine.v1.policy import POLICIES
from canswarm_tui.engine.v2.policy.answer import MALFORMED, UNDEFINED, Answer
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.policy_opa import EXISTING_BYTES, OpaSink, records_of
from canswarm_tui.engine.v2.policy.source import PolicySource

NAME: Final = SetName("policy documents", "policy", "OPA", "by content", Mended.BY_CHOICE)
PLAN: Final = CopyPlan("policy documents", "policy", "OPA", window=1)
THREADS: Final = 4
"""Batches in flight; OPA decides on all its cores, more threads only wait."""
_SHOWN: Final = 1000
"""How much of a document a finding shows, in characters."""


class PolicyToOpa:
    """Source: our Rego or the operator's, with the data of the chosen version; target: the OPA server."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        source = source_of(ctx)
        records = records_of(source)
        with OpaClient(ctx.settings.opa) as client:
            held = _sink(ctx, client).held([record.key for record in records])
        pending = sum(held.get(record.key) != record.body for record in records)
        return (
            f"publish {pending} of {len(records)} policy documents to OPA {ctx.settings.opa.url}: {described(source)}",
            f"the set of policy documents has digest {set_digest(records)}",
        )

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """The server answers, the Rego can be read, and where it needs the opa program there is one."""
        source = source_of(ctx)
        opa_for(ctx, source)
        with open_opa(ctx) as client:
            ctx.retry.call(client.check_health)
            version = ctx.retry.call(client.version)
        yield Finding(
            "policy.opa_memory", Level.NOTE, Kind.CONDITION, ctx.settings.opa.url,
            f"OPA {version} keeps what is published over its API in memory: a restart loses it",
            "after a restart run this step again: it publishes what is missing; for good, give OPA a bundle",
        )  # fmt: skip

    def run(self, ctx: StepContext) -> Outcome:
        source = source_of(ctx)
        words = examined(ctx, source)
        with open_opa(ctx) as client:
            outcome = _publish(ctx, _sink(ctx, client), source)
        summary = f"{outcome.summary}; {described(source)}; {words}"
        return Outcome(
            created=outcome.created, present=outcome.present, unchanged=outcome.unchanged,
            conflicts=outcome.conflicts, size_bytes=outcome.size_bytes, summary=summary,
        )  # fmt: skip

    def verify(self, ctx: StepContext) -> Verdict:
        """What OPA holds, byte for byte, and what it answers: the conformance set and every envelope of the log."""
        source, policy = source_of(ctx), POLICIES[ctx.settings.policy.version]
        with open_opa(ctx) as client, open_envelopes(ctx) as envelopes:
            tell_history(ctx, envelopes)
            published = _published(ctx, _sink(ctx, client))
            batched = Engine("OPA", "opa", in_batches(lambda some: _batch(ctx, client, some)), THREADS)
            single = Engine("OPA", "opa", lambda some: [_one(ctx, client, one) for one in some], THREADS, batched.tally)
            comparisons = [
                conformance(ctx, batched, conformance_questions(policy)),
                conformance(ctx, single, conformance_questions(policy), " one by one"),
            ]
            comparison, _ = history(ctx, batched, envelopes)
            return verdict_of(batched, published, [*comparisons, comparison], envelopes, f"; {described(source)}")

    def undo(self, ctx: StepContext) -> Outcome:
        """Take away what this run published and is still the same; put back what a person had replaced."""
        with open_opa(ctx) as client:
            sink, tags = _sink(ctx, client), _tags(ctx)
            outcome = undo(sink, ctx, PLAN)  # our rules go first, so that they never judge by somebody else's data
            outcome = plus_kept(outcome, _put_back(ctx, sink))
            _forget_markers(ctx, sink, tags)
        return outcome

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        """Keep OPA's document, or put ours in its place and publish what that held back; undo knows the former."""
        key = bytes.fromhex(finding.details["key"])
        record = next((one for one in records_of(source_of(ctx)) if one.key == key), None)
        if record is None:
            raise Blocked(shown(key), "it is not part of the policy any more", "run the step again")
        with open_opa(ctx) as client:
            sink = _sink(ctx, client)
            former = sink.held([key]).get(key)
            if former is not None:
                require_shown(finding, shown(former, _SHOWN), shown(former[:EXISTING_BYTES]))
            if keep is Keep.TARGET:
                ctx.journal.put_receipt(Receipt(key, record.digest, record.size, ReceiptFate.TARGET_KEPT, "", 0))
                return Outcome(present=1, summary=f"OPA keeps what it holds as {shown(key)}")
            if former is None:
                raise Blocked(
                    shown(key), "OPA holds nothing under this name: something else in our package is in the way",
                    "resolve the other conflicts, or remove what nobody needs there, then run the step again",
                )  # fmt: skip
            kept = ctx.journal.keep_replaced(
                Receipt(key, record.digest, record.size, ReceiptFate.REPLACED, "", 0), former
            )
            sink.replace(record)
            require_arrived(key, sink.held([key]).get(key), record.digest)
            others = _publish(ctx, sink, source_of(ctx))
        words = f"OPA now holds ours as {shown(key)}; {kept.words}; {others.summary}"
        return Outcome(created=1 + others.created, conflicts=others.conflicts, summary=words)


def _publish(ctx: StepContext, sink: OpaSink, source: PolicySource) -> Outcome:
    here = ctx.retry.call(lambda: sink.held(_own(ctx)))
    tags = _tags(ctx)
    outcome = copy_policy(ctx, sink, records_of(source), PLAN, here)
    _forget_markers(ctx, sink, tags | _tags(ctx))
    return outcome


def _tags(ctx: StepContext) -> set[str]:
    """Of the batches that may have left a marker in OPA."""
    created = {batch.tag for batch, _ in ctx.journal.batches_with(ReceiptFate.CREATED)}
    return created | {batch.tag for batch in ctx.journal.open_batches()}


def _forget_markers(ctx: StepContext, sink: OpaSink, tags: Iterable[str]) -> None:
    """The journal has the receipts of these batches, so OPA need not tell any more what they created."""
    for tag in sorted(tags):
        ctx.retry.call(lambda tag=tag: sink.forget(tag))  # type: ignore[misc]


def _sink(ctx: StepContext, client: OpaClient) -> OpaSink:
    return OpaSink(client, _own(ctx))


def _own(ctx: StepContext) -> set[bytes]:
    """Keys of the policy as it is now, and of all that this run has published."""
    created = ctx.journal.receipts(fates=(ReceiptFate.CREATED, ReceiptFate.REPLACED))
    return {record.key for record in records_of(source_of(ctx))} | {receipt.key for receipt in created}


def _published(ctx: StepContext, sink: OpaSink) -> Verdict:
    records = records_of(source_of(ctx))
    held = ctx.retry.call(lambda: sink.held(_own(ctx)) | sink.strangers())
    return compare_keyed(
        ctx, ((record.key, _body(record.body)) for record in records), sorted(held.items()), NAME, total=len(records),
        value_text=lambda text: shown(text, _SHOWN), size_bytes=lambda: sum(map(len, held.values())),
    )  # fmt: skip


def _batch(ctx: StepContext, client: OpaClient, inputs: Sequence[bytes]) -> list[Answer]:
    return ctx.retry.call(lambda: client.decide_batch(inputs))


def _one(ctx: StepContext, client: OpaClient, one: bytes) -> Answer:
    """The decision, if `allow`, which v2 code asks as the guide has it, says the same."""
    answer, allow = ctx.retry.call(lambda: (client.decide(one), client.allows(one)))
    if allow is None:
        return UNDEFINED
    return answer if answer.allow is allow else MALFORMED


def _put_back(ctx: StepContext, sink: OpaSink) -> int:
    def replace(key: bytes, former: bytes, _there: bytes | None) -> bool:
        sink.replace(as_record(key, former))
        return True

    return put_back(ctx, PLAN, lambda key: sink.held([key]).get(key), replace)


def _body(body: object) -> bytes:
    assert isinstance(body, bytes)
    return body
