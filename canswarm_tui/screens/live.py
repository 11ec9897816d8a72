"""What a server tells as it goes on: changes as they happen, or the progress of a long look. Leaving ends it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.streams import Heard, Stream
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import advice, shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.theme import style_of

LINES_KEPT = 1000
EVERY_S = 0.1


def clock() -> str:
    """The time of day, as it stands before a line."""
    return time.strftime("%H:%M:%S")


class LiveScreen(SwarmScreen):
    """The newest line is on top."""

    CSS_PATH = "live.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="copy-live", tooltip="what was heard, to the clipboard and into a file"),
    ]

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._stop = StopSignal()
        self._status = stream.begins
        self._error: EngineError | None = None
        self._heard: deque[Heard] = deque(maxlen=LINES_KEPT)
        """What the thread has heard and the screen has not shown yet."""
        self._ended = threading.Event()
        self._lines: deque[tuple[str, Heard]] = deque(maxlen=LINES_KEPT)

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="status", markup=False)
        with VerticalScroll(id="facts"):
            yield Static(id="told", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#facts").focus()
        self.redraw()
        self._again = self.set_interval(EVERY_S, self._take)
        threading.Thread(target=self._listen, name="live", daemon=True).start()

    def on_unmount(self) -> None:
        self._stop.set("the screen was left")

    def redraw(self) -> None:
        self.put("#head", shown(self._stream.title))
        status = Text(shown(self._status))
        if self._error is not None:
            told = f"   {shown(advice(self._error.happened, self._error.remedy))}"
            status.append(told, style_of("error", self.app.theme))
        self.put("#status", status)
        self.put("#told", self._text())

    def action_copy(self) -> None:
        copy_out(self.swarm, "live.txt", f"{self._stream.title}\n{self._status}\n{self._text().plain}")

    def _text(self) -> Text:
        text = Text()
        for at, heard in self._lines:
            text.append(f"{at}  ", style_of("muted", self.app.theme))
            text.append(f"{shown(heard.line)}\n", style_of("error", self.app.theme) if heard.is_bad else "")
        return text

    def _take(self) -> None:
        """Show what was heard since; nothing is drawn where nothing was."""
        ended, at = self._ended.is_set(), clock()
        if not self._heard and not ended:
            return
        while self._heard:
            heard = self._heard.popleft()
            self._status = heard.status
            if heard.line:
                self._lines.appendleft((at, heard))
        if ended:
            self._again.stop()
            self._status += f"   {'it has stopped' if self._error else self._stream.ended}"
        self.redraw()

    def _listen(self) -> None:
        try:
            with mistakes_told("listening"):
                for heard in self._stream.listen(self.swarm.settings, self._stop):
                    self._heard.append(heard)
        except EngineError as exc:
            self._error = exc
        self._ended.set()
