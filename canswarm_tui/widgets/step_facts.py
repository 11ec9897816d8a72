"""What the journal knows of one step, as text in sections: state, plan, what was done, what was proved, findings."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rich.text import Text

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.journal import StepRecord, StepState
from canswarm_tui.engine.step import Figure, Kind
from canswarm_tui.engine.text import bytes_text, counted, shown
from canswarm_tui.model import RunModel
from canswarm_tui.theme import SIGNS, style_of

LISTED = 100
"""Findings that one step's own list shows; the findings screen has them all."""


def state_text(model: RunModel, step: str, theme: str) -> Text:
    """The state with its sign, since when, why, and what must come before."""
    state, why = model.state_of(step)
    record = model.record(step)
    text = _headed(f"{SIGNS[state]} {state}", style_of(state, theme))
    if record.changed_at is not None:
        text.append(f"   since {clock_text(record.changed_at)}", style_of("muted", theme))
    needs = ", ".join(BY_NAME[n].title for n in BY_NAME[step].needs)
    if needs:
        text.append(f"\nNeeds: {needs}", style_of("muted", theme))
    if why and why != f"needs {needs}":
        text.append(f"\n{shown(why)}")
    if record.error:
        text.append(f"\n{shown(record.error)}", style_of("stopped", theme))
    return text


def plan_text(plan: Sequence[str] | None, theme: str) -> Text:
    """What a run would do, as it was asked for last; empty when it was not."""
    if plan is None:
        return Text()
    text = _headed("A run would", style_of("title", theme))
    for line in plan or ("do nothing",):
        text.append(f"\n  {shown(line)}", "")
    return text


def outcome_text(record: StepRecord, theme: str, elsewhere: Collection[str] = ()) -> Text:
    """What the last run or undo did; zero counts are left out, and figures that are shown `elsewhere`."""
    outcome = record.outcome
    if outcome is None:
        return Text()
    text = _headed("Undone" if record.state is StepState.UNDONE else "Done", style_of("title", theme))
    text.append(f"   {clock_text(record.outcome_at)}\n", style_of("muted", theme))
    text.append(shown(outcome.summary))
    counts: dict[str, Figure] = {
        "created": outcome.created, "already there and equal": outcome.present, "unchanged": outcome.unchanged,
        "removed": outcome.removed, "quarantined": outcome.quarantined, "conflicts": outcome.conflicts,
    }  # fmt: skip
    facts: dict[str, Figure] = {name: n for name, n in counts.items() if n}
    if outcome.size_bytes:
        facts["written"] = bytes_text(outcome.size_bytes)
    text.append(_table({**facts, **{n: v for n, v in outcome.figures.items() if n not in elsewhere}}))
    return text


def verdict_text(record: StepRecord, theme: str, elsewhere: Collection[str] = ()) -> Text:
    """What was compared, how, and whether it still holds; without the figures that are shown `elsewhere`."""
    verdict = record.verdict
    if verdict is None:
        return Text()
    fresh = record.verdict_is_fresh
    text = _headed("Proved" if verdict.passed and fresh else "Compared", style_of("title", theme))
    text.append(f"   {clock_text(record.verdict_at)}", style_of("muted", theme))
    text.append("" if fresh else "   older than the last write: verify again", style_of("warning", theme))
    text.append("\n")
    text.append(shown(verdict.summary) if verdict.summary else counted(verdict.differences, "difference"))
    for c in verdict.comparisons:
        word = held_word(record, holds=c.different == 0)
        text.append(f"\n  {SIGNS[word]} ", style_of(word, theme))
        text.append(f"{shown(c.name)}: {c.equal:,} of {c.compared:,} equal, {shown(c.proof)}")
    text.append(_table({n: v for n, v in verdict.figures.items() if n not in elsewhere}))
    return text


def held_word(record: StepRecord, *, holds: bool) -> str:
    """How one comparison of the step's verdict stands: a tick only while the target is as it was compared."""
    if not holds:
        return "needs attention"
    return "proved" if record.verdict_is_fresh else "older"


@dataclass(frozen=True, slots=True)
class Found:
    """What the list of a step's findings shows: (level, subject, what happened), at most `LISTED` of them."""

    title: str
    rows: tuple[tuple[str, str, str], ...]
    total: int
    has_conflicts: bool = False


def found_of(model: RunModel, step: str) -> Found:
    """The findings of this step: as they come while it runs, the newest first, else those that stand."""
    if model.running is not None and model.running[0] == step and not model.elsewhere:
        rows = tuple(islice(reversed(model.seen), LISTED))
        return Found(f"Findings of this run, newest first: {len(model.seen):,}", rows, len(model.seen))
    stored = [f for f in model.findings if f.step.removesuffix("-map") == step]
    rows = tuple(
        ("waiting" if f.wants_decision else f.finding.level.value, f.finding.subject, f.finding.happened)
        for f in stored[:LISTED]
    )
    has_conflicts = any(f.finding.kind is Kind.CONFLICT for f in stored)
    return Found(f"Findings: {len(stored):,}", rows, len(stored), has_conflicts)


def findings_text(found: Found, theme: str) -> Text:
    """The list; long ones cost some time, so draw one again only when it has changed."""
    text = _headed(found.title, style_of("title", theme))
    text.append("   c: conflicts side by side" if found.has_conflicts else "", style_of("muted", theme))
    for level, subject, happened in found.rows:
        text.append(f"\n{level:<8} ", style_of(level, theme))
        text.append(f"{shown(subject, 80)}: {shown(happened, 200)}")
    if found.total > len(found.rows):
        text.append(f"\n… and {found.total - len(found.rows):,} more: press f", style_of("muted", theme))
    return text


def _headed(title: str, style: str) -> Text:
    """A text that begins with a title; the style ends with it."""
    return Text().append(title, style)


def clock_text(seconds: float | None) -> str:
    """A moment in local time, to the minute."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _table(figures: Mapping[str, Figure]) -> str:
    if not figures:
        return ""
    width = min(40, max(len(shown(name, 40)) for name in figures))
    rows = (f"\n  {shown(name, 40):<{width}}  {figure_text(name, value)}" for name, value in figures.items())
    return "".join(rows)


def figure_text(name: str, value: Figure) -> str:
    """A figure for people: sizes in units, counts with separators."""
    if isinstance(value, str):
        return shown(value, 400)
    if name.endswith("bytes"):
        return bytes_text(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
