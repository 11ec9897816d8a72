"""The log: the file that every run writes, also a run of another process, followed as it grows, filtered and saved."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Footer, Input, Log, Static

from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen

TAIL_BYTES = 64 * 1024
KEPT_LINES = 5000


class Filtered(Message):
    """The last lines of the whole file that hold the words, and how many there are in all."""

    def __init__(self, words: str, lines: tuple[str, ...], count: int) -> None:
        super().__init__()
        self.words, self.lines, self.count = words, lines, count


class LogScreen(SwarmScreen):
    """Opens on the last lines. A filter looks through the whole file, however long, and shows its last matches."""

    CSS_PATH = "log.tcss"
    HELP = (
        "Everything that was done, and every request that changed something, as it is in the file that is named "
        "above. s looks for words in the whole file, the arrows move sideways too, w saves what was found."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "back", "Back", id="back-log", show=False),
        Binding("space", "follow", "Follow", id="follow-log", tooltip="follow the end, or stand still to read"),
        Binding("s", "search", "Search", id="search-log", tooltip="the lines of the whole file that hold words"),
        Binding("w", "save", "Save", id="save-log", tooltip="write what the search finds, or all, into a file"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._offset = 0
        self._rest = b""
        self._words = ""
        self._found = 0

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="where", markup=False)
        yield Input(id="search", placeholder="words, then Enter; empty shows all", compact=True)
        yield Log(id="lines", highlight=False, max_lines=KEPT_LINES)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#search").display = False
        self._to_tail()
        self.query_one("#lines", Log).focus()
        self.set_interval(1.0, self.redraw)

    def redraw(self) -> None:
        """Read what has been written since."""
        if self.query_one_optional("#lines", Log) is None:
            return
        lines = self.query_one("#lines", Log)
        state = "following" if lines.auto_scroll else "standing still: space follows"
        if self._words:
            state = f"{self._found:,} lines hold “{shown(self._words, 40)}”"
        self.put("#head", f"Log   {state}")
        self.put("#where", f"in {shown(str(self.swarm.place.log))}")
        whole = self._new_lines()
        if self._words:
            whole = [line for line in whole if self._words.lower() in line.lower()]
            self._found += len(whole)
        if whole:
            lines.write_lines(map(_without_today, whole))

    def action_follow(self) -> None:
        lines = self.query_one("#lines", Log)
        lines.auto_scroll = not lines.auto_scroll
        if lines.auto_scroll:
            lines.scroll_end(animate=False)
        self.redraw()

    def action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.display = True
        search.focus()

    def action_back(self) -> None:
        """Out of the search first, then out of the log."""
        if self.query_one("#search", Input).has_focus:
            self._leave_search()
        else:
            super().action_back()

    def action_save(self) -> None:
        path = self.swarm.place.folder / "log-saved.txt"
        try:
            with path.open("w", encoding="utf-8", errors="backslashreplace") as out:
                out.writelines(f"{line}\n" for line in _matching(self.swarm.place.log, self._words))
        except OSError as exc:
            self.swarm.tell(f"{path} could not be written: {exc.strerror}", severity="error")
            return
        self.swarm.tell(f"saved in {path}")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._words = event.value.strip()
        self._leave_search()
        if not self._words:
            self._to_tail()
            return
        words, path = self._words, self.swarm.place.log

        def look() -> None:
            last: deque[str] = deque(maxlen=KEPT_LINES)
            count = 0
            for count, line in enumerate(_matching(path, words), 1):  # noqa: B007 - its last value is wanted
                last.append(line)
            self.post_message(Filtered(words, tuple(last), count))

        self.run_worker(look, thread=True, group="search-log", exit_on_error=False)

    def on_filtered(self, message: Filtered) -> None:
        if message.words != self._words:
            return
        self._found = message.count
        path = self.swarm.place.log
        self._offset, self._rest = path.stat().st_size if path.exists() else 0, b""
        lines = self.query_one("#lines", Log)
        lines.clear()
        lines.write_lines(map(_without_today, message.lines))
        self.redraw()

    def _leave_search(self) -> None:
        self.query_one("#search", Input).display = False
        self.query_one("#lines", Log).focus()

    def _to_tail(self) -> None:
        path = self.swarm.place.log
        self.query_one("#lines", Log).clear()
        self._offset, self._rest = max(0, path.stat().st_size - TAIL_BYTES) if path.exists() else 0, b""
        self.redraw()

    def _new_lines(self) -> list[str]:
        try:
            with self.swarm.place.log.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read(TAIL_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [shown(line, 1000) for line in whole]


def _without_today(line: str) -> str:
    """A line of today by its time alone: a narrow terminal has room for what was done."""
    return line.removeprefix(time.strftime("%Y-%m-%d "))


def _matching(path: Path, words: str) -> Iterator[str]:
    """Lines of the file that hold the words in any case, as they are shown; a file that isn't there has none."""
    try:
        with path.open("rb") as stream:
            for line in stream:
                text = shown(line.rstrip(b"\n"), 1000)
                if words.lower() in text.lower():
                    yield text
    except FileNotFoundError:
        return
