"""Asking for the file of a peer's plan document; an empty answer does nothing."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from canswarm_tui.screens.dialog import leaving


class PeerScreen(ModalScreen[str]):
    """Gives the path as it was typed, or nothing."""

    CSS_PATH = "modal.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [leaving("cancel", "Cancel", "cancel-peer")]

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(
                "Fork, merge and sync the plan document with a peer's, in memory: no file is written. Which file is "
                "the peer's document?",
                markup=False,
            )
            yield Input(id="peer", placeholder="/path/to/plan_automerge.bin of the other coordinator")
            yield Static("Enter tries it, Esc goes back", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        self.dismiss("")
