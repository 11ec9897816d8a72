"""A list too long to hold, read from its server a page at a time: searched by its beginning, each entry opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Footer, Input, Static

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.facts import Browsable, Page, Section
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.text import advice, shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.widgets.row_table import RowTable

PAGE = 200
KEY_WIDTH = 66
"""Characters of a key; a longer one says how many it has."""
KEY_CELLS = KEY_WIDTH + len("… (1,000,000 characters)")
"""What that takes of a line: a character of China or Japan takes two cells."""
CELL_WIDTH = 22


class Got(Message):
    """A page or an entry has come, or the server has refused; `asked` tells which question it answers."""

    def __init__(self, asked: int, found: Page | tuple[Section, ...] | EngineError, key: str = "") -> None:
        super().__init__()
        self.asked, self.found, self.key = asked, found, key


@dataclass
class _Reading:
    """Where one is in a list: the starts of the pages before, so that one can go back."""

    starts: list[str | None] = field(default_factory=lambda: [None])
    page: Page | None = None
    prefix: str = ""


class BrowseScreen(SwarmScreen):
    """One page is held. The arrows go on to the next page at its end, and back at its beginning."""

    CSS_PATH = "browse.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="open-entry", key_display="⏎", priority=True,
                tooltip="all about this entry"),
        Binding("s", "search", "Search", id="search-list", tooltip="only what begins with these letters"),
        Binding("l", "look_up", "Look up", id="look-up",
                tooltip="one entry by its whole key, also one that isn't listed"),
        Binding("n", "next", "Next", id="next-entries", tooltip="the next page"),
        Binding("b", "previous", "Before", id="entries-before", tooltip="the page before"),
        Binding("t", "turn", "Other list", id="other-list", tooltip="the next list of this backend"),
        Binding("r", "again", "Again", id="read-again", tooltip="read this page again"),
    ]  # fmt: skip

    def __init__(self, lists: Sequence[Browsable]) -> None:
        super().__init__()
        self._lists = list(lists)
        self._list = self._lists[0]
        self._reading = _Reading()
        self._asked = 0
        self._waits = True

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Input(id="search", placeholder="begins with …, then Enter; empty shows all", compact=True)
        yield Input(id="key", placeholder="the whole key, then Enter", compact=True)
        yield RowTable(id="entries")
        yield Static(id="said", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        for one in self.query(Input):
            one.display = False
        self._table().focus()
        self._read()

    def redraw(self) -> None:
        """Only the title: the page is drawn when it comes."""
        page = self._reading.page
        begins = f"   begins with “{shown(self._reading.prefix, 40)}”" if self._reading.prefix else ""
        total = "" if page is None or page.total is None else f"   {page.total:,}"
        number = f"   page {len(self._reading.starts):,}"
        waits = "   reading…" if self._waits else ""
        self.put("#head", f"{shown(self._list.title, 60)}{total}{begins}{number}{waits}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """A key for another list or page is shown where there is one."""
        page = self._reading.page
        if action == "open":
            return page is not None and bool(page.entries) and not self._is_typing
        if action == "turn":
            return len(self._lists) > 1
        if action == "previous":
            return len(self._reading.starts) > 1
        return action != "next" or (page is not None and page.after is not None)

    def on_key(self, event: events.Key) -> None:
        """At its ends the page turns."""
        table, page = self._table(), self._reading.page
        if not table.has_focus or page is None or self._waits:
            return
        if event.key == "down" and table.cursor_row >= len(page.entries) - 1 and page.after is not None:
            event.prevent_default()
            self.action_next()
        elif event.key == "up" and table.cursor_row <= 0 and len(self._reading.starts) > 1:
            event.prevent_default()
            self.action_previous()

    def on_got(self, message: Got) -> None:
        if message.asked != self._asked:
            return
        self._waits = False
        match message.found:
            case Page() as page:
                self._reading.page = page
                self._draw(page)
            case EngineError() as error:
                self.put("#said", shown(advice(error.happened, error.remedy)))
            case sections:
                from canswarm_tui.screens.entry import EntryScreen

                self.app.push_screen(EntryScreen(message.key, sections))
        self.redraw()
        self.refresh_bindings()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._leave_input()
        if event.input.id == "search":
            self._reading = _Reading(prefix=event.value)
            self._read()
        elif event.value:
            self._open(event.value)

    def on_data_table_row_selected(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        key = self._chosen()
        if key is not None:
            self._open(key)

    def action_search(self) -> None:
        self._show_input("#search")

    def action_look_up(self) -> None:
        self._show_input("#key")

    def action_back(self) -> None:
        """Out of an input first, then out of the list."""
        if self._is_typing:
            self._leave_input()
        else:
            super().action_back()

    def action_next(self) -> None:
        page = self._reading.page
        if page is not None and page.after is not None and not self._waits:
            self._reading.starts.append(page.after)
            self._read()

    def action_previous(self) -> None:
        if len(self._reading.starts) > 1 and not self._waits:
            self._reading.starts.pop()
            self._read()

    def action_turn(self) -> None:
        self._list = self._lists[(self._lists.index(self._list) + 1) % len(self._lists)]
        self._reading = _Reading()
        self._read()

    def action_again(self) -> None:
        self._read()

    def _read(self) -> None:
        listed, after, prefix = self._list, self._reading.starts[-1], self._reading.prefix
        self._ask(lambda: listed.page(after=after, limit=PAGE, prefix=prefix))

    def _ask(self, question: Callable[[], Page | tuple[Section, ...]], key: str = "") -> None:
        """In a thread; an answer that comes after another question is thrown away."""
        self._asked, self._waits = self._asked + 1, True
        asked = self._asked

        def work() -> None:
            found: Page | tuple[Section, ...] | EngineError
            try:
                with mistakes_told("browsing"):
                    found = question()
            except EngineError as exc:
                found = exc
            self.post_message(Got(asked, found, key))

        threading.Thread(target=work, name="browse", daemon=True).start()
        self.put("#said", "")
        self.redraw()

    def _draw(self, page: Page) -> None:
        table = self._table()
        table.clear(columns=True)
        keys = [Text(shown(entry.key, KEY_WIDTH)) for entry in page.entries]
        for key in keys:
            key.truncate(KEY_CELLS, overflow="ellipsis")
        table.add_column("", key="key", width=max([10, *(key.cell_len for key in keys)]))
        for name in page.columns:
            table.add_column(name, key=name)
        for number, (key, entry) in enumerate(zip(keys, page.entries, strict=True)):
            cells = (Text(shown(cell, CELL_WIDTH)) for cell in entry.cells)
            table.add_row(key, *cells, key=str(number))
        if not page.entries:
            self.put("#said", "nothing is there" + (" that begins so" if self._reading.prefix else ""))

    def _chosen(self) -> str | None:
        page, row = self._reading.page, self._table().cursor_row
        return page.entries[row].key if page is not None and 0 <= row < len(page.entries) else None

    def _open(self, key: str) -> None:
        listed = self._list
        self._ask(lambda: listed.open(key), key)

    def _show_input(self, which: str) -> None:
        box = self.query_one(which, Input)
        box.display = True
        box.focus()
        self.refresh_bindings()

    def _leave_input(self) -> None:
        for one in self.query(Input):
            one.display = False
        self._table().focus()
        self.refresh_bindings()

    @property
    def _is_typing(self) -> bool:
        return any(one.has_focus for one in self.query(Input))

    def _table(self) -> DataTable[str | Text]:
        return cast("DataTable[str | Text]", self.query_one("#entries", DataTable))
