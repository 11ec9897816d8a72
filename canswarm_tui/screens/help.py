"""Help for the screen it was asked on: what every key does there now, and what the words mean."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from canswarm_tui.theme import style_of

_WORDS = {
    "ready": "it can be run now; the next one in order is marked",
    "blocked": "something must be done before; the line under the list says what",
    "running": "counts, rate and time left stand at the bottom; s stops it",
    "stopping": "a stop was asked for; it ends at the next safe point",
    "done": "did what it should; nothing of it can be compared, or people have accepted the rest",
    "proved": "the target was read back and everything is equal",
    "needs attention": "a quarantine, difference or conflict waits for a person: press f",
    "stopped": "at a safe point; the same key goes on",
    "undone": "what this run created there was removed",
    "skipped": "honestly not done; its line says why",
    "not available yet": "this version does not do it, and no report counts it as done",
}
MOVING = "In a list and in a long text: ↑ ↓, PgUp, PgDn, Home and End; tab goes from one to the next."
_OWN_NAMES = {"enter": "⏎", "escape": "esc", "question_mark": "?"}


class HelpScreen(Screen[None]):
    """`of` is the screen that help is wanted for."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1", "back", "Back", id="back-help", key_display="esc")]

    def __init__(self, of: Screen[object]) -> None:
        super().__init__()
        self._keys = _keys_of(of)
        self._told = of.HELP or ""

    def compose(self) -> ComposeResult:
        yield Static("Help", id="head", markup=False)
        with VerticalScroll(id="page"):
            if self._told:
                yield Static(self._told, id="about-screen", markup=False)
            yield Static(_table("Keys on this screen", self._keys, self.app.theme), markup=False)
            yield Static(MOVING, markup=False)
            yield Static(_table("Words of the checklist", _WORDS, self.app.theme), markup=False)
            yield Static("Every key has a command: `canswarm-tui --help`.", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#page").focus()

    def action_back(self) -> None:
        self.app.pop_screen()


def _keys_of(screen: Screen[object]) -> dict[str, str]:
    """What each key does there; of several keys for the same action all are named."""
    told: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        does = active.tooltip or binding.tooltip or binding.description
        if binding.id and does and active.enabled:
            told.setdefault(does, []).append(_OWN_NAMES.get(binding.key, binding.key.upper() if len(binding.key) > 1
                                                            and binding.key[0] == "f" else binding.key))  # fmt: skip
    for own in screen.app.BINDINGS:
        # Textual's own Ctrl+C of a screen, which copies, lies over ours and lets it pass where nothing is selected.
        if isinstance(own, Binding) and own.tooltip and own.tooltip not in told:
            told[own.tooltip] = [own.key]
    return {" ".join(keys): does for does, keys in told.items()}


def _table(title: str, rows: dict[str, str], theme: str) -> Text:
    width = max(map(len, rows), default=0)
    text = Text().append(title, style_of("title", theme))
    for name, told in rows.items():
        text.append(f"\n  {name:<{width}}  ").append(told, style_of("muted", theme))
    return text
