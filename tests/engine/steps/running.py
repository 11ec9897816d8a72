"""Running single steps on real servers, as the runner does, without what must come before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from canswarm_tui.engine.events import Event, StepEnded
from canswarm_tui.engine.journal import Journal, ReceiptFate, StepRecord, StoredFinding
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Outcome, Verdict


@dataclass
class Bench:
    """A site's settings and what its steps said; each call is a run of its own, as a command would be."""

    settings: Settings
    events: list[Event] = field(default_factory=list)

    def runner(self, fault: Callable[[str], None] | None = None) -> Runner:
        return Runner(self.settings, self.events.append, fault=fault)

    def run(self, step: str) -> Outcome:
        """Check, run and verify; the run's outcome."""
        self.runner().run([step])
        return next(e.outcome for e in reversed(self.events) if isinstance(e, StepEnded) and e.outcome is not None)

    def verify(self, step: str) -> Verdict:
        self.runner().verify([step])
        return next(e.verdict for e in reversed(self.events) if isinstance(e, StepEnded) and e.verdict is not None)

    def undo(self, step: str) -> Outcome:
        self.runner().undo(step)
        return next(e.outcome for e in reversed(self.events) if isinstance(e, StepEnded) and e.outcome is not None)

    @property
    def journal_path(self) -> Path:
        return self.runner().place.journal

    def runner_run_id(self) -> str:
        journal = Journal.observe(self.journal_path)
        try:
            return journal.run_id
        finally:
            journal.close()

    def count_receipts(self, step: str, fates: tuple[ReceiptFate, ...]) -> int:
        journal = Journal.observe(self.journal_path)
        try:
            return journal.step(step).count_receipts(fates)
        finally:
            journal.close()

    def findings(self, step: str) -> list[StoredFinding]:
        journal = Journal.observe(self.journal_path)
        try:
            return journal.findings(step=step)
        finally:
            journal.close()

    def record(self, step: str) -> StepRecord:
        journal = Journal.observe(self.journal_path)
        try:
            return journal.records()[step]
        finally:
            journal.close()


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def kill_at(boundary: str, after: int = 0) -> Callable[[str], None]:
    """A fault that ends the run at that boundary of the journal, the first time or after so many."""
    left = [after]

    def fault(name: str) -> None:
        if name == boundary:
            left[0] -= 1
            if left[0] < 0:
                raise Killed(boundary)

    return fault


def without_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step run although nothing before it has."""
    monkeypatch.setattr(Runner, "_require_needs", lambda *_: None)
