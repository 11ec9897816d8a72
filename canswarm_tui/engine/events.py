"""What the engine tells those who watch: typed, frozen events. Progress may be dropped on the way, the rest may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from canswarm_tui.engine.checks import Checked
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal.state import StepState
from canswarm_tui.engine.step import Finding, Outcome, Progress, Verb, Verdict


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: str
    verb: Verb
    only_check: str | None = None
    """The one check of a preflight that is made again."""


@dataclass(frozen=True, slots=True)
class StepProgressed:
    step: str
    verb: Verb
    progress: Progress


@dataclass(frozen=True, slots=True)
class FindingSeen:
    step: str
    verb: Verb
    id: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Retrying:
    """A transient failure; it is tried again after `delay_s` seconds."""

    step: str
    error: EngineError
    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the operator and the log, data of a site shown literally."""

    step: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckEnded:
    """One of preflight's checks has come out."""

    step: str
    checked: Checked


@dataclass(frozen=True, slots=True)
class StepEnded:
    """The verb has ended and the journal says so: one of outcome, verdict, error is given."""

    step: str
    verb: Verb
    state: StepState
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    error: EngineError | None = None


Event = StepStarted | StepProgressed | FindingSeen | Retrying | Said | CheckEnded | StepEnded
Emit = Callable[[Event], None]
