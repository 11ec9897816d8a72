"""Asking which record to look at: typed, or chosen from those that begin like what is typed."""

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.three_ways import HINTS, keys_from
from canswarm_tui.screens.dialog import leaving
from canswarm_tui.widgets.drawing import draw

OFFERED = 50


class _KeysFound(Message):
    """What `keys_from` found for what was typed."""

    def __init__(self, beginning: str, keys: list[bytes], trouble: str) -> None:
        super().__init__()
        self.beginning, self.keys, self.trouble = beginning, keys, trouble


class AskKeyScreen(ModalScreen[bytes]):
    """Gives the key, or nothing."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["modal.tcss", "ask_key.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        leaving("cancel", "Cancel", "cancel-key"),
        Binding("down", "to_list", "List", id="to-keys", show=False),
    ]

    def __init__(self, settings: Settings, step: str) -> None:
        super().__init__()
        self._settings = settings
        self._step = step
        self._keys: list[bytes] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(f"{BY_NAME[self._step].title}: which record? Give {HINTS[self._step]}.", markup=False)
            yield Input(id="key")
            yield Static(id="found", markup=False)
            yield OptionList(id="keys", markup=False)
            yield Static("Enter compares site, target and receipt; ↓ to the list; Esc goes back", markup=False)

    def on_mount(self) -> None:
        self._look_up("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._look_up(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.encode("utf-8", "surrogateescape"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._keys[event.option_index])

    def on__keys_found(self, message: _KeysFound) -> None:
        if message.beginning != self.query_one("#key", Input).value:
            return
        self._keys = message.keys
        options = self.query_one("#keys", OptionList)
        options.clear_options()
        options.add_options(Option(Text(shown(key, 200), no_wrap=True, overflow="ellipsis")) for key in self._keys)
        options.display = bool(self._keys)
        self._put_found(_found_text(message))

    def _put_found(self, text: str) -> None:
        """What there is to say about the list; nothing takes no room."""
        found = self.query_one("#found", Static)
        draw(found, text)
        found.display = bool(text)

    def action_cancel(self) -> None:
        self.dismiss(b"")

    def action_to_list(self) -> None:
        if self._keys:
            options = self.query_one("#keys", OptionList)
            options.highlighted = 0
            options.focus()

    def _look_up(self, beginning: str) -> None:
        """Look for keys in a thread; a newer look makes an older one's answer void."""

        def look() -> None:
            keys: list[bytes] = []
            trouble = ""
            try:
                keys = keys_from(self._settings, self._step, beginning.encode("utf-8", "surrogateescape"), OFFERED)
            except EngineError as exc:
                trouble = str(exc)
            self.post_message(_KeysFound(beginning, keys, trouble))

        self.run_worker(look, thread=True, exclusive=True, group="keys")


def _found_text(message: _KeysFound) -> str:
    if message.trouble:
        return shown(message.trouble, 200)
    if not message.keys:
        return "none of those that were migrated begins like this"
    return f"the first {OFFERED} that begin like this" if len(message.keys) == OFFERED else ""
