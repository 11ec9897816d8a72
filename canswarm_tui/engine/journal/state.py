"""Where a step stands, as the journal's row of it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from canswarm_tui.engine.step import Comparison, Outcome, Verdict


class StepState(StrEnum):
    """Where a step stands, as the journal knows it; `ready` and `blocked` are derived from its neighbours."""

    NOT_STARTED = "not started"
    RUNNING = "running"
    STOPPED = "stopped"
    NEEDS_ATTENTION = "needs attention"
    DONE = "done"
    PROVED = "proved"
    UNDONE = "undone"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The journal's row of one step; times are seconds since 1970."""

    step: str
    state: StepState = StepState.NOT_STARTED
    changed_at: float | None = None
    outcome: Outcome | None = None
    outcome_at: float | None = None
    verdict: Verdict | None = None
    verdict_at: float | None = None
    wrote_at: float | None = None
    error: str | None = None

    @property
    def verdict_is_fresh(self) -> bool:
        """The verdict is newer than the last write to that target."""
        return self.verdict_at is not None and (self.wrote_at is None or self.verdict_at > self.wrote_at)


INTERRUPTED = "it was interrupted; run it again to go on"


def without_a_run(record: StepRecord) -> StepRecord:
    """The record where no live run holds the site: what is called running there was killed."""
    return replace(record, state=StepState.STOPPED, error=INTERRUPTED) if record.state is StepState.RUNNING else record


def has_run(record: StepRecord | None) -> bool:
    """Whether a step has done something that has not been undone."""
    return (
        record is not None
        and (record.outcome is not None or record.wrote_at is not None)
        and (record.state not in (StepState.UNDONE, StepState.SKIPPED))
    )


def step_record(row: tuple[str, ...]) -> StepRecord:
    """From a row of the table `steps`, in the order of its columns."""
    step, state, changed_at, outcome, outcome_at, verdict, verdict_at, wrote_at, error = row
    return StepRecord(
        step,
        StepState(state),
        float(changed_at),
        None if outcome is None else Outcome(**json.loads(outcome)),
        None if outcome_at is None else float(outcome_at),
        None if verdict is None else verdict_from_json(json.loads(verdict)),
        None if verdict_at is None else float(verdict_at),
        None if wrote_at is None else float(wrote_at),
        error,
    )


def verdict_from_json(data: dict[str, object]) -> Verdict:
    """The inverse of `asdict` and JSON."""
    comparisons = data.pop("comparisons")
    assert isinstance(comparisons, list)
    return Verdict(comparisons=tuple(Comparison(**c) for c in comparisons), **data)  # type: ignore[arg-type]
