"""The one bridge between the engine's thread and the interface: progress is coalesced, the rest never lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, TypeAlias

from textual.message import Message

from canswarm_tui.engine.errors import Defect, EngineError
from canswarm_tui.engine.events import (
    CheckEnded,
    Event,
    FindingSeen,
    Retrying,
    Said,
    StepEnded,
    StepProgressed,
    StepStarted,
)
from canswarm_tui.engine.live import write_live
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.rate import RateLimit, limit_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal

if TYPE_CHECKING:
    from canswarm_tui.engine.runner import Runner, RunResult

LIVE_EVERY_S = 0.5
log = logging.getLogger(__name__)
Plan = dict[str, tuple[str, ...]]
Result: TypeAlias = "RunResult | Plan"


class EngineSaid(Message):
    """Something happened; each is handled."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class EngineProgressed(Message):
    """How far it is; a newer one replaces those that wait."""

    def __init__(self, event: StepProgressed) -> None:
        super().__init__()
        self.event = event

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, EngineProgressed)


class EngineEnded(Message):
    """The engine's thread has ended; `error` is None when it did what it was asked to."""

    def __init__(self, result: Result | None, error: EngineError | None) -> None:
        super().__init__()
        self.result = result
        self.error = error


@dataclass
class EngineThread:
    """At most one piece of engine work at a time, in a thread of its own, never tied to a screen."""

    settings: Settings
    post: Callable[[Message], bool]
    stop_signal: StopSignal | None = None
    limit: RateLimit = field(init=False)
    """One for all work of this thread: what was turned stays turned."""
    _thread: threading.Thread | None = None
    _next_live: float = 0.0

    def __post_init__(self) -> None:
        # Child processes need the tracker, and it can't start once Textual has taken standard error away.
        resource_tracker.ensure_running()
        self.limit = limit_of(self.settings)

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[Runner], Result]) -> None:
        """Begin; a call while it works is an assertion failure."""
        assert not self.busy
        stop = self.stop_signal = StopSignal()
        from canswarm_tui.engine.runner import Runner

        runner = Runner(self.settings, self._emit, stop)
        runner.limit = self.limit
        self._thread = threading.Thread(target=self._run, args=(runner, work), name="engine")
        self._thread.start()

    def stop(self, why: str) -> None:
        if self.stop_signal is not None:
            self.stop_signal.set(why)

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self, runner: Runner, work: Callable[[Runner], Result]) -> None:
        try:
            ended = EngineEnded(work(runner), None)
        except EngineError as exc:
            log.warning("%s", exc)
            ended = EngineEnded(None, exc)
        except Exception as exc:
            log.exception("the engine's work failed")
            ended = EngineEnded(
                None,
                Defect("engine", f"a mistake of ours ({type(exc).__name__})", f"the log has it: {runner.place.log}"),
            )
        with suppress(OSError):
            runner.place.live.unlink(missing_ok=True)
        self.post(ended)

    def _emit(self, event: Event) -> None:
        if isinstance(event, StepProgressed):
            self._tell_watchers(event)
            self.post(EngineProgressed(event))
        else:
            log.info("%s", line_of(event))
            self.post(EngineSaid(event))

    def _tell_watchers(self, event: StepProgressed) -> None:
        now = time.monotonic()
        if now < self._next_live:
            return
        self._next_live = now + LIVE_EVERY_S
        try:
            write_live(place_of(self.settings).live, event.step, event.verb, event.progress)
        except OSError:
            log.warning("the live file could not be written")


def line_of(event: Event) -> str:
    """An event as one line of the log; data of the site as it is, so to be escaped where it is shown."""
    match event:
        case StepStarted(step, verb):
            return f"{step}: {verb.value} begins"
        case FindingSeen(step, _, identity, finding):
            return f"{step}: {finding.level.value} {identity} {finding.subject}: {finding.happened}"
        case Retrying(step, error, attempt, delay_s):
            return f"{step}: trying again in {delay_s:.1f} s (attempt {attempt}): {error}"
        case Said(step, text):
            return f"{step}: {text}"
        case CheckEnded(step, checked):
            return f"{step}: check {checked.name} came out: {checked.word}"
        case StepEnded(step, verb, state, outcome, verdict, error):
            said = error or (outcome and outcome.summary) or (verdict and verdict.summary) or ""
            return f"{step}: {verb.value} ended, {state.value}. {said}".rstrip()
        case StepProgressed(step, verb, progress):
            return f"{step}: {verb.value} {progress.doing} {progress.done}"
