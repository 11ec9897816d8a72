"""Asking before something is removed: Cancel has the focus, and only the typed name agrees."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from canswarm_tui.engine.text import shown
from canswarm_tui.screens.dialog import leaving


class ConfirmScreen(ModalScreen[bool]):
    """True only when the button was pressed, after the name was typed where one is given."""

    CSS_PATH = "modal.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [leaving("cancel", "Cancel", "cancel-confirm")]

    def __init__(self, question: str, name: str | None = None) -> None:
        super().__init__()
        self._question = question
        self._site = name

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(shown(self._question), markup=False)
            if self._site is not None:
                yield Static(f"Type the site's name to go on: {shown(self._site, 60)}", markup=False)
                yield Input(id="typed", select_on_focus=False)
            with Horizontal():
                yield Button("Cancel", id="cancel")
                yield Button("Do it", id="agree", variant="error", disabled=self._site is not None)
            yield Static("Tab to the other button, Enter presses, Esc goes back", id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one("#cancel", Button).focus()

    def on_key(self, event: Key) -> None:
        """What is typed goes where the name is wanted, although Cancel has the focus."""
        if self._site is None or not event.is_printable or event.character is None or event.key == "space":
            return
        typed = self.query_one("#typed", Input)
        if not typed.has_focus:
            event.stop()
            typed.focus()
            typed.insert_text_at_cursor(event.character)

    def on_input_submitted(self) -> None:
        """Enter only goes on to the button: it agrees to nothing."""
        agree = self.query_one("#agree", Button)
        (self.query_one("#cancel", Button) if agree.disabled else agree).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one("#agree", Button).disabled = event.value != self._site

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "agree" and not event.button.disabled)

    def action_cancel(self) -> None:
        self.dismiss(False)
