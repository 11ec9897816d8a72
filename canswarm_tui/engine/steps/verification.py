"""The final verification: every comparison of every step that wrote to a target, in full, in one verdict.

In one run a verdict that is newer than the last write to its target is reused, and the summary says so; asked for by
itself it always reads.
"""

from __future__ import annotations

from collections.abc import Iterable

from canswarm_tui.engine.checklist import STEPS
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.journal import StepRecord
from canswarm_tui.engine.step import Comparison, Finding, Outcome, Verdict
from canswarm_tui.engine.text import counted

TARGET_STEPS = tuple(info.name for info in STEPS if info.writes_target)


class FinalVerification:
    """Has nothing to write and nothing to undo."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's shape
        return ("read every target back and compare all of it with the site; write the report",)

    def check(self, ctx: StepContext) -> Iterable[Finding]:  # noqa: ARG002
        return ()

    def run(self, ctx: StepContext) -> Outcome:  # noqa: ARG002
        return Outcome(summary="every verdict is gathered below")

    def verify(self, ctx: StepContext) -> Verdict:
        """One verdict over all targets; its comparisons are those of the steps."""
        assert ctx.records is not None
        comparisons: list[Comparison] = []
        differences = 0
        reused: list[str] = []
        for name in TARGET_STEPS:
            record = ctx.records().get(name, StepRecord(name))
            if record.outcome is None:
                continue
            verdict = self._verdict(ctx, record, reused)
            comparisons += verdict.comparisons
            differences += verdict.differences
        compared = sum(c.compared for c in comparisons)
        summary = f"{compared:,} comparisons over {len(comparisons)} sets, {counted(differences, 'difference')}"
        if reused:
            summary += (
                f"; {len(reused)} verdicts of this run are newer than the last write to their target and were reused"
            )
        return Verdict(tuple(comparisons), differences, summary, {"compared": compared, "reused verdicts": len(reused)})

    def undo(self, ctx: StepContext) -> Outcome:  # noqa: ARG002
        return Outcome(summary="a verification writes nothing, so there is nothing to undo")

    @staticmethod
    def _verdict(ctx: StepContext, record: StepRecord, reused: list[str]) -> Verdict:
        assert ctx.verify_step is not None
        if record.step in ctx.verified_now and record.verdict is not None and record.verdict_is_fresh:
            reused.append(record.step)
            return record.verdict
        return ctx.verify_step(record.step)
