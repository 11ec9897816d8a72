"""What diagnostics say, as text: sections of facts, and worries with what to do about them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from canswarm_tui.engine.health.facts import Condition, Look, Section
from canswarm_tui.engine.text import advice, shown
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.step_facts import figure_text

CONDITION_SIGNS = {
    Condition.ANSWERS: "✓", Condition.DOWN: "✗", Condition.SLOW: "…", Condition.BUSY: "…", Condition.REFUSES: "✗",
    Condition.OTHER_VERSION: "!", Condition.DAMAGED: "✗", Condition.MISSING: "·",
}  # fmt: skip


def condition_style(condition: Condition, theme: str) -> str:
    """The style of a condition's sign; the word says the same."""
    word = {
        Condition.ANSWERS: "done",
        Condition.MISSING: "muted",
        Condition.SLOW: "warning",
        Condition.BUSY: "warning",
    }.get(condition, "error")
    return style_of(word, theme)


def look_text(look: Look, theme: str) -> Text:
    """All that one look told."""
    text = Text().append(f"{look.name}   {shown(look.address, 200)}", style_of("title", theme))
    text.append(f"\n{CONDITION_SIGNS[look.condition]} ", condition_style(look.condition, theme))
    text.append(f"{look.condition.value}   {look.took_ms:,.0f} ms")
    if look.error is not None:
        text.append(f"\n{shown(look.error.happened)}", style_of("error", theme))
        text.append(f"\nWhat to do: {shown(look.error.remedy)}")
    for worry in look.worries:
        text.append(f"\n! {shown(worry.subject, 120)}: ", style_of(worry.level.value, theme))
        text.append(shown(advice(worry.happened, worry.remedy)))
    return text.append(sections_text(look.sections, theme))


def sections_text(sections: Iterable[Section], theme: str) -> Text:
    """Titled groups of facts, each name beside its value."""
    text = Text()
    for one in sections:
        width = min(28, max((len(shown(name, 40)) for name, _ in one.facts), default=0))
        text.append(f"\n\n{shown(one.title, 200)}", style_of("title", theme))
        for name, value in one.facts:
            text.append(f"\n  {shown(name, 40).removesuffix(' bytes'):<{width}}  ", style_of("muted", theme))
            text.append(figure_text(name, value))
    return text
