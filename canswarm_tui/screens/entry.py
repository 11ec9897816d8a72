"""One entry of a list, whole: what its server says of it, compared with v1 where v1 has it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.health.facts import Section
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.widgets.sections import sections_text


class EntryScreen(SwarmScreen):
    CSS_PATH = "entry.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="copy-entry", tooltip="all of it to the clipboard and into a file"),
    ]

    def __init__(self, key: str, sections: tuple[Section, ...]) -> None:
        super().__init__()
        self._key = key
        self._sections = sections

    def compose(self) -> ComposeResult:
        yield Static(shown(self._key, 200), id="head", markup=False)
        with VerticalScroll(id="facts"):
            yield Static(self._text(), id="told", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#facts").focus()

    def action_copy(self) -> None:
        copy_out(self.swarm, "entry.txt", f"{shown(self._key)}{self._text().plain}")

    def _text(self) -> Text:
        return sections_text(self._sections, self.app.theme)
