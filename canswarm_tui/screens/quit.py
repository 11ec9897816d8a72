"""Quitting while a step runs: stay, or stop at a safe point."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from canswarm_tui.screens.dialog import leaving


class QuitScreen(ModalScreen[bool]):
    """True: stop at a safe point, then leave."""

    CSS_PATH = "modal.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [leaving("stay", "Stay", "stay")]

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(
                "A step is running. It can be stopped at a safe point; the next start goes on there.", markup=False
            )
            yield Static("To leave and let it go on, use `canswarm-tui run --detach` instead.", markup=False)
            with Horizontal():
                yield Button("Stay", id="stay")
                yield Button("Stop, then leave", id="leave", variant="warning")
            yield Static("Tab to the other button, Enter presses, Esc goes back", id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one("#stay", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "leave")

    def action_stay(self) -> None:
        self.dismiss(False)
