"""A preflight as text: how each check came out, the inventory in groups, and all of it for a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.text import Text

from canswarm_tui.engine.checks import BY, TITLES, Checked
from canswarm_tui.engine.journal import StoredFinding
from canswarm_tui.engine.step import Figure
from canswarm_tui.engine.text import bytes_text, duration_text, shown
from canswarm_tui.model import RunModel
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.step_facts import clock_text

SIGNS = {"fine": "✓", "note": "·", "warning": "!", "blocker": "✗", "looking": "▶", "not yet": " "}
_STYLES = {"fine": "done", "note": "muted", "looking": "running", "not yet": "muted"}
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Plan store": ("threads", "tasks", "edges", "ops", "plan store", "derived rows", "Lamport"),
    "Decisions": ("decision", "keys in Redis", "Redis", "needs decided", "of them without"),
    "Content store": ("blob", "odd files"),
    "Audit log": ("audit", "envelopes", "gaps"),
}
"""How the names of the inventory's counts begin, by group."""
_REST = "Servers and machine"


def word_of(name: str, model: RunModel) -> str:
    """How a check stands now: `looking` while it is made, `not yet` before, else the gravest that it found."""
    running = model.running is not None and model.running[0] == "preflight"
    if running and model.progress is not None and model.progress.doing == TITLES[name] and name not in model.checks:
        return "looking"
    return model.checks[name].word if name in model.checks else "not yet"


def word_style(word: str, theme: str) -> str:
    return style_of(_STYLES.get(word, word), theme)


def counts_text(one: Checked | None) -> str:
    """`1 blocker, 3 warnings`; `fine` where nothing was found, empty before it has come out."""
    if one is None:
        return ""
    found = (("blocker", one.blockers), ("warning", one.warnings), ("note", one.notes))
    said = ", ".join(f"{count:,} {level}{'' if count == 1 else 's'}" for level, count in found if count)
    return said or "fine"


def gravest_text(one: Checked | None) -> str:
    """Of `counts_text` the gravest part, for a narrow column."""
    return counts_text(one).partition(",")[0]


def inventory_text(inventory: Mapping[str, Figure], theme: str) -> Text:
    """What was counted, by what it counts; what fits no group stands last."""
    groups: dict[str, dict[str, Figure]] = {title: {} for title in (*_GROUPS, _REST)}
    for name, value in inventory.items():
        groups[next((title for title, begins in _GROUPS.items() if name.startswith(begins)), _REST)][name] = value
    text = Text()
    for title, figures in groups.items():
        if figures:
            rows = (f"\n  {shown(name, 60):<38}  {_figure(name, value)}" for name, value in figures.items())
            text.append(f"{chr(10) * 2 if text else ''}{title}", style_of("title", theme)).append("".join(rows))
    return text or Text("Nothing is counted yet.", style_of("muted", theme))


def whole_text(model: RunModel, inventory: Mapping[str, Figure], found: Iterable[str]) -> str:
    """All of a preflight, for a file; `found` are its findings as text."""
    lines = [f"Preflight of {shown(model.site)}", ""]
    for name, title in TITLES.items():
        one = model.checks.get(name)
        when = "not yet" if one is None else f"{counts_text(one)}, {clock_text(one.at)}, {duration_text(one.seconds)}"
        lines.append(f"{SIGNS[word_of(name, model)]} {title} ({name}): {when}")
    return "\n".join([*lines, "", inventory_text(inventory, "").plain, "", *(f"{one}\n" for one in found)])


def of_checks(found: Iterable[StoredFinding], model: RunModel, only: str | None) -> list[StoredFinding]:
    """Preflight's findings of checks that have come out, or of `only` one."""
    return [
        f for f in found
        if f.step == "preflight" and (check := f.finding.details.get(BY)) in model.checks and only in (None, check)
    ]  # fmt: skip


def _figure(name: str, value: Figure) -> str:
    if isinstance(value, str):
        return shown(value, 60)
    return bytes_text(float(value)) if name.endswith(" bytes") else f"{value:,}"
