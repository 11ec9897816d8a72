"""One step, opened: where it stands, how far it is, what was done and proved, and its findings as they come."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import StepScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.widgets.live import bar_text, live_text
from canswarm_tui.widgets.step_facts import findings_text, outcome_text, plan_text, state_text, verdict_text

WIDE = 100


class PhaseScreen(StepScreen):
    """`r` runs or resumes, `v` verifies, `u` undoes, `p` says beforehand what a run would do."""

    CSS_PATH = "phase.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "verify_step", "Verify", id="verify-step", tooltip="read this target back and compare in full"),
        Binding("u", "undo_step", "Undo", id="undo-step", tooltip="remove what this run created in this step"),
        Binding("p", "plan", "Plan", id="plan-step", tooltip="say exactly what a run would do now; changes nothing"),
    ]

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    def chosen_step(self) -> str | None:
        return self._step

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        with Horizontal(id="columns"):
            with VerticalScroll(id="facts"):
                yield Static(id="state", markup=False)
                yield Static(id="plan", markup=False)
                yield Static(id="outcome", markup=False)
                yield Static(id="verdict", markup=False)
            with VerticalScroll(id="found"):
                yield Static(id="findings", markup=False)
        yield Static(id="live", markup=False)
        yield Static(id="bar", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#facts").focus()
        self.redraw()

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")

    def redraw(self) -> None:
        model, theme = self.swarm.model, self.app.theme
        info, record = BY_NAME[self._step], model.record(self._step)
        self._put("#head", Text(f"{info.title}   {info.phase}   site {shown(model.site, 40)}{self.swarm.watching}"))
        self._put("#state", state_text(model, self._step, theme))
        self._put("#plan", plan_text(model.plans.get(self._step), theme))
        self._put("#outcome", outcome_text(record, theme))
        self._put("#verdict", verdict_text(record, theme))
        self._put("#findings", findings_text(model, self._step, theme))
        self._put("#live", Text(live_text(model, self._step)))
        self._put("#bar", Text(bar_text(model, max(10, self.size.width - 2))))

    def action_plan(self) -> None:
        self.swarm.begin(lambda runner: runner.plan([self._step]))

    def action_findings(self) -> None:
        self.app.push_screen(FindingsScreen(self._step))

    def _put(self, selector: str, text: Text) -> None:
        self.query_one(selector, Static).display = bool(text)
        self.put(selector, text)
