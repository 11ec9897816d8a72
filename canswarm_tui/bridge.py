"""The one bridge between the engine's thread and the interface: progress is coalesced, the rest never lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import resource_tracker

from textual.message import Message

from canswarm_tui.engine.errors import Defect, EngineError
from canswarm_tui.engine.events import Event, StepProgressed
from canswarm_tui.engine.runner import Runner, RunResult
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal


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

    def __init__(self, result: RunResult | None, error: EngineError | None) -> None:
        super().__init__()
        self.result = result
        self.error = error


@dataclass
class EngineThread:
    """At most one piece of engine work at a time, in a thread of its own, never tied to a screen."""

    settings: Settings
    post: Callable[[Message], bool]
    stop_signal: StopSignal | None = None
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        # Child processes need the tracker, and it can't start once Textual has taken standard error away.
        resource_tracker.ensure_running()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[Runner], RunResult]) -> None:
        """Begin; a call while it works is an assertion failure."""
        assert not self.busy
        stop = self.stop_signal = StopSignal()
        runner = Runner(self.settings, self._emit, stop)
        self._thread = threading.Thread(target=self._run, args=(runner, work), name="engine")
        self._thread.start()

    def stop(self, why: str) -> None:
        if self.stop_signal is not None:
            self.stop_signal.set(why)

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self, runner: Runner, work: Callable[[Runner], RunResult]) -> None:
        try:
            self.post(EngineEnded(work(runner), None))
        except EngineError as exc:
            self.post(EngineEnded(None, exc))
        except Exception as exc:  # noqa: BLE001 - the thread's end, good or bad, is always told
            self.post(EngineEnded(None, Defect("engine", f"a mistake of ours ({type(exc).__name__})", "see the log")))

    def _emit(self, event: Event) -> None:
        self.post(EngineProgressed(event) if isinstance(event, StepProgressed) else EngineSaid(event))
