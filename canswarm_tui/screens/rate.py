"""Typing a rate limit; what is no rate is said and asked for again."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from canswarm_tui.engine.rate import limit_text, read_limit
from canswarm_tui.screens.dialog import leaving


class RateScreen(ModalScreen[tuple[float | None]]):
    """Gives records a second, or None for no limit, in a tuple of one; nothing at all when it is left."""

    CSS_PATH = "modal.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [leaving("cancel", "Cancel", "cancel-rate")]

    def __init__(self, now: float | None) -> None:
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(f"Records copied a second, at most. Now: {limit_text(self._now)}.", markup=False)
            yield Input(id="rate", placeholder="500, or off")
            yield Static("Enter sets it at once, Esc goes back", id="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            self.dismiss((read_limit(event.value),))
        except ValueError as exc:
            self.query_one("#hint", Static).update(f"! {exc}")

    def action_cancel(self) -> None:
        self.dismiss(None)
