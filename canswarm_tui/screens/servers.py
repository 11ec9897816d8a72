"""Diagnostics: each server as it was seen last, with its facts; looked at on its own, also while nothing runs."""

from __future__ import annotations

from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.probe import SERVERS, Probe
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.step_facts import figure_text


class ServersScreen(SwarmScreen):
    """A row for each server; below it, all that the one under the cursor has told."""

    CSS_PATH = "servers.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "look", "Look again", id="look-again", tooltip="look at every server now"),
    ]

    def compose(self) -> ComposeResult:
        yield Static("Servers   read-only; the same from the shell: canswarm-tui diagnose", id="head", markup=False)
        yield DataTable(id="servers", cursor_type="row")
        with VerticalScroll(id="facts"):
            yield Static(id="told", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        table = self._table()
        for name, width in (("", 1), ("server", 10), ("time", 9), ("says", 52)):
            table.add_column(name, key=name or "sign", width=width)
        for name in SERVERS:
            table.add_row("", Text(name), "", Text("looking…"), key=name)
        self.redraw()
        table.focus()

    def redraw(self) -> None:
        table, theme = self._table(), self.app.theme
        for name in SERVERS:
            seen = self.swarm.model.health.get(name)
            if seen is None:
                continue
            ok = seen.error is None
            table.update_cell(name, "sign", Text("✓" if ok else "✗", style_of("done" if ok else "error", theme)))
            table.update_cell(name, "time", Text(f"{seen.took_ms:,.0f} ms"))
            says = _version(seen) if seen.error is None else seen.error.happened
            table.update_cell(name, "says", Text(shown(says, 200)))
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self._show()

    def action_look(self) -> None:
        self.swarm.health.look_now()

    def _table(self) -> DataTable[str | Text]:
        return cast("DataTable[str | Text]", self.query_one("#servers", DataTable))

    def _show(self) -> None:
        row = self._table().cursor_row
        seen = self.swarm.model.health.get(SERVERS[row]) if 0 <= row < len(SERVERS) else None
        self.put("#told", "" if seen is None else _told(seen, self.app.theme))


def _version(seen: Probe) -> str:
    version = seen.facts.get("version") or seen.facts.get("server") or ""
    return f"answers {version}".rstrip()


def _told(seen: Probe, theme: str) -> Text:
    text = Text().append(f"{seen.name}   {shown(seen.address, 200)}", style_of("title", theme))
    if seen.error is not None:
        text.append(f"\n{type(seen.error).__name__}: {shown(seen.error.happened)}", style_of("error", theme))
        text.append(f"\nWhat to do: {shown(seen.error.remedy)}")
    for name, value in seen.facts.items():
        text.append(f"\n  {shown(name, 30):<20}  {figure_text(name, value)}")
    return text
