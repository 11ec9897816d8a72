"""The log: what the engine has said in this session; all of it is also in the log file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Log, Static

from canswarm_tui.engine.text import shown

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp


class LogScreen(Screen[None]):
    """Follows as lines come."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,l", "back", "Back", id="back-log", key_display="esc")]

    def __init__(self) -> None:
        super().__init__()
        self._written = 0

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Log(id="lines", highlight=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        swarm = cast("SwarmApp", self.app)
        self.query_one("#head", Static).update(f"Log; also in {shown(str(swarm.place.log))}")
        self.redraw()

    def redraw(self) -> None:
        lines = list(cast("SwarmApp", self.app).model.lines)
        fresh = lines[self._written :]
        if fresh:
            self.query_one("#lines", Log).write_lines([shown(line, 1000) for line in fresh])
            self._written = len(lines)

    def action_back(self) -> None:
        self.app.pop_screen()
