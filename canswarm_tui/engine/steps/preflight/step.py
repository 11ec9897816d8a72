"""The preflight step: its checks in order, the inventory they make, and proof that the site held still meanwhile."""

from __future__ import annotations

import difflib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from canswarm_tui.engine.checks import BY, FACT, TITLES, Checked, checked_of
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked, EngineError, ExitCode, SettingsError
from canswarm_tui.engine.events import CheckEnded
from canswarm_tui.engine.journal import Json, StepJournal
from canswarm_tui.engine.step import Finding, Level, Outcome, Progress, Verdict
from canswarm_tui.engine.steps.keyed import Findings
from canswarm_tui.engine.steps.preflight import machine, site, targets
from canswarm_tui.engine.steps.preflight.decided import decided
from canswarm_tui.engine.steps.preflight.survey import Survey, blocker, note
from canswarm_tui.engine.text import bytes_text, counted
from canswarm_tui.engine.v1 import site as v1_site

Look = Callable[[Survey], Iterator[Finding]]
LOOKS: Mapping[str, Look] = {
    "site": site.pieces,
    "writers": site.writers,
    "plan-store": site.plan_store,
    "clock": site.clock,
    "decisions": site.decisions_in_redis,
    "content": site.content_store,
    "audit": site.audit_log,
    "decided": decided,
    "bus": site.bus,
    "etcd": targets.guarded(targets.etcd, "decisions"),
    "minio": targets.guarded(targets.minio, "blobs-minio,blobs-ipfs"),
    "ipfs": targets.guarded(targets.ipfs, "blobs-ipfs"),
    "opa": targets.guarded(targets.opa, "policy-opa"),
    "policy": targets.guarded(targets.policy, "policy-opa,policy-wasm"),
    "disk": machine.disk,
    "memory": machine.memory,
    "time": machine.duration,
}
"""What each check of `TITLES` looks at."""


class Preflight:
    """Reads everything, writes nothing outside the tool's own folder."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's shape
        return tuple(f"look at: {title}" for title in TITLES.values())

    def check(self, ctx: StepContext) -> Iterable[Finding]:  # noqa: ARG002
        return ()

    def run(self, ctx: StepContext) -> Outcome:
        """Every check, whatever the others find; a source or target that is away is a blocker, the rest goes on."""
        survey = Survey(ctx)
        ctx.journal.set_fact("fingerprint", {**_fingerprint(ctx)})
        ctx.journal.set_fact(FACT, {})
        for number, name in enumerate(TITLES):
            ctx.stop.check()
            ctx.progress(Progress(TITLES[name], number, len(TITLES)), now=True)
            _make(name, survey)
        return _outcome(survey)

    def require_made(self, journal: StepJournal, name: str) -> None:
        """Raise where this check can't be made again by itself: it does not exist, or the others were never made."""
        if name not in TITLES:
            near = difflib.get_close_matches(name, TITLES, 1, 0.4)
            hint = f"did you mean {near[0]}?" if near else f"the checks are {', '.join(TITLES)}"
            raise SettingsError(name, "preflight has no such check", hint)
        missing = [title for one, title in TITLES.items() if one not in checked_of(journal.fact(FACT)) and one != name]
        if missing:
            raise Blocked(name, f"it can't be made alone: {missing[0]} was not looked at yet", "run a whole preflight")

    def recheck(self, ctx: StepContext, name: str) -> Outcome:
        """One check again; what the others have counted and found stands as it was."""
        inventory = ctx.journal.fact("inventory")
        figures = inventory if isinstance(inventory, dict) else {}
        survey = Survey(ctx, {n: v for n, v in figures.items() if isinstance(v, int | float | str)})
        _forget(ctx, name)
        ctx.progress(Progress(TITLES[name], 0, 1), now=True)
        _make(name, survey)
        return _outcome(survey)

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
        return Verdict((), 0, f"{len(TITLES)} checks made{still}")

    def undo(self, ctx: StepContext) -> Outcome:  # noqa: ARG002
        return Outcome(summary="a preflight writes nothing, so there is nothing to undo")


def _make(name: str, survey: Survey) -> None:
    """Make one check and journal how it came out."""
    ctx, began = survey.ctx, time.monotonic()
    findings, levels = Findings(ctx), Counter[Level]()
    for finding in _looked(LOOKS[name], survey):
        levels[finding.level] += 1
        findings.add(replace(finding, details={**finding.details, BY: name}))
    findings.flush()
    came = Checked(
        name, time.time(), time.monotonic() - began, levels[Level.BLOCKER], levels[Level.WARNING], levels[Level.NOTE]
    )
    ctx.journal.set_fact(FACT, {**_made(ctx), name: came.as_fact()})
    ctx.emit(CheckEnded(ctx.step, came))


def _forget(ctx: StepContext, name: str) -> None:
    """It has not come out until it has: killed meanwhile, it must not look as it did before."""
    ctx.journal.set_fact(FACT, {one: fact for one, fact in _made(ctx).items() if one != name})


def _made(ctx: StepContext) -> dict[str, Json]:
    fact = ctx.journal.fact(FACT)
    return dict(fact) if isinstance(fact, dict) else {}


def _looked(look: Look, survey: Survey) -> Iterator[Finding]:
    """The findings of one check; what keeps it from looking is a blocker."""
    try:
        yield from look(survey)
    except EngineError as exc:
        if exc.exit_code is not ExitCode.UNREACHABLE:
            raise
        yield blocker("site.unreachable", exc.subject, exc.happened, exc.remedy)
    yield from survey.left_out()


def _outcome(survey: Survey) -> Outcome:
    """The inventory, and how many blockers and warnings all checks together have."""
    survey.ctx.journal.set_fact("inventory", dict(survey.figures))
    made, figure = checked_of(survey.ctx.journal.fact(FACT)).values(), survey.figure
    summary = (
        f"{figure('threads'):,} threads, {figure('tasks'):,} tasks, {figure('ops'):,} ops, "
        f"{figure('decisions'):,} decisions, {figure('blobs'):,} blobs ({bytes_text(figure('blob bytes'))}), "
        f"{figure('audit lines'):,} audit lines; {counted(sum(one.blockers for one in made), 'blocker')}, "
        f"{counted(sum(one.warnings for one in made), 'warning')}"
    )
    return Outcome(created=len(made), summary=summary, figures=survey.figures)


def _fingerprint(ctx: StepContext) -> dict[str, Json]:
    settings = ctx.settings.site
    found = v1_site.fingerprint([settings.plan_db, v1_site.log_file(settings)])
    return {str(path): None if stand is None else list(stand) for path, stand in found.items()}
