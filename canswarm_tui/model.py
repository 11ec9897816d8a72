"""What the screens draw: the journal as it was read last, and the step that runs. No widget in it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from canswarm_tui.engine.checklist import BY_NAME, CHECKLIST, STEPS, Item
from canswarm_tui.engine.checks import FACT, Checked, checked_of
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.events import FindingSeen, Retrying, StepProgressed, StepStarted
from canswarm_tui.engine.journal import INTERRUPTED, Journal, StepRecord, StepState, StoredFinding
from canswarm_tui.engine.live import read_live
from canswarm_tui.engine.place import Place
from canswarm_tui.engine.probe import Probe
from canswarm_tui.engine.step import Progress, Verb
from canswarm_tui.engine.text import duration_text
from canswarm_tui.theme import SIGNS

LINES_KEPT = 2000
FINISHED = (StepState.DONE, StepState.PROVED, StepState.SKIPPED, StepState.NEEDS_ATTENTION)


@dataclass(frozen=True, slots=True)
class Shown:
    """One checklist item as it is drawn."""

    symbol: str
    title: str
    state: str
    when: str
    said: str
    step: str | None
    is_next: bool = False


@dataclass
class RunModel:
    """Read again after every event that changes the journal."""

    place: Place
    site: str
    records: dict[str, StepRecord] = field(default_factory=dict)
    findings: list[StoredFinding] = field(default_factory=list)
    checks: Mapping[str, Checked] = field(default_factory=dict)
    """Preflight's checks that have come out, by name."""
    running: tuple[str, Verb] | None = None
    progress: Progress | None = None
    waiting: str = ""
    stopping: bool = False
    elsewhere: bool = False
    """Another process holds the run."""
    observe: bool = False
    """This interface only looks on."""
    health: dict[str, Probe] = field(default_factory=dict)
    plans: dict[str, tuple[str, ...]] = field(default_factory=dict)
    retries: int = 0
    seen: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    """Findings of the verb that runs, as (level, subject, what happened), the newest last."""
    starting: bool = False
    """Work was begun and has not said yet which step it is about."""
    trouble: str = ""
    """Why the journal could not be read last."""
    failure: str = ""
    """What ended the last work."""
    said: str = ""
    """What the last work said last, beside its results."""
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=60))

    @property
    def can_begin(self) -> bool:
        """Nothing runs, here or elsewhere, and this interface may act."""
        return self.running is None and not (self.starting or self.elsewhere or self.observe)

    @property
    def can_stop(self) -> bool:
        return (self.running is not None or self.starting or self.elsewhere) and not self.observe

    def begin(self) -> None:
        """Work begins here: what ended the last one is over."""
        self.starting, self.failure, self.said = True, "", ""

    def read(self, *, elsewhere: bool) -> None:
        """Everything from the journal; and the live file of a run that another process leads."""
        if self.elsewhere and not elsewhere:
            self.idle()
        self.elsewhere = elsewhere
        if self.place.journal.exists():
            try:
                journal = Journal.observe(self.place.journal)
                self.records, self.findings = journal.records(), journal.findings()
                self.checks = checked_of(journal.step("preflight").fact(FACT))
                journal.close()
                self.trouble = ""
            except EngineError as exc:
                self.trouble = str(exc)
        if elsewhere:
            self._follow(read_live(self.place.live))
        elif self.running is None:
            self.progress = None

    def _follow(self, live: dict[str, object] | None) -> None:
        if live is None:
            return
        names = ("doing", "done", "total", "done_bytes", "total_bytes", "rate", "eta_s", "waiting", "figures",
                 "limit_records_s")  # fmt: skip
        try:
            self.progress = Progress(**{name: live[name] for name in names})  # type: ignore[arg-type]
            self.running = (str(live["step"]), Verb(str(live["verb"])))
        except (KeyError, ValueError):
            return
        self.waiting = self.progress.waiting

    def started(self, event: StepStarted) -> None:
        self.running, self.progress, self.waiting, self.starting = (event.step, event.verb), None, "", False
        self.said = ""
        if event.step == "preflight" and event.verb is Verb.RUN:
            again = event.only_check
            self.checks = {} if again is None else {n: one for n, one in self.checks.items() if n != again}
        if event.verb in (Verb.RUN, Verb.UNDO):
            self.plans.clear()  # what a run would do is another thing from now on
        self.rates.clear()
        self.seen.clear()
        self.retries = 0

    def progressed(self, event: StepProgressed) -> None:
        self.running, self.starting = (event.step, event.verb), False
        self.progress, self.waiting = event.progress, event.progress.waiting
        if event.progress.rate is not None:
            self.rates.append(event.progress.rate)

    def retrying(self, event: Retrying) -> None:
        self.retries += 1
        self.waiting = f"trying again in {duration_text(event.delay_s)} (attempt {event.attempt}): {event.error}"

    def found(self, event: FindingSeen) -> None:
        finding = event.finding
        self.seen.append((finding.level.value, finding.subject, finding.happened))

    def idle(self) -> None:
        self.running, self.progress, self.waiting, self.stopping, self.starting = None, None, "", False, False

    @property
    def waiting_findings(self) -> int:
        return sum(f.wants_decision for f in self.findings)

    def next_step(self) -> str | None:
        """The step that was stopped on its way; else the first that is not finished, in the order of a run."""
        states = {step.name: self.record(step.name).state for step in STEPS}
        begun = (name for name, state in states.items() if state in (StepState.STOPPED, StepState.RUNNING))
        return next(begun, next((name for name, state in states.items() if state not in FINISHED), None))

    def next_item(self) -> Item | None:
        """The checklist's item for the next step; one of them, although several items may show the same step."""
        name = self.next_step()
        return next((i for group in CHECKLIST for i in group.items if i.steps and i.steps[0] == name), None)

    def state_of(self, name: str) -> tuple[str, str]:
        """A step's state in words, and why it can't run or has to be run again."""
        return self._state(self.record(name))

    def record(self, name: str) -> StepRecord:
        return self.records.get(name, StepRecord(name))

    def item(self, item: Item) -> Shown:
        """One line of the checklist in its true state."""
        if not item.steps:
            return Shown(SIGNS["not available yet"], item.title, "not available yet", "", item.note, None)
        name = item.steps[0]
        record = self.record(name)
        state, why = self._state(record)
        when = "" if record.changed_at is None else time.strftime("%m-%d %H:%M", time.localtime(record.changed_at))
        said = why or record.error or self._said(record)
        return Shown(SIGNS[state], item.title, state, when, said, name, is_next=item is self.next_item())

    def _state(self, record: StepRecord) -> tuple[str, str]:
        if self.running is not None and self.running[0] == record.step:
            return ("stopping" if self.stopping else "running"), ""
        if record.state is StepState.RUNNING and (self.elsewhere or self.running is not None or self.starting):
            return "running", ""
        if record.state is StepState.RUNNING:
            return "stopped", INTERRUPTED
        if self.trouble and not self.records:
            return "unknown", self.trouble
        if record.state is StepState.NOT_STARTED:
            missing = [n for n in BY_NAME[record.step].needs if self.record(n).state not in FINISHED]
            return ("blocked", f"needs {BY_NAME[missing[0]].title}") if missing else ("ready", "")
        return record.state.value, ""

    @staticmethod
    def _said(record: StepRecord) -> str:
        verdict = record.verdict.summary if record.verdict else ""
        outcome = record.outcome.summary if record.outcome else ""
        unlike = record.verdict_is_fresh and record.verdict is not None and not record.verdict.passed
        compared = unlike or record.state in (StepState.PROVED, StepState.NEEDS_ATTENTION)
        return verdict or outcome if compared else outcome or verdict


def title_of(step: str) -> str:
    """A step's title; a rollback is no step of the checklist."""
    return BY_NAME[step].title if step in BY_NAME else step.capitalize()
