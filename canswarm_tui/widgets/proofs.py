"""What has been compared, as rows of a table and as sentences: every comparison of every step, and whether it holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from canswarm_tui.engine.checklist import BY_NAME, FINAL, STEPS
from canswarm_tui.engine.journal import StepRecord, StoredFinding, has_run
from canswarm_tui.engine.step import Comparison, Kind
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.model import RunModel
from canswarm_tui.theme import SIGNS, style_of
from canswarm_tui.widgets.step_facts import clock_text, figure_text, held_word

FRESH, OLDER = "fresh", "older"
"""Than the last write to the target: how a verdict stands."""


@dataclass(frozen=True, slots=True)
class ProofRow:
    """One line: a step, or one of its comparisons."""

    step: str
    number: int | None
    """Which comparison of the step's verdict, from 0; None: the step itself."""
    word: str
    """Its state, one of `theme.SIGNS`."""
    what: str
    count: str
    proof: str


def proof_rows(model: RunModel) -> list[ProofRow]:
    """Steps with a target or a verdict, in the order of a run, each followed by its comparisons; the final one last."""
    rows: list[ProofRow] = []
    for info in STEPS:
        record = model.record(info.name)
        if info.writes_target or record.verdict is not None or info.name == FINAL:
            rows.append(_step_row(model, record))
            if info.name != FINAL and record.verdict is not None:
                rows += (_comparison_row(record, n, c) for n, c in enumerate(record.verdict.comparisons))
    return rows


def differences_of(model: RunModel, step: str) -> list[StoredFinding]:
    """What a person must know of a step's records by name, those that wait first; of all steps for the final one."""
    chosen = [f for f in model.findings if f.finding.kind is not Kind.CONDITION and step in (FINAL, f.step)]
    return sorted(chosen, key=lambda f: not f.wants_decision)


def row_text(row: ProofRow, model: RunModel, theme: str) -> Text:
    """The whole of what is known about a row."""
    record = model.record(row.step)
    verdict = record.verdict
    if verdict is None:
        return Text(_never(model, record))
    if row.number is not None and row.number < len(verdict.comparisons):
        return _comparison_text(verdict.comparisons[row.number], theme)
    text = Text().append(f"Compared {clock_text(record.verdict_at)}", style_of("muted", theme))
    text.append("" if record.verdict_is_fresh else f"   {_why_stale(record)}", style_of("warning", theme))
    text.append(f"\n{shown(verdict.summary)}", style_of("proved" if verdict.passed else "needs attention", theme))
    figures = "   ".join(f"{shown(n, 40)} {figure_text(n, v)}" for n, v in verdict.figures.items())
    return text.append(f"\n{figures}", style_of("muted", theme)) if figures else text


def _step_row(model: RunModel, record: StepRecord) -> ProofRow:
    word, _ = model.state_of(record.step)
    verdict = record.verdict
    title = BY_NAME[record.step].title
    if record.step == FINAL:
        title = "All of it, in one verdict"
    if verdict is None or record.verdict_at is None:
        return ProofRow(record.step, None, word, title, word, "not verified yet")
    when = time.strftime("%m-%d %H:%M", time.localtime(record.verdict_at))
    fresh = FRESH if record.verdict_is_fresh else OLDER
    return ProofRow(record.step, None, word, title, word, f"{fresh} {when}")


def _comparison_row(record: StepRecord, number: int, compared: Comparison) -> ProofRow:
    word = held_word(record, holds=compared.different == 0)
    count = f"{compared.equal:,} of {compared.compared:,}" if compared.different else f"all {compared.compared:,}"
    return ProofRow(record.step, number, word, shown(compared.name, 100), count, shown(compared.proof, 100))


def _comparison_text(compared: Comparison, theme: str) -> Text:
    text = Text(f"{shown(compared.name)}: {compared.equal:,} of {compared.compared:,} equal, {shown(compared.proof)}")
    if compared.size_bytes:
        text.append(f"; {bytes_text(compared.size_bytes)} read back")
    if compared.different:
        text.append(f"\n{compared.different:,} differ or are missing", style_of("warning", theme))
    return text


def _never(model: RunModel, record: StepRecord) -> str:
    if has_run(record):
        return "Nothing has been compared here yet: v reads the target back and compares all of it."
    _, why = model.state_of(record.step)
    return f"It has not run, so there is nothing to compare{f': it {shown(why)}' if why else ''}."


def _why_stale(record: StepRecord) -> str:
    wrote = clock_text(record.wrote_at)
    return f"older than the last write to the target, {wrote}: verify again"


def differing_rows(page: list[StoredFinding], theme: str) -> Iterator[tuple[Text, Text, Text, Text]]:
    """Sign, kind, subject and what happened of each."""
    for found in page:
        word = "waiting" if found.wants_decision else found.status.value
        sign = "!" if found.wants_decision else "✓"
        style = style_of(word if found.wants_decision else "muted", theme)
        yield (
            Text(sign, style), Text(found.finding.kind.value, style), Text(shown(found.finding.subject, 80)),
            Text(shown(found.finding.happened, 200), style_of("muted", theme)),
        )  # fmt: skip


def sign_of(row: ProofRow, theme: str) -> Text:
    return Text(SIGNS[row.word], style_of(row.word, theme))
