"""Rollback readiness: the backups and until when they are kept, what a rollback would do now, and its start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.backup.retention import Kept, list_backups
from canswarm_tui.engine.checklist import STEPS
from canswarm_tui.engine.errors import EngineError, ExitCode
from canswarm_tui.engine.events import Said
from canswarm_tui.engine.journal import has_run
from canswarm_tui.engine.rollback import NAME, Rollback, described
from canswarm_tui.engine.runner import Runner, RunResult
from canswarm_tui.engine.text import bytes_text, duration_text, shown
from canswarm_tui.model import RunModel
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.live import live_text

LISTED = 20


class RollbackScreen(SwarmScreen):
    """`x` starts the rollback to the newest backup of this run, after the site's name was typed."""

    CSS_PATH = "rollback.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "roll_back", "Roll back", id="roll-back", tooltip="v1's state back, what is ours removed"),
        Binding("s", "stop", "Stop", id="stop-rollback", tooltip="stop at a safe point; it can be started again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._backups: list[Kept] = []
        self._trouble = ""

    def compose(self) -> ComposeResult:
        yield Static("Rollback readiness", id="head", markup=False)
        with VerticalScroll(id="facts"):
            yield Static(id="backups", markup=False)
            yield Static(id="would", markup=False)
            yield Static(id="said", markup=False)
        yield Static(id="live", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._read()
        self.redraw()
        self.query_one("#facts").focus()

    def redraw(self) -> None:
        model, theme = self.swarm.model, self.app.theme
        title = f"Rollback readiness   site {shown(model.site, 40)}{self.swarm.watching}"
        self.put("#head", title)
        backups = Text(shown(self._trouble)) if self._trouble else backups_text(self._backups, datetime.now(UTC), theme)
        self.put("#backups", backups)
        self.put("#would", would_text(model, theme))
        self.put("#said", _last_words(model))
        nothing = "Nothing runs. x rolls back to the newest backup of this run; it asks for the site's name."
        self.put("#live", live_text(model) if model.running is not None else nothing)

    def action_roll_back(self) -> None:
        site = self.swarm.model.site
        question = "Roll back: v1's state as it was backed up, and what this run created in the targets removed."

        def start(agreed: bool | None) -> None:
            if agreed:
                self.swarm.begin(roll_back)

        self.app.push_screen(ConfirmScreen(question, site), start)

    def action_stop(self) -> None:
        self.swarm.ask_to_stop()

    def _read(self) -> None:
        settings = self.swarm.settings
        try:
            self._backups = list_backups(settings.backup_folder, settings.site.require_root())
        except EngineError as exc:
            self._trouble = str(exc)


def roll_back(runner: Runner) -> RunResult:
    """The rollback in place, to the newest backup that this run made."""
    work = Rollback(runner.settings, runner.emit, runner.stop)
    done = work.in_place(work.newest_backup())
    for name, value in described(done).items():
        runner.emit(Said(NAME, f"{name}: {value}"))
    return RunResult(ExitCode(done.exit_code), len(done.proof.differences))


def backups_text(backups: list[Kept], now: datetime, theme: str) -> Text:
    """The newest first: age, size, and how long each is kept."""
    text = Text().append(f"Backups of this site: {len(backups):,}", style_of("title", theme))
    if not backups:
        text.append("\nNone yet: run the step Backup.", style_of("warning", theme))
    for one in backups[:LISTED]:
        text.append(f"\n  {shown(one.folder.name, 60)}   {bytes_text(one.size_bytes)}   ")
        age, left = one.age(now), one.left(now)
        if age is None or left is None:
            text.append(shown(one.trouble, 200), style_of("warning", theme))
        elif left > timedelta(0):
            text.append(f"{duration_text(age.total_seconds())} old, kept {left.days} more days")
        else:
            text.append(f"{duration_text(age.total_seconds())} old, may be removed now", style_of("warning", theme))
    if backups:
        text.append(f"\n  in {shown(str(backups[0].folder.parent))}", style_of("muted", theme))
    return text


def would_text(model: RunModel, theme: str) -> Text:
    """What a rollback would do now, in its order."""
    text = Text().append("A rollback would", style_of("title", theme))
    text.append("\n  1. read the newest backup of this run back, whole")
    text.append("\n  2. back up what is in the site now, so that nothing written since is lost")
    number = 3
    for info in reversed(STEPS):
        record = model.records.get(info.name)
        if info.writes_target and record is not None and has_run(record):
            created = f", {record.outcome.created:,} created by its last run" if record.outcome else ""
            text.append(f"\n  {number}. undo {info.title}: remove only what this run created{created}")
            number += 1
    text.append(f"\n  {number}. restore plan store, blobs, logs, keys and Redis into the site")
    text.append(f"\n  {number + 1}. compare every file and key with the backup")
    text.append("\n  It is refused while v1 writes. How long: unknown until a rollback was measured here.")
    return text


def _last_words(model: RunModel) -> str:
    record = model.records.get("rollback")
    if record is None or record.outcome is None:
        return ""
    return f"Last rollback: {record.state.value}. {shown(record.outcome.summary)}"
