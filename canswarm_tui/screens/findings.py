"""Findings: a list to narrow and search, a page at a time, each one whole below it, and what can be decided."""

from __future__ import annotations

from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

from canswarm_tui.engine.journal import StoredFinding
from canswarm_tui.engine.step import Keep, Kind
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.conflict import ConflictScreen, conflicts_of
from canswarm_tui.screens.deciding import accept, copy_out, finding_as_text, resolve_conflict
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.finding_filter import FindingFilter
from canswarm_tui.widgets.row_table import RowTable

PAGE = 200
"""Rows that are mounted at once, however many there are."""


class FindingsScreen(SwarmScreen):
    """Opens on what waits for a person, or on everything where nothing waits."""

    CSS_PATH = "findings.tcss"
    HELP = (
        "What was found, and what waits for a person. Enter shows a record or a conflict on all sides; a accepts "
        "a finding with a reason, which is kept with your name and goes into the report."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "narrow('level')", "Level", id="filter-findings", priority=True, show=False,
                tooltip="waiting, blockers, warnings, notes, all"),
        Binding("i", "narrow('kind')", "Kind", id="filter-kind", show=False, tooltip="one kind of finding, or all"),
        Binding("p", "narrow('step')", "Step", id="filter-step", show=False, tooltip="one step's findings, or all"),
        Binding("s", "search", "Search", id="search-findings", show=False, tooltip="words in subject, fact or details"),
        Binding("enter", "compare", "Compare", id="compare-finding", key_display="⏎", priority=True,
                tooltip="a conflict: both values side by side"),
        Binding("a", "accept", "Accept", id="accept-finding", tooltip="accept it as it is, with a reason"),
        Binding("t", "keep('target')", "Target's", id="keep-target", tooltip="a conflict: the target's value stays"),
        Binding("k", "keep('site')", "Site's", id="keep-site", tooltip="a conflict: the site's value replaces it"),
        Binding("n", "turn(1)", "Next", id="next-page", tooltip="the next page"),
        Binding("b", "turn(-1)", "Before", id="previous-page", tooltip="the page before"),
        Binding("c", "copy", "Copy", id="copy-finding", tooltip="this one to the clipboard and into a file"),
        Binding("w", "write", "Save", id="save-findings", tooltip="write the whole narrowed list into a file"),
    ]  # fmt: skip

    def __init__(self, step: str | None = None) -> None:
        super().__init__()
        self._filter = FindingFilter(step=step or "all")
        self._page = 0
        self._chosen: list[StoredFinding] = []
        self._drawn: list[StoredFinding] = []
        self._findings: list[StoredFinding] = []
        self._filtered: FindingFilter | None = None
        self._offered: tuple[bool | None, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="filters", markup=False)
        yield Input(id="search", placeholder="words; Enter goes to the list, Esc forgets them", compact=True)
        yield RowTable(id="list")
        with VerticalScroll(id="detail"):
            yield Static(id="whole", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._search().display = False
        table = self._table()
        for name, width in (("level", 8), ("status", 9), ("step", 13), ("subject", max(18, self.app.size.width // 4))):
            table.add_column(name, width=width)
        table.add_column("what")
        if not any(self._filter.passes(f) for f in self.swarm.model.findings):
            self._filter = self._filter.with_level("all")
        self.redraw()
        table.focus()

    def redraw(self) -> None:
        findings = self.swarm.model.findings
        if findings is not self._findings or self._filter != self._filtered:
            self._findings, self._filtered = findings, self._filter
            self._chosen = [f for f in findings if self._filter.passes(f)]
        self._page = max(0, min(self._page, self._pages - 1))
        pages = f"   page {self._page + 1:,} of {self._pages:,}" if self._pages > 1 else ""
        self.put("#head", f"Findings: {len(self._chosen):,} of {len(findings):,}{pages}{self.swarm.watching}")
        self.put("#filters", self._filters_text())
        self._draw(self._chosen[self._page * PAGE : (self._page + 1) * PAGE])
        self._show()

    def _draw(self, page: list[StoredFinding]) -> None:
        if page == self._drawn:
            return
        table, row = self._table(), self._table().cursor_row
        chosen = self._drawn[row].id if 0 <= row < len(self._drawn) else ""
        self._drawn = page
        table.clear()
        for f in page:
            table.add_row(*_cells(f, self.app.theme), key=f.id)
        # On the same finding; where that has gone, such as one just accepted, on the one after it.
        at = next((n for n, f in enumerate(page) if f.id == chosen), min(row, len(page) - 1))
        if at > 0:
            table.move_cursor(row=at)

    def _filters_text(self) -> Text:
        text, muted = Text(), style_of("muted", self.app.theme)
        step = self._filter.step
        for key, name, value in (
            ("tab", "level", self._filter.level), ("i", "kind", self._filter.kind),
            ("p", "step", step), ("s", "search", shown(self._filter.words, 40) or "–"),
        ):  # fmt: skip
            text.append(f"{key} ", muted).append(f"{name}: ", muted).append(f"{value}  ")
        return text

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done with the finding under the cursor."""
        found = self._current()
        is_conflict = found is not None and found.finding.kind is Kind.CONFLICT
        if action == "narrow" and self._is_searching:
            return False
        if action == "compare":
            return is_conflict and not self._is_searching
        if action == "keep":
            return is_conflict and self.swarm.model.can_begin
        if action == "accept":
            return found is not None and found.wants_decision
        if action == "turn":
            return self._pages > 1
        return action not in ("copy", "write") or found is not None

    def on_data_table_row_highlighted(self) -> None:
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._narrow(self._filter.with_words(event.value))

    def on_input_submitted(self) -> None:
        self._leave_search()

    def action_back(self) -> None:
        """Out of the search first, then out of the screen."""
        if self._is_searching:
            self._search().value = ""
            self._leave_search()
        else:
            super().action_back()

    def action_narrow(self, what: str) -> None:
        self._narrow(self._filter.next(what))

    def action_search(self) -> None:
        self._search().display = True
        self._search().focus()
        self.refresh_bindings()

    def action_compare(self) -> None:
        found = self._current()
        if found is None:
            return
        if found in conflicts_of(self.swarm.model, found.step):
            self.app.push_screen(ConflictScreen(found.step, found.id))
        else:
            self.swarm.tell("this finding holds no values to compare", severity="warning")

    def action_accept(self) -> None:
        accept(self.swarm, self._current())

    def action_keep(self, side: str) -> None:
        resolve_conflict(self.swarm, self._current(), Keep(side))

    def action_turn(self, by: int) -> None:
        self._page = (self._page + by) % max(1, self._pages)
        self.redraw()
        self._table().move_cursor(row=0)

    def action_copy(self) -> None:
        found = self._current()
        if found is not None:
            copy_out(self.swarm, f"finding-{found.id}.txt", finding_as_text(found))

    def action_write(self) -> None:
        path = self.swarm.place.folder / "findings.txt"
        try:
            with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(f"{finding_as_text(f)}\n\n" for f in self._chosen)
        except OSError as exc:
            self.swarm.tell(f"{path} could not be written: {exc.strerror}", severity="error")
            return
        self.swarm.tell(f"saved {counted(len(self._chosen), 'finding')} in {path}")

    @property
    def _pages(self) -> int:
        return -(-len(self._chosen) // PAGE)

    @property
    def _is_searching(self) -> bool:
        search = self.query_one_optional("#search", Input)
        return search is not None and search.has_focus

    def _narrow(self, narrowed: FindingFilter) -> None:
        self._filter, self._page = narrowed, 0
        self.redraw()
        self.refresh_bindings()

    def _leave_search(self) -> None:
        self._search().display = bool(self._search().value)
        self._table().focus()
        self.refresh_bindings()

    def _search(self) -> Input:
        return self.query_one("#search", Input)

    def _table(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#list", DataTable))

    def _current(self) -> StoredFinding | None:
        if not self._drawn:
            return None
        row = self._table().cursor_row
        return self._drawn[row] if 0 <= row < len(self._drawn) else None

    def _nothing(self) -> str:
        every = len(self.swarm.model.findings)
        return f"None of the {every:,} findings passes these filters." if every else "Nothing was found."

    def _show(self) -> None:
        found = self._current()
        self.put("#whole", self._nothing() if found is None else finding_as_text(found))
        offered = tuple(self.check_action(action, ()) for action in ("compare", "accept", "copy", "turn", "keep"))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()


def _cells(found: StoredFinding, theme: str) -> tuple[Text, ...]:
    finding = found.finding
    status = "waiting" if found.wants_decision else found.status.value
    return (
        Text(finding.level.value, style_of(finding.level.value, theme)), Text(status, style_of(status, theme)),
        Text(found.step), Text(shown(finding.subject, 60)), Text(shown(finding.happened, 200)),
    )  # fmt: skip
