"""Verification: what was compared and whether it still holds, differences by name, and single records three ways."""

from __future__ import annotations

from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.checklist import BY_NAME, FINAL
from canswarm_tui.engine.journal import StoredFinding
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.three_ways import HINTS, key_of
from canswarm_tui.screens.ask_key import AskKeyScreen
from canswarm_tui.screens.base import StepScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.report import ReportScreen
from canswarm_tui.screens.three_ways import ThreeWaysScreen
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.live import live_text
from canswarm_tui.widgets.proofs import (
    OLDER,
    ProofRow,
    differences_of,
    differing_rows,
    proof_rows,
    row_text,
    sign_of,
)
from canswarm_tui.widgets.row_table import RowTable

WIDE = 100
PAGE = 200
"""Differences that are mounted at once, however many there are."""
VERY_WIDE = 160
PROOF_WIDTHS = {False: (1, 35, 17, 17), True: (1, 40, 18, 38)}
"""By whether the terminal is very wide: then every comparison and its proof stand there uncut."""
DIFFERING_WIDTHS = (1, 10, 24)
IDLE = "Nothing runs. v verifies this step, a all of them, c compares one record."


class VerificationScreen(StepScreen):
    """Two tables: comparisons, and the differences of the step under the cursor; Tab goes from one to the other."""

    CSS_PATH = "verification.tcss"
    HELP = (
        "Every comparison with what was compared and when. Tab goes to the differences of the step under the "
        "cursor; Enter there reads that one record again on all sides. v verifies the step, a all of them, o "
        "shows the report."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "compare", "Compare", id="compare-record", key_display="⏎", priority=True,
                tooltip="the record of a difference: site, target and receipt beside each other"),
        Binding("v", "verify_step", "Verify", id="verify-one", tooltip="read this step's target back and compare it"),
        Binding("a", "verify_all", "All", id="verify-all", tooltip="read every target back and compare it"),
        Binding("c", "ask_key", "Record", id="ask-record", tooltip="type or choose a key, and compare that record"),
        Binding("o", "report", "Report", id="verification-report", tooltip="the report, and where it is saved"),
        Binding("r", "run_step", "Final", id="run-final", show=False,
                tooltip="run the last step: one verdict over all"),
        Binding("n", "turn(1)", "Next", id="next-differences", show=False,
                tooltip="the next page of differences"),
        Binding("b", "turn(-1)", "Before", id="previous-differences", show=False,
                tooltip="the page of differences before"),
        Binding("l", "log", "Log", id="verification-log", show=False),
        Binding("tab", "other_table", "Other table", id="other-table", show=False, priority=True),
    ]  # fmt: skip

    def __init__(self, step: str = FINAL) -> None:
        super().__init__()
        self._step = step
        self._rows: list[ProofRow] = []
        self._drawn_rows: tuple[object, ...] = ()
        self._chosen: list[StoredFinding] = []
        self._drawn: list[StoredFinding] = []
        self._source: tuple[object, ...] = ()
        self._page = 0
        self._very_wide = False
        self._offered: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        with Horizontal(id="columns"):
            yield RowTable(id="proofs")
            with Vertical(id="differences"):
                yield Static(id="differences-title", markup=False)
                yield RowTable(id="differing")
        yield Static(id="detail", markup=False)
        yield Static(id="live", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._build_proofs()
        for name, width in zip(("", "kind", "subject"), DIFFERING_WIDTHS, strict=True):
            self._differing().add_column(name, width=width)
        self._differing().add_column("what")
        self.redraw()
        self._proofs().focus()
        self._to_attention()

    def on_resize(self) -> None:
        width = self.size.width
        self.set_class(width >= WIDE, "wide")
        self.set_class(width >= VERY_WIDE, "very-wide")
        if (width >= VERY_WIDE) != self._very_wide:
            self._very_wide = width >= VERY_WIDE
            row = self._proofs().cursor_row
            self._build_proofs()
            self._draw_proofs()
            self._proofs().move_cursor(row=row)

    def _build_proofs(self) -> None:
        table = self._proofs()
        table.clear(columns=True)
        self._rows, self._drawn_rows = [], ()
        for name, width in zip(("", "compared", "equal", "proof and when"), PROOF_WIDTHS[self._very_wide], strict=True):
            table.add_column(name, key=name.split(" ")[0] or "sign", width=width)

    def redraw(self) -> None:
        model = self.swarm.model
        self.put("#head", Text(f"Verification   site {shown(model.site, 40)}{self.swarm.watching}"))
        self._draw_proofs()
        self._draw_differences()
        self.put("#live", live_text(model, idle=IDLE))
        offered = (model.can_begin, model.can_stop, self._pages > 1)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now."""
        model = self.swarm.model
        if action == "stop":
            return model.can_stop
        if action == "turn":
            return self._pages > 1
        return model.can_begin or action not in ("verify_step", "verify_all", "run_step")

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.data_table.id == "proofs" and self._rows:
            self._draw_differences()
        self._show_detail()

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor does what Enter does."""
        self.action_compare()

    def on_descendant_focus(self) -> None:
        self._draw_differences()
        self._show_detail()

    def chosen_step(self) -> str | None:
        row = self._row()
        return None if row is None else row.step

    def action_run_step(self) -> None:
        self.swarm.begin(lambda runner: runner.run([self._step]), "r goes on")

    def action_verify_step(self) -> None:
        step = self.chosen_step()
        if step is None or step == FINAL:
            self.action_verify_all()
        else:
            self.swarm.begin(lambda runner: runner.verify([step]), "v begins anew")

    def action_verify_all(self) -> None:
        self.swarm.begin(lambda runner: runner.verify(), "a begins anew")

    def action_compare(self) -> None:
        if not self._differing().has_focus:
            self.action_ask_key()
            return
        found = self._difference()
        key = None if found is None else key_of(found.step, found.finding)
        if found is None:
            self.swarm.tell("there is no difference here", severity="warning")
        elif key is None:
            self.swarm.tell("this finding is about no single record; f shows it whole", severity="warning")
        else:
            self.app.push_screen(ThreeWaysScreen(found.step, key))

    def action_ask_key(self) -> None:
        step = self.chosen_step()
        if step is None or step not in HINTS:
            self.swarm.tell("choose a step with records: blobs, decisions, plan store, policy", severity="warning")
            return

        def compare(key: bytes | None) -> None:
            if key:
                self.app.push_screen(ThreeWaysScreen(step, key))

        self.app.push_screen(AskKeyScreen(self.swarm.settings, step), compare)

    def action_report(self) -> None:
        self.app.push_screen(ReportScreen())

    def action_findings(self) -> None:
        step = self.chosen_step()
        self.app.push_screen(FindingsScreen(None if step == FINAL else step))

    def action_turn(self, by: int) -> None:
        self._page = (self._page + by) % self._pages
        self.redraw()
        self._differing().move_cursor(row=0)

    def action_other_table(self) -> None:
        (self._proofs() if self._differing().has_focus else self._differing()).focus()

    def _to_attention(self) -> None:
        """The first step that needs a person: there is something to see, wherever it stands in the table."""
        for number, row in enumerate(self._rows):
            if row.number is None and row.step != FINAL and row.word == "needs attention":
                self._proofs().move_cursor(row=number)
                return

    def _draw_proofs(self) -> None:
        rows, theme = proof_rows(self.swarm.model), self.app.theme
        if (rows, theme) == self._drawn_rows:
            return
        table, at = self._proofs(), self._proofs().cursor_row
        same_shape = [(r.step, r.number) for r in rows] == [(r.step, r.number) for r in self._rows]
        self._rows, self._drawn_rows = rows, (rows, theme)
        if not same_shape:
            table.clear()
        for number, row in enumerate(rows):
            cells = _cells(row, theme, PROOF_WIDTHS[self._very_wide])
            if not same_shape:
                table.add_row(*cells, key=str(number))
                continue
            for column, cell in zip(("sign", "compared", "equal", "proof"), cells, strict=True):
                if table.get_cell(str(number), column) != cell:
                    table.update_cell(str(number), column, cell)
        if not same_shape and 0 < at < len(rows):
            table.move_cursor(row=at)
        self._show_detail()

    def _draw_differences(self) -> None:
        step, findings = self.chosen_step() or FINAL, self.swarm.model.findings
        source = (id(findings), len(findings), step)
        if source != self._source:
            if self._source[2:] != source[2:]:
                self._page = 0
            self._source, self._chosen = source, differences_of(self.swarm.model, step)
        self._page = min(self._page, self._pages - 1)
        pages = f", page {self._page + 1:,} of {self._pages:,} (n, b)" if self._pages > 1 else ""
        of = "all steps" if step == FINAL else BY_NAME[step].title
        title = Text().append(f"Differences: {len(self._chosen):,}{pages}", style_of("title", self.app.theme))
        how = "   Tab: choose one" if self._chosen and not self._differing().has_focus else ""
        self.put("#differences-title", title.append(f"   {of}{how}", style_of("muted", self.app.theme)))
        page = self._chosen[self._page * PAGE : (self._page + 1) * PAGE]
        if page == self._drawn:
            return
        table, at, same_rows = self._differing(), self._differing().cursor_row, len(page) == len(self._drawn)
        self._drawn = page
        table.clear()
        for number, cells in enumerate(differing_rows(page, self.app.theme)):
            table.add_row(*cells, key=str(number))
        if same_rows and 0 < at < len(page):
            table.move_cursor(row=at)

    def _show_detail(self) -> None:
        row, found = self._row(), self._difference()
        if self._differing().has_focus:
            text = Text("No difference by name." if found is None else _whole(found))
        elif row is None:
            text = Text()
        else:
            text = row_text(row, self.swarm.model, self.app.theme)
            report = self.swarm.place.reports / "report.md"
            if row.step == FINAL and report.exists():
                where = f"\nReport, also as .json and .html: {shown(str(report))}"
                text.append(where, style_of("muted", self.app.theme))
        self.put("#detail", text)

    @property
    def _pages(self) -> int:
        return max(1, -(-len(self._chosen) // PAGE))

    def _row(self) -> ProofRow | None:
        at = self._proofs().cursor_row
        return self._rows[at] if 0 <= at < len(self._rows) else None

    def _difference(self) -> StoredFinding | None:
        at = self._differing().cursor_row
        return self._drawn[at] if 0 <= at < len(self._drawn) else None

    def _proofs(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#proofs", DataTable))

    def _differing(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#differing", DataTable))


def _cells(row: ProofRow, theme: str, widths: tuple[int, ...]) -> tuple[Text, Text, Text, Text]:
    is_step, muted = row.number is None, style_of("muted", theme)
    what = Text(row.what if is_step else f"  {row.what}", style_of("title", theme) if is_step else "")
    proof = Text(row.proof, style_of("warning", theme) if row.proof.startswith(OLDER) else muted)
    count = Text(row.count, style_of(row.word, theme) if is_step else "")
    cells = (sign_of(row, theme), what, count, proof)
    for cell, width in zip(cells, widths, strict=True):
        cell.truncate(width, overflow="ellipsis")
    return cells


def _whole(found: StoredFinding) -> str:
    finding = found.finding
    decided = f"   {found.status.value} by {shown(found.decided_by, 60)}" if found.decided_by else ""
    head = f"{shown(finding.subject, 300)}{decided}\n{shown(finding.happened, 300)}."
    return f"{head}\nWhat to do: {shown(finding.remedy, 300)}"
