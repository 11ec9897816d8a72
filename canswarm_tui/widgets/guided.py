"""A guided check as text: symptom, verdict, what was looked at, what to do, and the same in a shell."""

from __future__ import annotations

from rich.text import Text

from canswarm_tui.engine.health.facts import Check, CheckVerdict
from canswarm_tui.engine.text import shown
from canswarm_tui.theme import style_of

VERDICT_SIGNS = {
    CheckVerdict.FINE: "✓", CheckVerdict.WORRY: "!", CheckVerdict.BAD: "✗", CheckVerdict.UNKNOWN: "?",
}  # fmt: skip
_STYLES = {
    CheckVerdict.FINE: "done", CheckVerdict.WORRY: "warning", CheckVerdict.BAD: "error", CheckVerdict.UNKNOWN: "muted",
}  # fmt: skip


def verdict_style(verdict: CheckVerdict, theme: str) -> str:
    """The style of a verdict's sign; the word says the same."""
    return style_of(_STYLES[verdict], theme)


def check_text(check: Check, theme: str) -> Text:
    """All of one check."""
    muted = style_of("muted", theme)
    text = Text().append(f"{check.backend}   {shown(check.symptom)}", style_of("title", theme))
    text.append(f"\n{VERDICT_SIGNS[check.verdict]} ", verdict_style(check.verdict, theme))
    text.append(f"{check.verdict.value}: {shown(check.said)}")
    if check.remedy:
        text.append("\nWhat to do: ", muted).append(shown(check.remedy))
    text.append("\n\nlooked at", style_of("title", theme))
    for line in check.looked_at or ("nothing",):
        text.append(f"\n  {shown(line)}")
    text.append("\n\nin a shell", style_of("title", theme))
    text.append(f"\n  {shown(check.command)}")
    if check.variables:
        text.append(f"\n  It reads {', '.join(check.variables)} from the environment.", muted)
    return text
