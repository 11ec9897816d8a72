"""The preflight step: its checks in order, the inventory they make, and proof that the site held still meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import EngineError, ExitCode
from canswarm_tui.engine.journal import Json
from canswarm_tui.engine.step import Finding, Level, Outcome, Progress, Verdict
from canswarm_tui.engine.steps.keyed import Findings
from canswarm_tui.engine.steps.preflight import machine, site, targets
from canswarm_tui.engine.steps.preflight.decided import decided
from canswarm_tui.engine.steps.preflight.survey import Survey, blocker, note
from canswarm_tui.engine.text import bytes_text
from canswarm_tui.engine.v1 import site as v1_site


@dataclass(frozen=True, slots=True)
class Check:
    """One look, under the title that a screen shows."""

    title: str
    look: Callable[[Survey], Iterator[Finding]]


CHECKS: tuple[Check, ...] = (
    Check("the parts of the site", site.pieces),
    Check("other writers", site.writers),
    Check("plan store", site.plan_store),
    Check("Lamport clock", site.clock),
    Check("decisions in Redis", site.decisions_in_redis),
    Check("content store", site.content_store),
    Check("audit log", site.audit_log),
    Check("decisions that the audit log names", decided),
    Check("bus", site.bus),
    Check("etcd", targets.guarded(targets.etcd, "decisions")),
    Check("S3 endpoint (MinIO)", targets.guarded(targets.minio, "blobs-minio,blobs-ipfs")),
    Check("IPFS", targets.guarded(targets.ipfs, "blobs-ipfs")),
    Check("OPA", targets.guarded(targets.opa, "policy-opa")),
    Check("own policy", targets.guarded(targets.policy, "policy-opa,policy-wasm")),
    Check("disk", machine.disk),
    Check("memory", machine.memory),
    Check("time", machine.duration),
)


class Preflight:
    """Reads everything, writes nothing outside the tool's own folder."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's shape
        return tuple(f"look at: {check.title}" for check in CHECKS)

    def check(self, ctx: StepContext) -> Iterable[Finding]:  # noqa: ARG002
        return ()

    def run(self, ctx: StepContext) -> Outcome:
        """Every check, whatever the others find; a source or target that is away is a blocker, the rest goes on."""
        survey, findings, levels = Survey(ctx), Findings(ctx), dict.fromkeys(Level, 0)
        ctx.journal.set_fact("fingerprint", {**_fingerprint(ctx)})
        for number, check in enumerate(CHECKS):
            ctx.stop.check()
            ctx.progress(Progress(check.title, number, len(CHECKS)), now=True)
            for finding in _looked(check, survey):
                levels[finding.level] += 1
                findings.add(finding)
            findings.flush()
        for finding in survey.left_out():
            findings.add(finding)
        findings.flush()
        ctx.journal.set_fact("inventory", dict(survey.figures))
        figure = survey.figure
        summary = (
            f"{figure('threads'):,} threads, {figure('tasks'):,} tasks, {figure('ops'):,} ops, "
            f"{figure('decisions'):,} decisions, {figure('blobs'):,} blobs ({bytes_text(figure('blob bytes'))}), "
            f"{figure('audit lines'):,} audit lines; {levels[Level.BLOCKER]} blockers, {levels[Level.WARNING]} warnings"
        )
        return Outcome(created=len(CHECKS), summary=summary, figures=survey.figures)

    def verify(self, ctx: StepContext) -> Verdict:
        """Whether the files of the site are those that were looked at; v1 may go on, so a change is only told."""
        before, now = ctx.journal.fact("fingerprint"), _fingerprint(ctx)
        assert isinstance(before, dict)
        moved = [path for path in now if now[path] != before.get(path)]
        for path in moved:
            ctx.found(note("site.moved", path, "it was written to since the preflight", "the next run catches up"))
        still = (
            f"; {len(moved)} of {len(now)} files have been written to since" if moved else "; nothing has moved since"
        )
        return Verdict((), 0, f"{len(CHECKS)} checks made{still}")

    def undo(self, ctx: StepContext) -> Outcome:  # noqa: ARG002
        return Outcome(summary="a preflight writes nothing, so there is nothing to undo")


def _looked(check: Check, survey: Survey) -> Iterator[Finding]:
    """The findings of one check; what keeps it from looking is a blocker."""
    try:
        yield from check.look(survey)
    except EngineError as exc:
        if exc.exit_code is not ExitCode.UNREACHABLE:
            raise
        yield blocker("site.unreachable", exc.subject, exc.happened, exc.remedy)


def _fingerprint(ctx: StepContext) -> dict[str, Json]:
    settings = ctx.settings.site
    found = v1_site.fingerprint([settings.plan_db, v1_site.log_file(settings)])
    return {str(path): None if stand is None else list(stand) for path, stand in found.items()}
