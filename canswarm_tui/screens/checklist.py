"""Home: the guide's checklist in its four groups, each item in its true state, and what runs now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.checklist import BY_NAME, CHECKLIST
from canswarm_tui.engine.runner import has_run
from canswarm_tui.engine.text import shown
from canswarm_tui.model import Shown
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.widgets.live import health_text, live_text

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp

_STYLES = {
    "proved": "green", "done": "green", "running": "bold", "stopping": "yellow", "stopped": "yellow",
    "needs attention": "yellow", "blocked": "dim", "not available yet": "dim", "undone": "yellow", "skipped": "dim",
}  # fmt: skip


COLUMNS = ("mark", "item", "state", "when", "what")
TITLE_WIDTH = 38
NARROW = 82
"""Columns that everything but the last one takes, with its padding."""


class ChecklistScreen(Screen[None]):
    """One table; Enter runs or goes on with the item under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "run_item", "Run", id="run-item", tooltip="run, resume or catch up this item", priority=True),
        Binding(
            "r", "run_all", "Run all", id="run-all", tooltip="run every pending step from preflight to verification"
        ),
        Binding("v", "verify_item", "Verify", id="verify-item", tooltip="read this target back and compare in full"),
        Binding("u", "undo_item", "Undo", id="undo-item", tooltip="remove what this run created in this step"),
        Binding("s", "stop", "Stop", id="stop", tooltip="stop at a safe point"),
        Binding("f", "findings", "Findings", id="findings", tooltip="what was found, and what needs a person"),
        Binding("l", "log", "Log", id="log", tooltip="what the engine has said"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._is_wide = False

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield DataTable(id="items", cursor_type="row", zebra_stripes=False)
        yield Static(id="said", markup=False)
        yield Static(id="live", markup=False)
        yield Static(id="health", markup=False)
        yield Footer(show_command_palette=False)

    @property
    def swarm(self) -> SwarmApp:
        return cast("SwarmApp", self.app)

    def on_mount(self) -> None:
        self._is_wide = self.app.size.width >= NARROW + 24
        table = self._table()
        for name, width in (("", 1), ("item", TITLE_WIDTH), ("state", 18), ("when", 11)):
            table.add_column(name, key=name or "mark", width=width)
        if self._is_wide:
            table.add_column("what", key="what", width=self.app.size.width - NARROW)
        for group in CHECKLIST:
            cells = [""] * len(table.columns)
            table.add_row("", Text(group.title, "bold"), *cells[2:], key=f"group:{group.title}")
            for number in range(len(group.items)):
                table.add_row(*cells, key=f"{group.title}:{number}")
        self.redraw()
        table.focus()
        self._to_next()

    def redraw(self) -> None:
        """Draw the model; cells that stay the same cost nothing."""
        table, model = self._table(), self.swarm.model
        for group in CHECKLIST:
            for number, item in enumerate(group.items):
                drawn = model.item(item)
                for column, text in zip(COLUMNS, _cells(drawn), strict=True):
                    if column == "what" and not self._is_wide:
                        continue
                    if table.get_cell(f"{group.title}:{number}", column) != text:
                        table.update_cell(f"{group.title}:{number}", column, text)
        observing = "  OBSERVING" if self.swarm.observe or model.elsewhere else ""
        waits = f"  {model.waiting_findings} findings wait for a person" if model.waiting_findings else ""
        self.query_one("#head", Static).update(f"CAN Swarm v1 → v2   site {shown(model.site, 40)}{waits}{observing}")
        self.query_one("#live", Static).update(live_text(model))
        self.query_one("#health", Static).update(health_text(model))
        self._show_said()

    def on_data_table_row_highlighted(self) -> None:
        self._show_said()

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor does what Enter does."""
        self.action_run_item()

    def action_run_item(self) -> None:
        drawn = self._current()
        if drawn is None or drawn.step is None:
            self.swarm.tell("nothing does this item yet" if drawn is not None else "choose an item", severity="warning")
            return
        step = drawn.step
        self.swarm.begin(lambda runner: runner.run([step]))

    def action_run_all(self) -> None:
        self.swarm.begin(lambda runner: runner.run())

    def action_verify_item(self) -> None:
        drawn = self._current()
        if drawn is not None and drawn.step is not None:
            step = drawn.step
            self.swarm.begin(lambda runner: runner.verify([step]))

    def action_undo_item(self) -> None:
        drawn = self._current()
        if drawn is None or drawn.step is None or not has_run(self.swarm.model.records.get(drawn.step)):
            self.swarm.tell("there is nothing to undo here", severity="warning")
            return
        step = drawn.step
        question = f"Undo {BY_NAME[step].title}: remove what this run created there, and nothing else."

        def undo(agreed: bool | None) -> None:
            if agreed:
                self.swarm.begin(lambda runner: runner.undo(step))

        self.app.push_screen(ConfirmScreen(question, self.swarm.model.site), undo)

    def action_stop(self) -> None:
        if self.swarm.model.running is None:
            self.swarm.tell("nothing runs", severity="warning")
        self.swarm.ask_to_stop()

    def action_findings(self) -> None:
        self.app.push_screen(FindingsScreen())

    def action_log(self) -> None:
        self.app.push_screen(LogScreen())

    def _table(self) -> DataTable[str | Text]:
        return cast("DataTable[str | Text]", self.query_one("#items", DataTable))

    def _current(self) -> Shown | None:
        table = self._table()
        if table.cursor_row < 0:
            return None
        key = str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)
        if key.startswith("group:"):
            return None
        title, _, number = key.rpartition(":")
        group = next(g for g in CHECKLIST if g.title == title)
        return self.swarm.model.item(group.items[int(number)])

    def _show_said(self) -> None:
        drawn = self._current()
        self.query_one("#said", Static).update(shown(drawn.said, 600) if drawn is not None else "")

    def _to_next(self) -> None:
        row = 0
        for group in CHECKLIST:
            row += 1
            for item in group.items:
                if self.swarm.model.item(item).is_next:
                    self._table().move_cursor(row=row)
                    return
                row += 1


def _cells(drawn: Shown) -> tuple[Text, Text, Text, Text, Text]:
    style = _STYLES.get(drawn.state, "")
    mark = "▸" if drawn.is_next and drawn.state in ("ready", "stopped", "not started") else drawn.symbol
    state = f"{drawn.state} — next" if drawn.is_next and drawn.state == "ready" else drawn.state
    title = drawn.title if len(drawn.title) <= TITLE_WIDTH else drawn.title[: TITLE_WIDTH - 1] + "…"
    return (
        Text(mark, style),
        Text(title, "dim" if drawn.step is None else ""),
        Text(state, style),
        Text(drawn.when, "dim"),
        Text(shown(drawn.said, 200), "dim"),
    )
