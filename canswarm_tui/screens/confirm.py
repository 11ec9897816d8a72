"""Asking before something is removed: Cancel has the focus, and only the typed name agrees."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from canswarm_tui.engine.text import shown


class ConfirmScreen(ModalScreen[bool]):
    """True only when the button was pressed, after the name was typed where one is given."""

    CSS_PATH = "modal.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", id="cancel-confirm")]

    def __init__(self, question: str, name: str | None = None) -> None:
        super().__init__()
        self._question = question
        self._site = name

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(shown(self._question), markup=False)
            if self._site is not None:
                yield Static(f"Type the site's name to go on: {shown(self._site, 60)}", markup=False)
                yield Input(id="typed")
            with Horizontal():
                yield Button("Cancel", id="cancel")
                yield Button("Do it", id="agree", variant="error", disabled=self._site is not None)

    def on_mount(self) -> None:
        self.query_one("#cancel", Button).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one("#agree", Button).disabled = event.value != self._site

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "agree" and not event.button.disabled)

    def action_cancel(self) -> None:
        self.dismiss(False)
