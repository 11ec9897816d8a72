"""The only loop: runs verbs of steps under one lock, with one journal, and says how it ended."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from canswarm_tui.engine import registry
from canswarm_tui.engine.checklist import BY_NAME, FINAL, ONLY_LOOK, STEP_NAMES, STEPS, StepInfo, in_order
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.decisions_of_people import require_conflict
from canswarm_tui.engine.errors import Blocked, Defect, EngineError, ExitCode, SettingsError, Unreachable, machine_error
from canswarm_tui.engine.events import Emit, Said, StepEnded, StepStarted
from canswarm_tui.engine.journal import FindingStatus, Journal, StepRecord, StepState, StoredFinding, has_run
from canswarm_tui.engine.lock import hold_run
from canswarm_tui.engine.place import place_of, require_outside, site_identity, target_locks
from canswarm_tui.engine.rate import RateLimit, limit_of, limit_text
from canswarm_tui.engine.report import write_report
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding, Keep, Level, Outcome, Rechecker, Resolver, Step, Verb, Verdict
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.tls_files import require_files

log = logging.getLogger(__name__)

FINISHED = (StepState.DONE, StepState.PROVED, StepState.SKIPPED, StepState.NEEDS_ATTENTION)
REQUESTS_EVERY_S = 0.3


@dataclass(frozen=True, slots=True)
class RunResult:
    """How it ended: the exit code, and how many findings wait for a person."""

    exit_code: ExitCode
    waiting: int


@dataclass
class Runner:
    """Runs verbs for one site. Every method holds the lock of site and targets while it works.

    Raises the `EngineError` that ended the work, after the journal says so.
    """

    settings: Settings
    emit: Emit
    stop: StopSignal = field(default_factory=StopSignal)
    fault: Callable[[str], None] | None = None
    steps: Callable[[str], Step] = registry.step
    limit: RateLimit = field(init=False)
    _verified: set[str] = field(default_factory=set)
    """Steps whose target was read back since the lock was taken."""

    def __post_init__(self) -> None:
        self.limit = limit_of(self.settings)
        self.place = place_of(self.settings)

    def run(self, names: Sequence[str] = ()) -> RunResult:
        """Check, run and verify the named steps, or all from preflight to final verification; never an undo."""
        chosen = in_order(names or STEP_NAMES)
        with self._session(chosen) as journal:
            for info in chosen:
                self._require_needs(journal, info)
                self._run_step(journal, info)
            self._report(journal)
            return self._result(journal)

    def verify(self, names: Sequence[str] = ()) -> RunResult:
        """Read the targets back and compare, always in full; without names, every step that has run."""
        with self._session(in_order(names or STEP_NAMES)) as journal:
            records = journal.records()
            whole = all(has_run(records.get(info.name)) for info in STEPS if info.writes_target)
            final = whole or records.get(FINAL, StepRecord(FINAL)).state is not StepState.NOT_STARTED
            chosen = in_order(names or [n for n in STEP_NAMES if has_run(records.get(n)) and n != FINAL])
            if not chosen:
                raise Blocked(FINAL, "nothing has run yet for this site", "run it first: `canswarm-tui run`")
            for info in chosen:
                if not has_run(records.get(info.name)):
                    raise Blocked(info.name, "it has not run yet", f"run it first: `canswarm-tui run {info.name}`")
                self._verify_step(journal, info, fresh_verdicts=False)
            if final and not names:
                # Of the verdicts that were made just now: it has to say what they say.
                self._verify_step(journal, BY_NAME[FINAL], fresh_verdicts=True)
            self._report(journal)
            return self._result(journal)

    def check(self, names: Sequence[str]) -> RunResult:
        """Look only: findings of the named steps."""
        chosen = in_order(names)
        with self._session(chosen) as journal:
            for info in chosen:
                self._check_step(journal, info)
            return self._result(journal)

    def recheck(self, check: str) -> RunResult:
        """Make one check of the preflight again; what the others found stands. Raises as a preflight does."""
        (info,) = in_order(["preflight"])
        step = cast("Rechecker", self.steps(info.name))
        with self._session([info]) as journal:
            step.require_made(journal.step(info.name), check)
            with self._verb(journal, info, Verb.RUN, only_check=check) as ctx:
                ctx.journal.set_state(StepState.RUNNING)
                blockers = self._end_run(ctx, step.recheck(ctx, check))
            self._report(journal)
            _refuse(info, blockers)
            return self._result(journal)

    def undo(self, name: str) -> RunResult:
        """Remove what this run created in one step; later steps that stand on it must be undone before.

        Where nothing was written, or all of it is undone already, that is said and the step's state stays.
        """
        (info,) = in_order([name])
        with self._session([info]) as journal:
            records = journal.records()
            for later in STEPS:
                if name in later.needs and later.writes_target and has_run(records.get(later.name)):
                    raise Blocked(
                        name, f"{later.title} stands on it", f"undo that first: `canswarm-tui undo {later.name}`"
                    )
            record = records.get(name, StepRecord(name))
            if name in ONLY_LOOK:
                self.emit(Said(name, f"nothing to undo: {info.title} only looks and writes nothing"))
            elif has_run(record):
                self._undo_step(journal, info)
            else:
                self.emit(Said(name, f"nothing to undo: {info.title} is {record.state.value}"))
            return self._result(journal)

    @contextmanager
    def undoing(self) -> Iterator[tuple[Journal, Callable[[StepInfo], Outcome]]]:
        """The journal, and the undo of one step at a time, while site and targets are held: what a rollback needs.

        The order of the undos is the caller's matter. Raises `Busy` while another run is live.
        """
        with self._session(STEPS) as journal:
            yield journal, lambda info: self._undo_step(journal, info)

    def resolve(self, stored: StoredFinding, keep: Keep, who: str, reason: str) -> RunResult:
        """Do what a person decided about a conflict, and keep who and why.

        Raises `Blocked` for a step that is undone or never ran: what it put into the target then, no undo would know.
        """
        require_conflict(stored)
        (info,) = in_order([stored.step])
        step = self.steps(info.name)
        if not hasattr(step, "resolve"):
            raise SettingsError(
                stored.id, "its step can't choose between two values", "accept it with a reason instead"
            )
        with self._session([info]) as journal:
            record = journal.records().get(info.name, StepRecord(info.name))
            if not has_run(record):
                raise Blocked(
                    info.title, f"it is {record.state.value}", f"run it first: `canswarm-tui run {info.name}`"
                )
            with self._verb(journal, info, Verb.RUN) as ctx:
                outcome = cast("Resolver", step).resolve(ctx, stored.finding, keep)
                journal.decide(stored, FindingStatus.RESOLVED, who, reason or f"keep {keep.value}")
                ctx.say(outcome.summary)
            return self._result(journal)

    def plan(self, names: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
        """What `run` would do, by step, in order; changes nothing but notes in the journal that it was asked."""
        with self._session([]) as journal:
            return {i.name: self._plan_step(journal, i) for i in in_order(names or STEP_NAMES)}

    def _plan_step(self, journal: Journal, info: StepInfo) -> tuple[str, ...]:
        with self._context(journal, info, Verb.CHECK) as ctx:
            return self.steps(info.name).plan(ctx)

    def _run_step(self, journal: Journal, info: StepInfo) -> None:
        self._check_step(journal, info)
        with self._verb(journal, info, Verb.RUN) as ctx:
            ctx.journal.set_state(StepState.RUNNING)
            outcome = self.steps(info.name).run(ctx)
            blockers = self._end_run(ctx, outcome)
        _refuse(info, blockers)
        if not outcome.skipped:
            # A run is over when it has been verified: until then what ends it leaves it stopped.
            journal.step(info.name).set_state(StepState.RUNNING)
            self._verify_step(journal, info, fresh_verdicts=True)

    def _undo_step(self, journal: Journal, info: StepInfo) -> Outcome:
        with self._verb(journal, info, Verb.UNDO) as ctx:
            was = ctx.journal.record()
            ctx.journal.set_state(StepState.RUNNING)
            try:
                outcome = self.steps(info.name).undo(ctx)
            except EngineError as exc:
                touched = ctx.journal.record().wrote_at != was.wrote_at
                if not touched and (info.writes_target or isinstance(exc, Blocked)):
                    ctx.journal.set_state(was.state)  # nothing was removed: it is as it was
                raise
            self._end(ctx, StepState.NEEDS_ATTENTION if outcome.conflicts else StepState.UNDONE, outcome=outcome)
        return outcome

    def _check_step(self, journal: Journal, info: StepInfo) -> None:
        blockers: list[Finding] = []
        with self._verb(journal, info, Verb.CHECK) as ctx:
            for finding in self.steps(info.name).check(ctx):
                ctx.found(finding)
                if finding.level is Level.BLOCKER:
                    blockers.append(finding)
            ctx.journal.sweep_out(ctx.verb, ctx.sweep)
            _refuse(info, blockers)
            self._end(ctx, ctx.journal.record().state)

    def _verify_step(self, journal: Journal, info: StepInfo, *, fresh_verdicts: bool) -> Verdict:
        with self._verb(journal, info, Verb.VERIFY, fresh_verdicts=fresh_verdicts) as ctx:
            verdict = self.steps(info.name).verify(ctx)
            ctx.journal.sweep_out(ctx.verb, ctx.sweep)
            if verdict.passed:
                # What an undo had to leave there is as it should be by now.
                ctx.journal.sweep_out(Verb.UNDO, ctx.sweep)
            state = _proved_state(ctx, verdict)
            self._end(ctx, state, verdict=verdict)
        self._verified.add(info.name)
        return verdict

    def _end_run(self, ctx: StepContext, outcome: Outcome) -> list[Finding]:
        """The end of a run; returns the blockers that stand."""
        ctx.journal.sweep_out(ctx.verb, ctx.sweep, ctx.only_check)
        blockers = _blockers(ctx.journal.findings())
        attention = blockers or ctx.journal.waiting_findings()
        state = StepState.NEEDS_ATTENTION if attention else StepState.DONE
        self._end(ctx, StepState.SKIPPED if outcome.skipped else state, outcome=outcome)
        return blockers

    def _end(
        self, ctx: StepContext, state: StepState, *, outcome: Outcome | None = None, verdict: Verdict | None = None
    ) -> None:
        ctx.journal.sweep_out(ctx.verb, ctx.sweep, ctx.only_check)
        if ctx.verb in (Verb.RUN, Verb.VERIFY, Verb.UNDO):
            ctx.journal.set_state(state, outcome=outcome, verdict=verdict)
        moved = outcome.created + outcome.removed if outcome is not None else 0
        ctx.journal.note(ctx.verb, "ended", {"state": state.value, "moved": moved})
        self.emit(StepEnded(ctx.step, ctx.verb, state, outcome, verdict))

    def _require_needs(self, journal: Journal, info: StepInfo) -> None:
        records = journal.records()
        for need in info.needs:
            record = records.get(need, StepRecord(need))
            if record.state not in FINISHED:
                title = BY_NAME[need].title
                raise Blocked(
                    info.title, f"{title} is {record.state.value}", f"run it first: `canswarm-tui run {need}`"
                )
        # Not its own: a step that runs again looks anew at what blocked it.
        found = [f for need in {"preflight", *info.needs} - {info.name} for f in journal.findings(step=need)]
        _refuse(info, [b for b in _blockers(found) if info.name in b.details.get("blocks", info.name).split(",")])

    def _report(self, journal: Journal) -> None:
        write_report(self.settings, journal, self.place)

    def _result(self, journal: Journal) -> RunResult:
        waiting = journal.waiting_findings()
        return RunResult(ExitCode.ATTENTION if waiting else ExitCode.DONE, waiting)

    @contextmanager
    def _session(self, steps: Sequence[StepInfo]) -> Iterator[Journal]:
        """Locks of the site and the steps' targets, journal, and a watch on requests of other processes."""
        require_files(self.settings)
        require_outside(self.settings)
        self.place.make()
        state = self.settings.site.require_root() / ".state"
        locks = target_locks(self.settings)
        with hold_run(state, {lock for info in steps for target in info.targets for lock in locks[target]}):
            journal = Journal.open(self.place.journal, site_identity(self.settings), fault=self.fault)
            journal.take_requests()
            journal.end_interrupted()
            self._verified.clear()
            ended = threading.Event()
            watcher = threading.Thread(target=self._watch_requests, args=(journal, ended), name="requests")
            watcher.start()
            try:
                yield journal
            finally:
                ended.set()
                watcher.join()
                journal.close()

    def _watch_requests(self, journal: Journal, ended: threading.Event) -> None:
        while not ended.wait(REQUESTS_EVERY_S):
            try:
                for what, data in journal.take_requests():
                    self._serve(what, data)
            except EngineError:
                log.exception("requests could not be read")

    def _serve(self, what: str, data: Mapping[str, object]) -> None:
        if what == "stop":
            self.stop.set(str(data.get("why", "asked to")))
        elif what == "rate":
            self._turn(data)

    def _turn(self, data: Mapping[str, object]) -> None:
        """Set the bounds that are named; the other one stays."""
        bounds = {"records_s": self.limit.records_s, "bytes_s": self.limit.bytes_s}
        for name in bounds:
            value = data.get(name, bounds[name])
            bounds[name] = float(value) if isinstance(value, int | float) and value > 0 else None
        self.limit.turn(**bounds)
        self.emit(Said("run", f"{limit_text(bounds['records_s'])}, as {data.get('who', 'another process')} asked"))

    @contextmanager
    def _context(
        self,
        journal: Journal,
        info: StepInfo,
        verb: Verb,
        *,
        fresh_verdicts: bool = False,
        only_check: str | None = None,
    ) -> Iterator[StepContext]:
        step_journal = journal.step(info.name)
        sweep = step_journal.note(verb, "started")
        scratch = self.place.scratch / info.name
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, mode=0o700)
        try:
            yield StepContext(
                self.settings, step_journal, verb, sweep, self.stop, self.emit, self.limit,
                self.place.folder, scratch, fresh_verdicts, frozenset(self._verified), only_check=only_check,
                verify_step=lambda name: self._verify_step(journal, BY_NAME[name], fresh_verdicts=False),
                records=journal.records,
            )  # fmt: skip
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def _verb(
        self,
        journal: Journal,
        info: StepInfo,
        verb: Verb,
        *,
        fresh_verdicts: bool = False,
        only_check: str | None = None,
    ) -> Iterator[StepContext]:
        """One verb with its beginning and its end, good or bad, in journal and events."""
        with self._context(journal, info, verb, fresh_verdicts=fresh_verdicts, only_check=only_check) as ctx:
            self.emit(StepStarted(info.name, verb, only_check))
            try:
                self.stop.check()
                yield ctx
            except EngineError as exc:
                self._failed(ctx, exc)
                raise
            except Exception as exc:
                log.exception("%s of %s failed", verb.value, info.name)
                error = machine_error(exc, str(self.place.folder)) or Defect(
                    info.title, f"a mistake of ours ({type(exc).__name__})", f"the log has it: {self.place.log}"
                )
                self._failed(ctx, error)
                raise error from exc

    def _failed(self, ctx: StepContext, error: EngineError) -> None:
        log.warning("%s of %s ended: %s", ctx.verb.value, ctx.step, error)
        try:
            before = ctx.journal.record().state
            stopped = StepState.STOPPED if before is StepState.RUNNING else before
            during = "while it was undone: " if ctx.verb is Verb.UNDO else ""
            ctx.journal.set_state(stopped, error=f"{during}{error}")
            ctx.journal.note(ctx.verb, "stopped", {"error": str(error)})
        except EngineError:
            log.exception("the end could not be journalled")
        self.emit(StepEnded(ctx.step, ctx.verb, StepState.STOPPED, error=error))


def _proved_state(ctx: StepContext, verdict: Verdict) -> StepState:
    """Proved only when everything is equal and nothing waits; what people have accepted makes it done, not proved."""
    final = ctx.step == FINAL
    if ctx.journal.waiting_findings(everywhere=final):
        return StepState.NEEDS_ATTENTION
    if verdict.passed:
        return StepState.PROVED if verdict.comparisons else StepState.DONE
    if verdict.differences and not final and not any(f.finding.needs_person for f in ctx.journal.findings()):
        raise Defect(ctx.step, "a verdict counts differences that no finding names", "report this with the log")
    return StepState.DONE


def _blockers(found: Sequence[StoredFinding]) -> list[Finding]:
    return [f.finding for f in found if f.finding.level is Level.BLOCKER]


def _refuse(info: StepInfo, blockers: Sequence[Finding]) -> None:
    """Raise for blockers: what could not be reached is told as such, everything else as a block."""
    if not blockers:
        return
    first = blockers[0]
    more = f" (and {len(blockers) - 1} more)" if len(blockers) > 1 else ""
    away = first.code.endswith(".unreachable")
    raise (Unreachable if away else Blocked)(info.title, f"{first.subject}: {first.happened}{more}", first.remedy)
