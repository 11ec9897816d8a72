"""The log: the file that every run writes, also a run of another process, followed as it grows."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Log, Static

from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen

TAIL_BYTES = 64 * 1024
KEPT_LINES = 5000


class LogScreen(SwarmScreen):
    """Opens on the last lines; `space` stops following, so that one can read."""

    CSS_PATH = "log.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "back", "Back", id="back-log", show=False),
        Binding("space", "follow", "Follow", id="follow-log", tooltip="follow the end, or stand still to read"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._offset = 0
        self._rest = b""

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Log(id="lines", highlight=False, max_lines=KEPT_LINES)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        path = self.swarm.place.log
        if path.exists():
            self._offset = max(0, path.stat().st_size - TAIL_BYTES)
        self.redraw()
        self.query_one("#lines", Log).focus()
        self.set_interval(1.0, self.redraw)

    def redraw(self) -> None:
        """Read what has been written since."""
        if self.query_one_optional("#lines", Log) is None:
            return
        lines = self.query_one("#lines", Log)
        following = "following" if lines.auto_scroll else "standing still: space follows"
        self.put("#head", f"Log   {following}   {shown(str(self.swarm.place.log))}")
        try:
            with self.swarm.place.log.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read(TAIL_BYTES)
        except FileNotFoundError:
            return
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if whole:
            lines.write_lines([shown(line, 1000) for line in whole])

    def action_follow(self) -> None:
        lines = self.query_one("#lines", Log)
        lines.auto_scroll = not lines.auto_scroll
        if lines.auto_scroll:
            lines.scroll_end(animate=False)
        self.redraw()
