"""What a step is given: settings, its journal, a stop, and ways to say how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.events import Emit, FindingSeen, Retrying, Said, StepProgressed
from canswarm_tui.engine.journal import StepJournal, StepRecord
from canswarm_tui.engine.rate import RateLimit
from canswarm_tui.engine.retry import RetryPolicy
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding, Progress, Verb, Verdict
from canswarm_tui.engine.stop import StopSignal

PROGRESS_EVERY_S = 0.1


class _Throttle:
    """Lets one call through each interval; thread-safe."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next = 0.0
        self._mutex = threading.Lock()

    def passes(self) -> bool:
        with self._mutex:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + self._every_s
            return True


@dataclass(frozen=True)
class StepContext:
    """Lives as long as one verb of one step."""

    settings: Settings
    journal: StepJournal
    verb: Verb
    sweep: int
    """The history row of this verb; findings seen belong to it."""
    stop: StopSignal
    emit: Emit
    limit: RateLimit
    folder: Path
    """The run's own folder in the state folder: exports, reports, backups' default, kept."""
    scratch: Path
    """A folder for temporary files, emptied after the verb."""
    fresh_verdicts: bool = False
    """What the run has just proved need not be proved again by the verify that follows it."""
    verified_now: Collection[str] = ()
    """Steps that were verified under the same lock, just before: only their verdicts a final verification may reuse."""
    verify_step: Callable[[str], Verdict] | None = None
    """Verifies another step, for the final verification."""
    records: Callable[[], Mapping[str, StepRecord]] | None = None
    """Where every step stands, for the final verification."""
    only_check: str | None = None
    """The one check of a preflight that is made again; the findings of the others stand."""
    owner: StepJournal | None = None
    """The step whose findings these are, where its receipts are kept under another name in `journal`."""
    _throttle: _Throttle = field(default_factory=lambda: _Throttle(PROGRESS_EVERY_S))

    @property
    def step(self) -> str:
        return (self.owner or self.journal).step

    @property
    def retry(self) -> RetryPolicy:
        return RetryPolicy(self.settings.engine.give_up_after_s, self.stop, self._retrying)

    def progress(self, progress: Progress, *, now: bool = False) -> None:
        """Say how far it is; all but about ten a second are dropped, unless `now`."""
        if now or self._throttle.passes():
            limited = replace(progress, limit_records_s=self.limit.records_s)
            self.emit(StepProgressed(self.step, self.verb, limited))

    def found(self, *findings: Finding) -> None:
        """Record findings durably, then tell."""
        if findings:
            for identity, finding in zip(
                (self.owner or self.journal).add_finding(self.verb, self.sweep, findings), findings, strict=True
            ):
                self.emit(FindingSeen(self.step, self.verb, identity, finding))

    def say(self, text: str) -> None:
        self.emit(Said(self.step, text))

    def _retrying(self, error: EngineError, attempt: int, delay_s: float) -> None:
        self.emit(Retrying(self.step, error, attempt, delay_s))
