"""Findings: a list that can be narrowed, each whole below it, and what a person can decide."""

from __future__ import annotations

import getpass
from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.decisions_of_people import accept_finding
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal import Journal, StoredFinding
from canswarm_tui.engine.step import Keep, Kind
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.reason import ReasonScreen

FILTERS = ("waiting for a person", "blocker", "warning", "note", "all")
DRAWN_AT_MOST = 2000


class FindingsScreen(SwarmScreen):
    """Opens on what waits for a person, or on everything where nothing waits."""

    CSS_PATH = "findings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "tab",
            "filter",
            "Filter",
            id="filter-findings",
            tooltip="waiting, blockers, warnings, notes, all",
            priority=True,
        ),
        Binding("a", "accept", "Accept", id="accept-finding", tooltip="accept it as it is, with a reason"),
        Binding("t", "keep_target", "Keep target's", id="keep-target", tooltip="a conflict: the target's value stays"),
        Binding("k", "keep_site", "Keep site's", id="keep-site", tooltip="a conflict: the site's value replaces it"),
        Binding("w", "write", "Save", id="save-findings", tooltip="write the list into a file"),
    ]

    def __init__(self, step: str | None = None) -> None:
        super().__init__()
        self._step = step
        self._filter = 0
        self._drawn: list[StoredFinding] = []

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield DataTable(id="list", cursor_type="row")
        with Vertical(id="detail"):
            yield Static(id="whole", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        table = self._table()
        for name, width in (("level", 8), ("status", 9), ("step", 13), ("subject", max(18, self.app.size.width // 4))):
            table.add_column(name, width=width)
        table.add_column("what")
        if not any(self._passes(f) for f in self.swarm.model.findings):
            self._filter = len(FILTERS) - 1
        self.redraw()
        table.focus()

    def redraw(self) -> None:
        chosen = [f for f in self.swarm.model.findings if self._passes(f)]
        name = FILTERS[self._filter]
        cut = f", the first {DRAWN_AT_MOST:,} are listed" if len(chosen) > DRAWN_AT_MOST else ""
        of = "" if self._step is None else f" of {BY_NAME[self._step].title}"
        self.query_one("#head", Static).update(f"Findings{of}: {name} ({len(chosen):,}{cut})")
        if chosen[:DRAWN_AT_MOST] == self._drawn:
            return
        self._drawn = chosen[:DRAWN_AT_MOST]
        table = self._table()
        table.clear()
        for f in self._drawn:
            status = "waiting" if f.wants_decision else f.status.value
            cells = (
                f.finding.level.value,
                status,
                f.step,
                shown(f.finding.subject, 60),
                shown(f.finding.happened, 200),
            )
            table.add_row(*(Text(cell) for cell in cells), key=f.id)
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self._show()

    def action_filter(self) -> None:
        self._filter = (self._filter + 1) % len(FILTERS)
        self._drawn = []
        self.redraw()

    def action_accept(self) -> None:
        found = self._current()
        if self.swarm.observe:
            self.swarm.tell("observing only: start without --observe to decide", severity="warning")
            return
        if found is None or not found.wants_decision:
            self.swarm.tell("choose a finding that waits for a person", severity="warning")
            return

        def accept(reason: str | None) -> None:
            if reason:
                self._decide(found, reason)

        self.app.push_screen(ReasonScreen(found.finding.subject), accept)

    def action_keep_target(self) -> None:
        self._resolve(Keep.TARGET)

    def action_keep_site(self) -> None:
        self._resolve(Keep.SITE)

    def action_write(self) -> None:
        path = self.swarm.place.folder / "findings.txt"
        path.write_text("\n\n".join(_whole(f) for f in self._drawn) + "\n", encoding="utf-8")
        self.swarm.tell(f"saved {len(self._drawn):,} findings in {path}")

    def _decide(self, found: StoredFinding, reason: str) -> None:
        try:
            journal = Journal.join(self.swarm.place.journal)
            try:
                accept_finding(journal, found.id, getpass.getuser(), reason)
            finally:
                journal.close()
        except EngineError as exc:
            self.swarm.tell(str(exc), severity="error")
        self.swarm.model.read(elsewhere=self.swarm.model.elsewhere)
        self.swarm.refresh_screens()

    def _resolve(self, keep: Keep) -> None:
        found = self._current()
        if found is None or found.finding.kind is not Kind.CONFLICT:
            self.swarm.tell("choose a conflict", severity="warning")
            return
        who = getpass.getuser()
        self.swarm.begin(lambda runner: runner.resolve(found, keep, who, ""))

    def _passes(self, found: StoredFinding) -> bool:
        name = FILTERS[self._filter]
        if self._step is not None and found.step != self._step:
            return False
        return found.wants_decision if self._filter == 0 else name in ("all", found.finding.level.value)

    def _table(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#list", DataTable))

    def _current(self) -> StoredFinding | None:
        row = self._table().cursor_row
        return self._drawn[row] if 0 <= row < len(self._drawn) else None

    def _show(self) -> None:
        found = self._current()
        self.query_one("#whole", Static).update("nothing here" if found is None else _whole(found))


def _whole(found: StoredFinding) -> str:
    """One finding as text: what, why, what to do, both values, and who decided."""
    finding = found.finding
    lines = [
        f"{found.id}  {finding.code}  {finding.kind.value}", shown(finding.subject), f"{shown(finding.happened)}.",
        f"What to do: {shown(finding.remedy)}",
    ]  # fmt: skip
    lines += [f"{name}: {shown(text)}" for name, text in finding.details.items()]
    if found.decided_by:
        lines.append(f"{found.status.value} by {shown(found.decided_by)}: {shown(found.reason or '')}")
    return "\n".join(lines)
