"""Settings of the interface: each is turned with Enter, holds at once and is kept for the next start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.text import shown
from canswarm_tui.preferences import BANDWIDTHS, THEMES, Preferences, preferences_file
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.row_table import RowTable

_TOLD = {
    "theme": "Dark, light, or the terminal's own colours (ansi-dark, ansi-light).",
    "bandwidth": "auto: fewer frames over SSH. reduced, full: always so. The frame rate changes with the next start.",
    "mouse": "off leaves the mouse to the terminal, to select text. Holds from the next start.",
}


class SettingsScreen(SwarmScreen):
    """A row for each preference; below, what it means and which keys there are."""

    CSS_PATH = "settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "turn", "Turn", id="turn-setting", key_display="⏎", tooltip="the next value", priority=True),
    ]

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield RowTable(id="settings", show_header=False)
        with VerticalScroll(id="facts"):
            yield Static(id="meaning", markup=False)
            yield Static(id="keys", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        table = self._table()
        table.add_column("name", key="name", width=12)
        table.add_column("value", key="value", width=40)
        for name in _TOLD:
            table.add_row(Text(name), Text(""), key=name)
        self.redraw()
        table.focus()

    def redraw(self) -> None:
        wanted = self.swarm.preferences
        self.put("#head", "Settings of the interface")
        for name, text in _values(wanted).items():
            if self._table().get_cell(name, "value") != text:
                self._table().update_cell(name, "value", text)
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self._show()

    def on_data_table_row_selected(self) -> None:
        self.action_turn()

    def action_turn(self) -> None:
        wanted = self.swarm.preferences
        match self._chosen():
            case "theme":
                wanted = replace(wanted, theme=_after(THEMES, wanted.theme))
            case "bandwidth":
                wanted = replace(wanted, bandwidth=_after(BANDWIDTHS, wanted.bandwidth))
            case _:
                wanted = replace(wanted, mouse=not wanted.mouse)
        self.swarm.prefer(wanted)
        self.redraw()

    def _table(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#settings", DataTable))

    def _chosen(self) -> str:
        return list(_TOLD)[max(0, self._table().cursor_row)]

    def _show(self) -> None:
        self.put("#meaning", _TOLD[self._chosen()])
        self.put("#keys", _keys_text(self.swarm.preferences, self.app.theme))


def _values(wanted: Preferences) -> dict[str, Text]:
    bandwidth = wanted.bandwidth
    if bandwidth == "auto":
        bandwidth = f"auto ({'reduced: over SSH' if wanted.is_reduced else 'full: not over SSH'})"
    return {
        "theme": Text(wanted.theme), "bandwidth": Text(bandwidth), "mouse": Text("on" if wanted.mouse else "off"),
    }  # fmt: skip


def _after(values: Sequence[str], now: str) -> str:
    return values[(values.index(now) + 1) % len(values)]


def _keys_text(wanted: Preferences, theme: str) -> Text:
    text = Text().append("Keys", style_of("title", theme))
    if not wanted.keys:
        text.append("\nEvery key is as it comes.")
    for name, keys in wanted.keys.items():
        text.append(f"\n  {shown(name, 40):<24} {shown(keys, 60)}")
    text.append('\nTo change one, write it into the file under [keys], such as run-step = "f5", and start again.')
    text.append(f"\nThe file: {shown(str(preferences_file()), 400)}")
    text.append("\nThe names of all actions: `canswarm-tui keys`.", style_of("muted", theme))
    return text
