"""Asking why a finding may stay as it is; an empty answer changes nothing."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from canswarm_tui.engine.text import shown
from canswarm_tui.screens.dialog import leaving


class ReasonScreen(ModalScreen[str]):
    """Gives the reason, or nothing."""

    CSS_PATH = "modal.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [leaving("cancel", "Cancel", "cancel-reason")]

    def __init__(self, subject: str, act: str = "Accept {} as it is.") -> None:
        """`act` is what will be done, with `{}` for the subject."""
        super().__init__()
        self._subject = subject
        self._act = act

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(
                f"{self._act.replace('{}', shown(self._subject, 120))} Why? It is kept in journal and report.",
                markup=False,
            )
            yield Input(id="reason")
            yield Static("Enter does it, Esc goes back", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        self.dismiss("")
