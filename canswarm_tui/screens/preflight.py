"""Preflight, opened: its checks as they come out beside the inventory, and below them what they found, narrowed."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.checks import TITLES
from canswarm_tui.engine.health.facts import Section
from canswarm_tui.engine.journal import StoredFinding, has_run
from canswarm_tui.engine.text import duration_text, shown
from canswarm_tui.phase_reading import PhaseRead, Reading, read_phase
from canswarm_tui.screens.base import StepScreen
from canswarm_tui.screens.deciding import copy_out, finding_as_text
from canswarm_tui.screens.entry import EntryScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.finding_filter import LEVELS, FindingFilter
from canswarm_tui.widgets.live import PHASE_SERVERS, health_text, live_text
from canswarm_tui.widgets.preflight_text import (
    SIGNS,
    counts_text,
    gravest_text,
    inventory_text,
    of_checks,
    whole_text,
    word_of,
    word_style,
)
from canswarm_tui.widgets.row_table import RowTable
from canswarm_tui.widgets.step_facts import state_text

STEP = "preflight"
WIDE = 100
IDLE = "Nothing runs. r makes every check, k just the one under the cursor again."
LISTED = 500
"""Findings that are mounted at once; the findings screen pages through all."""


class PreflightScreen(StepScreen):
    """Enter on a check narrows the findings to it, on a finding opens it; `k` makes one check again."""

    CSS_PATH = "preflight.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="open-check", key_display="⏎", priority=True,
                tooltip="a check: only its findings, or all again; a finding: what, why and what to do"),
        Binding("k", "recheck", "Again", id="recheck", tooltip="make the check under the cursor again, alone"),
        Binding("n", "narrow", "Level", id="preflight-level", tooltip="blockers, warnings, notes, or all"),
        Binding("i", "inventory", "Counts", id="preflight-inventory", tooltip="what was counted, or the checks again"),
        Binding("f", "findings", "Findings", id="findings", show=False, tooltip="its findings on their own screen"),
        Binding("l", "log", "Log", id="log", show=False, tooltip="what the engine has done"),
        Binding("v", "verify_step", "Verify", id="verify-step", show=False, tooltip="whether the site has moved since"),
        Binding("c", "copy", "Copy", id="copy-preflight", tooltip="this finding or check to the clipboard and a file"),
        Binding("w", "write", "Save", id="save-preflight", tooltip="all of the preflight into a file"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._reading = Reading()
        self._only: str | None = None
        self._filter = FindingFilter(level="all")
        self._found: list[StoredFinding] = []
        self._known: object = None
        self._offered: tuple[object, ...] = ()

    def chosen_step(self) -> str | None:
        return STEP

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="state", markup=False)
        with Horizontal(id="columns"):
            yield RowTable(id="checks", show_header=False)
            with VerticalScroll(id="counts"):
                yield Static(id="inventory", markup=False)
        yield Static(id="narrowed", markup=False)
        yield RowTable(id="found", show_header=False)
        yield Static(id="live", markup=False)
        yield Static(id="health", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        checks = self._checks()
        for name, width in (("sign", 1), ("title", 35), ("came out", 13), ("took", 8)):
            checks.add_column(name, key=name, width=width)
        for name in TITLES:
            checks.add_row("", TITLES[name], "", "", key=name)
        for name, width in (("level", 8), ("subject", max(20, self.app.size.width // 3))):
            self._table().add_column(name, key=name, width=width)
        self._table().add_column("what", key="what")
        checks.focus()
        self.redraw()
        self._read()

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")

    def redraw(self) -> None:
        model, theme = self.swarm.model, self.app.theme
        if model.record(STEP) != self._known:
            self._known = model.record(STEP)
            self._read()
        self.put("#head", f"Preflight   site {shown(model.site, 40)}{self.swarm.watching}")
        self.put("#state", state_text(model, STEP, theme))
        for name in TITLES:
            self._draw_check(name, theme)
        self.put("#inventory", inventory_text(self._reading.inventory, theme))
        self._draw_found()
        self.put("#live", live_text(model, STEP, idle=IDLE))
        self.put("#health", health_text(model, PHASE_SERVERS[STEP]))
        offered = (
            model.can_begin,
            model.can_stop,
            has_run(model.records.get(STEP)),
            len(model.checks),
            len(self._found),
        )
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_phase_read(self, message: PhaseRead) -> None:
        self._reading = message.reading
        self.redraw()

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor does what Enter does."""
        self.action_open()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now."""
        model = self.swarm.model
        if action == "stop":
            return model.can_stop
        if action == "run_step":
            return model.can_begin
        if action == "verify_step":
            return model.can_begin and has_run(model.records.get(STEP))
        return action != "recheck" or (model.can_begin and len(model.checks) == len(TITLES))

    def action_open(self) -> None:
        if self._table().has_focus:
            found = self._current()
            if found is not None:
                self.app.push_screen(EntryScreen(found.finding.subject, _sections(found)))
            return
        name = self._check()
        self._only = None if self._only == name else name
        self.redraw()

    def action_recheck(self) -> None:
        name = self._check()
        self.swarm.begin(lambda runner: runner.recheck(name))

    def action_narrow(self) -> None:
        self._filter = self._filter.next("level")
        if self._filter.level == LEVELS[0]:
            self._filter = self._filter.next("level")  # nothing of a preflight but a rare one waits for a person
        self.redraw()

    def action_inventory(self) -> None:
        """On a narrow terminal the counts take the place of the checks; on a wide one they are scrolled."""
        counts = self.query_one("#counts", VerticalScroll)
        self.toggle_class("counting")
        (counts if self.has_class("counting") else self._checks()).focus()

    def action_findings(self) -> None:
        self.app.push_screen(FindingsScreen(STEP))

    def action_copy(self) -> None:
        found = self._current() if self._table().has_focus else None
        if found is not None:
            copy_out(self.swarm, f"finding-{found.id}.txt", finding_as_text(found))
            return
        name = self._check()
        mine = of_checks(self.swarm.model.findings, self.swarm.model, name)
        head = f"{TITLES[name]}: {counts_text(self.swarm.model.checks.get(name)) or 'not yet'}"
        copy_out(self.swarm, f"check-{name}.txt", "\n\n".join([head, *map(finding_as_text, mine)]))

    def action_write(self) -> None:
        path = self.swarm.place.folder / "preflight.txt"
        model = self.swarm.model
        found = (finding_as_text(f) for f in of_checks(model.findings, model, None))
        try:
            path.write_text(
                whole_text(model, self._reading.inventory, found), encoding="utf-8", errors="backslashreplace"
            )
        except OSError as exc:
            self.swarm.tell(f"{path} could not be written: {exc.strerror}", severity="error")
            return
        self.swarm.tell(f"saved all of the preflight in {path}")

    def _draw_check(self, name: str, theme: str) -> None:
        one, word = self.swarm.model.checks.get(name), word_of(name, self.swarm.model)
        style = word_style(word, theme)
        only = " ◂" if name == self._only else ""
        cells = {
            "sign": Text(SIGNS[word], style), "title": Text(f"{TITLES[name]}{only}"),
            "came out": Text(gravest_text(one) or word, style),
            "took": Text("" if one is None else duration_text(one.seconds), style_of("muted", theme)),
        }  # fmt: skip
        table = self._checks()
        for column, cell in cells.items():
            if table.get_cell(name, column) != cell:
                table.update_cell(name, column, cell)

    def _draw_found(self) -> None:
        model, theme = self.swarm.model, self.app.theme
        listed = [f for f in of_checks(model.findings, model, self._only) if self._filter.passes(f)]
        of = "every check" if self._only is None else TITLES[self._only]
        more = f", the first {LISTED} here, all with f" if len(listed) > LISTED else ""
        self.put("#narrowed", f"Findings: {len(listed):,}{more}   of {of}   level {self._filter.level}")
        if listed[:LISTED] == self._found:
            return
        self._found, table = listed[:LISTED], self._table()
        table.clear()
        for f in self._found:
            level = f.finding.level.value
            table.add_row(
                Text(level, style_of(level, theme)), Text(shown(f.finding.subject, 60)),
                Text(shown(f.finding.happened, 200)), key=f.id,
            )  # fmt: skip

    def _read(self) -> None:
        place = self.swarm.place
        self.run_worker(lambda: self._post_reading(read_phase(place, STEP)), thread=True, group="preflight")

    def _post_reading(self, reading: Reading) -> None:
        self.post_message(PhaseRead(reading))

    def _check(self) -> str:
        return list(TITLES)[max(0, self._checks().cursor_row)]

    def _current(self) -> StoredFinding | None:
        row = self._table().cursor_row
        return self._found[row] if 0 <= row < len(self._found) else None

    def _checks(self) -> RowTable:
        return self.query_one("#checks", RowTable)

    def _table(self) -> RowTable:
        return self.query_one("#found", RowTable)


def _sections(found: StoredFinding) -> tuple[Section, ...]:
    finding = found.finding
    said = (("what", finding.subject), ("why", finding.happened), ("what to do", finding.remedy))
    kept = (("id", found.id), ("level", finding.level.value), ("code", finding.code), ("status", found.status.value))
    return (
        Section("Finding", said),
        Section("In the journal", kept),
        Section("Details", tuple(finding.told_details.items())),
    )
