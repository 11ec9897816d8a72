"""Rollback readiness: backups and their dates, the restore proof, what a rollback would do now, and its start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static

from canswarm_tui.engine.errors import EngineError, ExitCode
from canswarm_tui.engine.events import Said
from canswarm_tui.engine.journal import INTERRUPTED, StepState
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.readiness import Readiness, readiness
from canswarm_tui.engine.rollback import NAME, Rollback, told
from canswarm_tui.engine.runner import Runner, RunResult
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.model import RunModel
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.widgets.live import live_text
from canswarm_tui.widgets.way_back import backups_text, plan_text, proof_text

IDLE = "Nothing runs. x rolls back after asking for the name, v proves the restore."
NO_BACKUP = "Nothing runs. There is nothing to go back to before a backup was made."


def now_utc() -> datetime:
    """The moment that ages and countdowns are told for."""
    return datetime.now(UTC)


class ReadinessRead(Message):
    """The reading has arrived; `trouble` says why not where there is none."""

    def __init__(self, ready: Readiness | None, trouble: str) -> None:
        super().__init__()
        self.ready, self.trouble = ready, trouble


class RollbackScreen(SwarmScreen):
    """`x` starts the rollback to the newest backup of this run, after the site's name was typed; `v` rehearses it."""

    CSS_PATH = "rollback.tcss"
    HELP = (
        "The way back. The backups with their dates, whether the newest was proved to restore, and what a "
        "rollback would do now, with the time that the same work took here. v proves the restore; x rolls back, "
        "for which v1 must be stopped."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "roll_back", "Roll back", id="roll-back", tooltip="v1's state back, what is ours removed"),
        Binding("v", "prove", "Prove restore", id="prove-restore",
                tooltip="read the backup back, restore it into a scratch folder and compare; the site is not touched"),
        Binding("l", "log", "Log", id="rollback-log", tooltip="what the engine has done"),
        Binding("s", "stop", "Stop", id="stop-rollback", tooltip="stop at a safe point; it can be started again"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._ready: Readiness | None = None
        self._trouble = ""
        self._known: object = None
        self._offered: object = None

    def compose(self) -> ComposeResult:
        yield Static("Rollback readiness", id="head", markup=False)
        with VerticalScroll(id="facts"):
            yield Static("reading…", id="backups", markup=False)
            yield Static(id="proof", markup=False)
            yield Static(id="would", markup=False)
            yield Static(id="said", markup=False)
        yield Static(id="live", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.redraw()
        self.query_one("#facts").focus()

    def redraw(self) -> None:
        model, theme = self.swarm.model, self.app.theme
        if model.records != self._known:
            self._known = dict(model.records)
            self._read()
        self.put("#head", f"Rollback readiness   site {shown(model.site, 40)}{self.swarm.watching}")
        now = now_utc()
        if self._ready is not None:
            self.put("#backups", backups_text(self._ready, now, theme))
            self.put("#proof", proof_text(self._ready, now, theme))
            self.put("#would", plan_text(self._ready, theme))
        if self._trouble:
            self.put("#backups", Text(shown(self._trouble)))
        self.put("#said", _last_words(model))
        self.put("#live", live_text(model, idle=IDLE if self._has_backup else NO_BACKUP))
        self._offer()

    def _offer(self) -> None:
        model = self.swarm.model
        offered = (model.can_begin, model.can_stop, self._has_backup)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    @property
    def _has_backup(self) -> bool:
        return self._ready is not None and self._ready.newest is not None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now."""
        model = self.swarm.model
        if action == "stop":
            return model.can_stop
        if action in ("prove", "roll_back"):
            return model.can_begin and self._has_backup
        return True

    def on_readiness_read(self, message: ReadinessRead) -> None:
        self._ready, self._trouble = message.ready, message.trouble
        self.redraw()

    def action_roll_back(self) -> None:
        site = self.swarm.model.site
        question = "Roll back: v1's state as it was backed up, and what this run created in the targets removed."

        def start(agreed: bool | None) -> None:
            if agreed:
                self.swarm.begin(roll_back, "x goes on")

        self.app.push_screen(ConfirmScreen(question, site), start)

    def action_prove(self) -> None:
        self.swarm.begin(lambda runner: runner.verify(["backup"]), "v begins anew")

    def action_log(self) -> None:
        from canswarm_tui.screens.log import LogScreen

        self.app.push_screen(LogScreen())

    def action_stop(self) -> None:
        self.swarm.ask_to_stop()

    def _read(self) -> None:
        settings = self.swarm.settings
        self.run_worker(lambda: self._post(settings), thread=True, exclusive=True, group="readiness")

    def _post(self, settings: Settings) -> None:
        try:
            with mistakes_told("rollback readiness"):
                ready = readiness(settings)
            self.post_message(ReadinessRead(ready, ""))
        except EngineError as exc:
            self.post_message(ReadinessRead(None, str(exc)))


def roll_back(runner: Runner) -> RunResult:
    """The rollback in place, to the newest backup that this run made."""
    work = Rollback(runner.settings, runner.emit, runner.stop)
    done = work.in_place(work.newest_backup())
    for line in told(done):
        runner.emit(Said(NAME, line))
    return RunResult(ExitCode(done.exit_code), len(done.proof.differences))


def _last_words(model: RunModel) -> str:
    record = model.records.get("rollback")
    if record is None or record.state is StepState.NOT_STARTED:
        return ""
    if record.error is not None or record.outcome is None:
        why = INTERRUPTED if record.error is None else record.error
        return f"Last rollback: {record.state.value}, not done. {shown(why)}"
    return f"Last rollback: {record.state.value}. {shown(record.outcome.summary)}"
