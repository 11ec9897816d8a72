"""The support bundle: each file that would go into it is shown, secrets taken out, before the archive is written."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.support import Item, gather, write_archive
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.widgets.row_table import RowTable

GATHERING = "Looking at every server, read-only; one that does not answer takes a few seconds…"
UNWRITTEN = "Nothing is written yet, nothing is ever sent. w writes these files, as they are here, into one archive."
_LINES, _WIDTH = 400, 400


@dataclass
class Gathered(Message):
    """What the bundle would hold; `error` instead where it could not be gathered."""

    items: tuple[Item, ...] = ()
    error: str = ""


class SupportScreen(SwarmScreen):
    """What would be in the archive, file by file."""

    CSS_PATH = "support.tcss"
    HELP = (
        "One archive without secrets for an issue tagged [v2-migration]: versions, settings, what each server says,\n"
        "the guided checks, journal, report and the log's end. Read it here before you write it and before you send it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "write", "Write", id="write-bundle", tooltip="all of it into one archive, whose path is told"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._items: tuple[Item, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static("Support bundle", id="head", markup=False)
        yield Static(GATHERING, id="said", markup=False)
        yield RowTable(id="files", show_header=False)
        with VerticalScroll(id="facts"):
            yield Static(id="content", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        table = self._table()
        table.add_column("name", key="name", width=16)
        table.add_column("size", key="size")
        table.focus()
        threading.Thread(target=self._gather, name="support", daemon=True).start()

    def on_gathered(self, message: Gathered) -> None:
        self._items = message.items
        self.put("#said", message.error or UNWRITTEN)
        for item in message.items:
            self._table().add_row(item.name, f"{bytes_text(len(item.content)):>10}", key=item.name)
        self.refresh_bindings()

    def on_data_table_row_highlighted(self) -> None:
        row = self._table().cursor_row
        if 0 <= row < len(self._items):
            self.query_one("#facts", VerticalScroll).scroll_home(animate=False)
            self.put("#content", _beginning(self._items[row]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        return action != "write" or bool(self._items)

    def action_write(self) -> None:
        path = self.swarm.place.folder / time.strftime("canswarm-support-%Y%m%d-%H%M%S.tar.gz")
        try:
            write_archive(path, self._items)
        except EngineError as exc:
            self.put("#said", shown(str(exc)))
            return
        self.put("#said", f"Wrote {shown(str(path))} (mode 0600): attach it to an issue tagged [v2-migration].")

    def _gather(self) -> None:
        try:
            with mistakes_told("support bundle"):
                gathered = Gathered(gather(self.swarm.settings, self.swarm.place))
        except EngineError as exc:
            gathered = Gathered(error=shown(str(exc)))
        self.post_message(gathered)

    def _table(self) -> RowTable:
        return self.query_one("#files", RowTable)


def _beginning(item: Item) -> str:
    lines = item.content.decode("utf-8", "replace").splitlines()
    told = [shown(line, _WIDTH) for line in lines[:_LINES]]
    return "\n".join(told if len(lines) <= _LINES else [*told, f"… {len(lines) - _LINES:,} more lines"])
