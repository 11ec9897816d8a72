"""One step, opened: where it stands, what is peculiar to it, how far it is, what was done, proved and found."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.journal import has_run
from canswarm_tui.engine.text import shown
from canswarm_tui.limit import LIMITED, faster, limit_now, limit_words, slower, turn_limit
from canswarm_tui.phase_reading import PhaseRead, Reading, read_phase
from canswarm_tui.screens.base import StepScreen
from canswarm_tui.screens.conflict import ConflictScreen, conflicts_of
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.rate import RateScreen
from canswarm_tui.widgets.live import PHASE_SERVERS, bar_text, health_text, live_text
from canswarm_tui.widgets.peculiar import ENGINES, peculiar_part
from canswarm_tui.widgets.step_facts import (
    Found,
    findings_text,
    found_of,
    outcome_text,
    plan_text,
    state_text,
    verdict_text,
)
from canswarm_tui.widgets.step_words import back_text, before_text

WIDE = 100
READ_EVERY_S = 1.0
_IDLE_ONLY = ("run_step", "plan", "verify_step", "undo_step", "conflicts")


class PhaseScreen(StepScreen):
    """`r` runs or resumes, `v` verifies, `u` undoes, `p` says what a run would do; F6, F7 and `x` turn the limit."""

    CSS_PATH = "phase.tcss"
    HELP = (
        "One step of the migration. p says what a run would do, r does it or goes on with it, v reads the target "
        "back and compares all of it, u removes what this run created. What was found stands beside it; c shows "
        "conflicts."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "verify_step", "Verify", id="verify-step", tooltip="read this target back and compare in full"),
        Binding("u", "undo_step", "Undo", id="undo-step", tooltip="remove what this run created in this step"),
        Binding("p", "plan", "Plan", id="plan-step", tooltip="say exactly what a run would do now; changes nothing"),
        # Named beside the findings instead of in the footer, which has no room for it at 80 columns.
        Binding(
            "c", "conflicts", "Conflicts", id="conflicts", show=False, tooltip="each conflict's two values side by side"
        ),
        Binding("g", "rego", "Rego", id="rego", tooltip="the Rego beside v1's rules, and what differs"),
        Binding("f6", "slower", "Slower", id="slower", key_display="F6", tooltip="a lower rate limit, at once"),
        Binding(
            "f7",
            "faster",
            "Faster",
            id="faster",
            key_display="F7",
            tooltip="a higher rate limit, at once; past the last: none",
        ),
        Binding("x", "type_limit", "Limit", id="type-limit", tooltip="type a rate limit in records a second"),
    ]

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step
        self._reading = Reading()
        self._is_reading = False
        self._offered: tuple[object, ...] = ()
        self._known: object = None
        self._drawn: tuple[Found, str] | None = None

    def chosen_step(self) -> str | None:
        return self._step

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        with Horizontal(id="columns"):
            with VerticalScroll(id="facts"):
                for name in ("state", "peculiar", "before", "plan", "outcome", "verdict", "back"):
                    yield Static(id=name, markup=False)
            with VerticalScroll(id="found"):
                yield Static(id="findings", markup=False)
        yield Static(id="live", markup=False)
        yield Static(id="bar", markup=False)
        yield Static(id="health", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#facts").focus()
        self.redraw()
        self._read()
        self.set_interval(READ_EVERY_S, self._read_while_running)

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")

    def redraw(self) -> None:
        model, theme = self.swarm.model, self.app.theme
        info, record = BY_NAME[self._step], model.record(self._step)
        if record != self._known:
            self._known = record
            self._read()
        peculiar, elsewhere = self.peculiar()
        self._put("#head", Text(f"{info.title}   {info.phase}   site {shown(model.site, 40)}{self.swarm.watching}"))
        self._put("#state", state_text(model, self._step, theme))
        self._put("#before", before_text(record, theme))
        self._put("#peculiar", peculiar)
        self._put("#plan", plan_text(model.plans.get(self._step), theme))
        self._put("#outcome", outcome_text(record, theme, elsewhere))
        self._put("#verdict", verdict_text(record, theme, elsewhere))
        self._put("#back", back_text(record, theme))
        self._draw_findings(theme)
        limited = limit_words(self.swarm) if self._step in LIMITED else ""
        self._put("#live", Text(live_text(model, self._step, limited)))
        self._put("#bar", Text(bar_text(model, max(10, self.size.width - 2))))
        self._put("#health", Text(health_text(model, PHASE_SERVERS[self._step], self.size.width - 2)))
        self._offer()

    def peculiar(self) -> tuple[Text, Collection[str]]:
        """The part that is this step's own, and the figures that it shows, which the general lists leave out."""
        part = peculiar_part(self._step, self.swarm.model.record(self._step), self._reading, self.app.theme)
        return part.text, part.shown

    def _draw_findings(self, theme: str) -> None:
        model = self.swarm.model
        drawn = (found_of(model, self._step), theme)
        if drawn != self._drawn:
            self._drawn = drawn
            # A small screen's room goes to the facts where nothing was found.
            self.set_class(model.running is None and not drawn[0].total, "quiet")
            self._put("#findings", findings_text(*drawn))

    def _offer(self) -> None:
        """Have the footer drawn anew where what can be done has changed."""
        model = self.swarm.model
        offered = (model.can_begin, model.can_stop, has_run(model.records.get(self._step)), self._has_conflicts())
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now."""
        model = self.swarm.model
        if action == "stop":
            return model.can_stop
        if action in _IDLE_ONLY and not model.can_begin:
            return False
        if action in ("verify_step", "undo_step"):
            return has_run(model.records.get(self._step))
        if action == "conflicts":
            return self._has_conflicts()
        if action == "rego":
            return self._step in ENGINES
        if action in ("slower", "faster"):
            return self._step in LIMITED and model.running is not None
        return action != "type_limit" or self._step in LIMITED

    def on_phase_read(self, message: PhaseRead) -> None:
        self._is_reading = False
        if message.reading != self._reading:
            self._reading = message.reading
            self.redraw()

    def action_plan(self) -> None:
        self.swarm.begin(lambda runner: runner.plan([self._step]))

    def action_findings(self) -> None:
        self.app.push_screen(FindingsScreen(self._step))

    def action_conflicts(self) -> None:
        self.app.push_screen(ConflictScreen(self._step))

    def action_rego(self) -> None:
        from canswarm_tui.screens.rego import RegoScreen

        self.app.push_screen(RegoScreen(self._step))

    def action_slower(self) -> None:
        progress = self.swarm.model.progress
        turn_limit(self.swarm, slower(limit_now(self.swarm), None if progress is None else progress.rate))

    def action_faster(self) -> None:
        turn_limit(self.swarm, faster(limit_now(self.swarm)))

    def action_type_limit(self) -> None:
        def turn(chosen: tuple[float | None] | None) -> None:
            if chosen is not None:
                turn_limit(self.swarm, chosen[0])

        self.app.push_screen(RateScreen(limit_now(self.swarm)), turn)

    def _has_conflicts(self) -> bool:
        return bool(conflicts_of(self.swarm.model, self._step))

    def _read_while_running(self) -> None:
        """An output grows while its command runs."""
        running = self.swarm.model.running
        if running is not None and running[0] == self._step == "v1-tests":
            self._read()

    def _read(self) -> None:
        if self._is_reading:
            return
        self._is_reading = True
        place, step = self.swarm.place, self._step
        self.run_worker(lambda: self._post_reading(read_phase(place, step)), thread=True, group="phase")

    def _post_reading(self, reading: Reading) -> None:
        self.post_message(PhaseRead(reading))

    def _put(self, selector: str, text: Text) -> None:
        self.query_one(selector, Static).display = bool(text)
        self.put(selector, text)
