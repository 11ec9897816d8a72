"""Home: the guide's checklist in its four groups, each item in its true state, and what runs now."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.checklist import CHECKLIST
from canswarm_tui.engine.text import shown, waiting_text
from canswarm_tui.model import Shown
from canswarm_tui.screens.base import StepScreen
from canswarm_tui.screens.opened import screen_of
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.live import health_text, live_text
from canswarm_tui.widgets.row_table import RowTable
from canswarm_tui.widgets.step_facts import findings_text, found_of, outcome_text, verdict_text
from canswarm_tui.widgets.step_words import words_text

COLUMNS = ("mark", "item", "state", "when", "what")
TITLE_WIDTHS = (38, 50)
"""Of the items, on a narrow and on a wide terminal."""
WIDE, VERY_WIDE = 106, 160
"""Columns from which the table says what came of an item, and from which no title is cut."""
TALL, VERY_TALL = 37, 52
"""Rows from which what an item does stands below the table, and from which what came of it does too."""
LONGEST_TITLE = max(len(item.title) for group in CHECKLIST for item in group.items)


class ChecklistScreen(StepScreen):
    """One table; Enter opens the item under the cursor, `r` runs it."""

    HELP = (
        "The guide's checklist. Go to an item with the arrows, Enter opens it, r runs it; a runs all that is "
        "pending, in order, after asking. The item to do next is marked. Nothing is overwritten, and each step "
        "can be undone."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="open-item", key_display="⏎", tooltip="all about this item", priority=True),
        Binding("a", "run_all", "All", id="run-all", tooltip="run every pending step from preflight to verification"),
        Binding(
            "v",
            "verify_step",
            "Verify",
            id="verify-item",
            show=False,
            tooltip="read this target back and compare in full",
        ),
        Binding(
            "u", "undo_step", "Undo", id="undo-item", show=False, tooltip="remove what this run created in this step"
        ),
        Binding("o", "report", "Report", id="report", tooltip="the report of the last run"),
        Binding("d", "servers", "Health", id="servers", tooltip="diagnostics: each server and what it says"),
        Binding("b", "rollback", "Rollback", id="rollback", tooltip="rollback readiness: backups, and the way back"),
        Binding("escape", "nothing", id="no-back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._width = 0
        self._rows: dict[str, tuple[Shown, str]] = {}
        """What each row shows: one that stays the same isn't made again at each beat."""
        self._row = 0
        """Where the cursor stood last."""
        self._offered: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield RowTable(id="items")
        yield Static(id="about", markup=False)
        yield Static(id="said", markup=False)
        yield Static(id="live", markup=False)
        yield Static(id="health", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._build()
        self._table().focus()
        self._to_next()

    def on_resize(self) -> None:
        """Another width has other columns, another height more to tell; the cursor stays where it is."""
        table = self._table()
        self.set_class(self.app.size.height >= TALL, "tall")
        self._show_said()
        if table.columns and self.app.size.width != self._width:
            row = table.cursor_row
            self._build()
            table.move_cursor(row=row)

    def _build(self) -> None:
        table, self._width = self._table(), self.app.size.width
        table.clear(columns=True)
        self._rows.clear()
        for name, width in (("", 1), ("item", self._title_width), ("state", 18), ("when", 11)):
            table.add_column(name, key=name or "mark", width=width)
        if self._is_wide:
            table.add_column("what", key="what", width=self._what_width)
        for group in CHECKLIST:
            cells = [""] * len(table.columns)
            table.add_row(*cells, key=f"group:{group.title}")
            for number in range(len(group.items)):
                table.add_row(*cells, key=f"{group.title}:{number}")
        self.redraw()

    @property
    def _is_wide(self) -> bool:
        return self._width >= WIDE

    @property
    def _what_width(self) -> int:
        return max(20, self._width - self._title_width - 42)

    @property
    def _title_width(self) -> int:
        return LONGEST_TITLE if self._width >= VERY_WIDE else TITLE_WIDTHS[self._is_wide]

    def redraw(self) -> None:
        """Draw the model; cells that stay the same cost nothing."""
        table, model = self._table(), self.swarm.model
        for group in CHECKLIST:
            _put(table, f"group:{group.title}", "item", Text(group.title, style_of("title", self.app.theme)))
            for number, item in enumerate(group.items):
                drawn, row = model.item(item), f"{group.title}:{number}"
                if self._rows.get(row) == (drawn, self.app.theme):
                    continue
                self._rows[row] = (drawn, self.app.theme)
                for column, text in zip(
                    COLUMNS, _cells(drawn, self.app.theme, self._title_width, self._what_width), strict=True
                ):
                    if column == "what" and not self._is_wide:
                        continue
                    _put(table, row, column, text)
        n = model.waiting_findings
        waits = f"   ! {waiting_text(n)}" if n else ""
        self.put("#head", f"CAN Swarm v1 → v2   site {shown(model.site, 40)}{waits}{self.swarm.watching}")
        self.put("#live", live_text(model))
        self.put("#health", health_text(model, width=self.size.width - 2))
        self._show_said()
        offered = (model.can_begin, model.can_stop)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """A heading is passed over, in the direction of the cursor; the first one only scrolls into sight."""
        if event.cursor_row != self._table().cursor_row:
            return  # it has moved on meanwhile
        row, before, self._row = event.cursor_row, self._row, event.cursor_row
        if event.row_key.value is not None and event.row_key.value.startswith("group:"):
            self._table().move_cursor(row=row - 1 if 0 < row < before else row + 1)
            if row == 0:
                self._table().scroll_home(animate=False)
            return
        self._show_said()

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor does what Enter does."""
        self.action_open()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now: stop what runs, or run."""
        model = self.swarm.model
        if action == "stop":
            return model.can_stop
        return model.can_begin or action not in ("run_step", "run_all", "verify_step", "undo_step")

    def chosen_step(self) -> str | None:
        drawn = self._current()
        return None if drawn is None else drawn.step

    def action_open(self) -> None:
        step = self._wanted_step()
        if step is not None:
            self.app.push_screen(screen_of(step))

    def action_run_all(self) -> None:
        from canswarm_tui.screens.confirm import ConfirmScreen

        def run(agreed: bool | None) -> None:
            if agreed:
                self.swarm.begin(lambda runner: runner.run(), "a goes on")

        self.app.push_screen(ConfirmScreen("Run every pending step, from preflight to the final verification?"), run)

    def action_report(self) -> None:
        from canswarm_tui.screens.report import ReportScreen

        self.app.push_screen(ReportScreen())

    def action_servers(self) -> None:
        from canswarm_tui.screens.diagnostics import DiagnosticsScreen

        self.app.push_screen(DiagnosticsScreen())

    def action_rollback(self) -> None:
        from canswarm_tui.screens.rollback import RollbackScreen

        self.app.push_screen(RollbackScreen())

    def action_nothing(self) -> None:
        """Home has no way back."""

    def _table(self) -> RowTable:
        return self.query_one("#items", RowTable)

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
        self.put("#said", shown(drawn.said, 600) if drawn is not None else "")
        if self.has_class("tall"):
            self.put("#about", self._about(drawn))

    def _about(self, drawn: Shown | None) -> Text:
        """The item under the cursor in short: what it does, and on a very tall screen what came of it."""
        if drawn is None or drawn.step is None:
            return Text()
        model, theme = self.swarm.model, self.app.theme
        text = words_text(drawn.step, theme, "   ")
        if self.app.size.height >= VERY_TALL:
            record, found = model.record(drawn.step), found_of(model, drawn.step)
            for part in (outcome_text(record, theme), verdict_text(record, theme), findings_text(found, theme)):
                text.append("\n\n" if part else "").append(part)
        return text

    def _to_next(self) -> None:
        """The cursor to what is to be done next; to the first item where nothing is left."""
        self._table().move_cursor(row=1)
        row = 0
        for group in CHECKLIST:
            row += 1
            for item in group.items:
                if self.swarm.model.item(item).is_next:
                    self._table().move_cursor(row=row)
                    return
                row += 1


def _put(table: RowTable, row: str, column: str, text: Text) -> None:
    """Show a text in a cell; an update paints the whole table, so one that changes nothing isn't made."""
    if table.get_cell(row, column) != text:
        table.update_cell(row, column, text)


def _cells(drawn: Shown, theme: str, title_width: int, what_width: int) -> tuple[Text, Text, Text, Text, Text]:
    style, muted = style_of(drawn.state, theme), style_of("muted", theme)
    mark = "▸" if drawn.is_next and drawn.state in ("ready", "stopped", "not started") else drawn.symbol
    state = f"{drawn.state} — next" if drawn.is_next and drawn.state in ("ready", "stopped") else drawn.state
    title = Text(drawn.title, muted if drawn.step is None else "")
    title.truncate(title_width, overflow="ellipsis")
    said = Text(shown(drawn.said.removeprefix(f"{drawn.state}: "), 200), muted)
    said.truncate(what_width, overflow="ellipsis")
    return Text(mark, style), title, Text(state, style), Text(drawn.when, muted), said
