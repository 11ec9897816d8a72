"""The terminal interface: a face of the engine. What it shows comes from the journal and the engine's events."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from canswarm_tui import signals
from canswarm_tui.bridge import EngineEnded, EngineProgressed, EngineSaid, EngineThread, Result
from canswarm_tui.commands.face import log_to
from canswarm_tui.driver import SwarmDriver
from canswarm_tui.engine.errors import Defect, EngineError, ExitCode, Stopped
from canswarm_tui.engine.events import CheckEnded, FindingSeen, Retrying, Said, StepEnded, StepStarted
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.lock import is_held
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.settings_file import load_settings
from canswarm_tui.engine.text import shown, waiting_text
from canswarm_tui.health import HealthSeen, HealthWatch
from canswarm_tui.model import RunModel
from canswarm_tui.preferences import THEMES, Preferences, preferences_file, save_preferences
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.checklist import ChecklistScreen
from canswarm_tui.theme import DARK, LIGHT

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.dom import DOMNode

    from canswarm_tui.engine.runner import Runner

log = logging.getLogger(__name__)
STOPPED = int(ExitCode.STOPPED)
POLL_S = 1.0
DRAW_EVERY_S = 0.1
DRAW_REDUCED_EVERY_S = 0.5
GARBAGE_USUAL = gc.get_threshold()
GARBAGE_WORKING = (5_000, 5, 2_000)
"""While the engine works the whole heap is looked through seldom: it would hold up a key for a tenth of a second."""


def _commands() -> type[Provider]:
    from canswarm_tui.palette import Commands

    return Commands


class SwarmApp(App[int], inherit_bindings=False):
    """Holds the one engine thread and the model that screens draw."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "screens/checklist.tcss"]
    """Textual does not load the sheet of an app's first screen by itself."""
    TITLE = "canswarm-tui"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}
    COMMAND_PALETTE_BINDING = "f4"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Quit", id="quit", tooltip="leave; a step that runs is stopped at a safe point first"),
        Binding("ctrl+q", "leave", "Quit", id="quit-2", show=False, tooltip="the same as q"),
        Binding(
            "ctrl+c", "leave", "Quit", id="quit-3", show=False, tooltip="copy what is selected, else the same as q"
        ),
        Binding("f2", "colours", "Colours", id="colours", show=False, tooltip="dark, light, the terminal's own"),
        Binding("f3", "settings", "Settings", id="settings", show=False, tooltip="colours, bandwidth, mouse, keys"),
        Binding("f4", "command_palette", "Commands", id="palette", show=False, tooltip="what can be done now, by name"),
        Binding("f1,question_mark", "help", "Help", id="help", key_display="F1", tooltip="this page"),
        Binding(
            "ctrl+z", "suspend_process", "Suspend", id="suspend", show=False, tooltip="to the shell; fg comes back"
        ),
    ]

    def __init__(self, settings: Settings, *, observe: bool = False, preferences: Preferences | None = None) -> None:
        super().__init__(driver_class=SwarmDriver)
        self.preferences = preferences or Preferences()
        self.complaints: tuple[str, ...] = ()
        self.last_act: Callable[[], object] = bool
        """What the caller would do afterwards, done in its place where a signal ends the process without a return."""
        self.settings = settings
        self.place = place_of(settings)
        self.model = RunModel(self.place, settings.site.require_root().resolve().name, observe=observe)
        self.engine = EngineThread(settings, self.post_message)
        self.health = HealthWatch(settings, self.post_message)
        self._leaving: int | None = None
        """The exit code, once it is to be left when the engine has ended."""
        self._again = ""
        self._stale = False
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = self.preferences.theme
        self.set_keymap(self.preferences.keys)

    def get_default_screen(self) -> Screen[None]:
        """The checklist, painted at once: a screen that is pushed over another waits for a switch of screens."""
        self.model.read(elsewhere=self._runs_elsewhere())
        return ChecklistScreen()

    def on_mount(self) -> None:
        signals.listen(self)
        self.set_interval(POLL_S, self.follow)
        self.set_interval(DRAW_REDUCED_EVERY_S if self.preferences.is_reduced else DRAW_EVERY_S, self.draw)
        self.call_after_refresh(self._tell_complaints)
        self.call_after_refresh(self.health.start)
        self.call_after_refresh(_collect_garbage_again)

    def on_unmount(self) -> None:
        self.health.end()

    def get_key_display(self, binding: Binding) -> str:
        """F-keys in capitals, as keyboards have them."""
        display = super().get_key_display(binding)
        return display.upper() if re.fullmatch(r"f\d+", display) else display

    def begin(self, work: Callable[[Runner], Result], again: str = "") -> None:
        """Start engine work, unless something works already or this is only an observer.

        `again` says what to press after a stop.
        """
        if self.model.observe:
            self.tell("observing only: start without --observe to run a step", severity="warning")
        elif self.engine.busy or self._runs_elsewhere():
            self.tell("a step runs already; stop it first (s)", severity="warning")
        else:
            gc.set_threshold(*GARBAGE_WORKING)
            self._again = again
            self.model.begin()
            self.engine.start(work)
            self.refresh_screens()

    def ask_to_stop(self) -> None:
        """Stop at a safe point: here, or by a request where another process leads the run."""
        if self.model.observe:
            self.tell("observing only: start without --observe to stop a run", severity="warning")
        elif self.engine.busy:
            self.model.stopping = True
            self.engine.stop("asked to in the interface")
        elif self._runs_elsewhere():
            try:
                journal = Journal.join(self.place.journal)
                journal.ask("stop", {"why": "asked to in another interface"})
                journal.close()
                self.model.stopping = True
            except EngineError as exc:
                self.tell(f"it can't be asked to stop: {exc}", severity="error")
        self.refresh_screens()

    def tell(self, text: str, *, severity: str = "information") -> None:
        """A toast; data in it is shown literally."""
        level = {"warning": "warning", "error": "error"}.get(severity, "information")
        self.notify(shown(text, 300), severity=level, markup=False)  # type: ignore[arg-type]

    @property
    def watching(self) -> str:
        """What a title adds when this interface only looks."""
        return "   OBSERVING" if self.model.elsewhere or self.model.observe else ""

    def refresh_screens(self) -> None:
        """Have them drawn with the next beat: a thousand events cost one drawing."""
        self._stale = True

    def draw(self) -> None:
        """Have what has changed since the last beat drawn now."""
        if not self._stale:
            return
        self._stale = False
        for screen in self.screen_stack:
            if isinstance(screen, SwarmScreen) and screen.can_redraw:
                screen.redraw()

    def on_health_seen(self, message: HealthSeen) -> None:
        self.model.health[message.seen.name] = message.seen
        self.refresh_screens()

    def on_engine_progressed(self, message: EngineProgressed) -> None:
        self.model.progressed(message.event)
        self.refresh_screens()

    def on_engine_said(self, message: EngineSaid) -> None:
        event = message.event
        if isinstance(event, StepStarted):
            self.model.started(event)
        elif isinstance(event, Retrying):
            self.model.retrying(event)
        elif isinstance(event, FindingSeen):
            self.model.found(event)
        elif isinstance(event, Said):
            self.model.said = event.text
        elif isinstance(event, CheckEnded | StepEnded):
            self.model.read(elsewhere=False)
        self.refresh_screens()

    def on_engine_ended(self, message: EngineEnded) -> None:
        from canswarm_tui.screens.quit import QuitScreen

        self.engine.join()
        self.model.idle()
        self.model.read(elsewhere=False)
        if message.error is not None:
            if isinstance(message.error, Stopped):
                self.tell("stopped at a safe point" + (f"; {self._again}" if self._again else ""))
            else:
                self.model.failure = str(message.error)
                self.tell(str(message.error), severity="error")
        elif isinstance(message.result, dict):
            self.model.plans |= message.result
        elif message.result is not None and message.result.waiting:
            self.tell(f"{waiting_text(message.result.waiting)} (f)", severity="warning")
        if self._leaving is not None:
            code = self._leaving if self._leaving != STOPPED or isinstance(message.error, Stopped) else 0
            self.exit(code, return_code=code)
        elif isinstance(self.screen, QuitScreen):
            self.screen.dismiss(False)
        self.refresh_screens()
        gc.set_threshold(*GARBAGE_USUAL)
        gc.collect()

    @property
    def failure(self) -> Exception | None:
        """What ended the interface that should not have."""
        return self._exception

    def _fatal_error(self) -> None:
        """Textual's end after a mistake of ours: it goes to the log, not with every local value to the terminal."""
        log.error("the interface has failed", exc_info=self._exception)
        self._close_messages_no_wait()

    def action_leave(self) -> None:
        from canswarm_tui.screens.quit import QuitScreen

        if not self.engine.busy:
            self.exit(0)
        elif not isinstance(self.screen, QuitScreen):
            self.push_screen(QuitScreen(), self._leave)

    def action_suspend_process(self) -> None:
        """Sleep until the shell's `fg`; the engine sleeps too and goes on where it was."""
        if signals.has_shell():
            signals.suspend(self)
        else:
            self.tell("no shell started this, so nothing could continue it: not suspended", severity="warning")

    def action_help(self) -> None:
        from canswarm_tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_colours(self) -> None:
        self.choose_theme(THEMES[(THEMES.index(self.theme) + 1) % len(THEMES)])

    def action_settings(self) -> None:
        from canswarm_tui.screens.settings import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen())

    def _tell_complaints(self) -> None:
        from canswarm_tui.bindings import unknown_keys

        unknown = unknown_keys(self.preferences.keys) if self.preferences.keys else ()
        for text in (*self.complaints, *unknown):
            self.tell(text, severity="warning")

    def choose_theme(self, theme: str) -> None:
        self.prefer(replace(self.preferences, theme=theme))

    def prefer(self, wanted: Preferences) -> None:
        """Have other preferences, now and at the next start."""
        self.preferences = wanted
        self.theme = wanted.theme
        try:
            save_preferences(wanted)
        except OSError as exc:
            self.tell(
                f"it holds until you leave: {preferences_file()} can't be written ({exc.strerror})", severity="warning"
            )
        self.refresh_screens()

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:  # noqa: ARG002 - Textual's
        """Keys that a person has given twice: told, and the later one holds."""
        for binding in clashed_bindings:
            self.tell(f"the key {binding.key} is taken twice; {binding.id} has lost it", severity="warning")

    def _leave(self, stop: bool | None) -> None:
        if not stop:
            self._leaving = None if self._leaving == STOPPED else self._leaving
        elif self.engine.busy:
            self._leaving = STOPPED
            self.ask_to_stop()
        else:
            self.exit(0)

    def leave_with(self, exit_code: int) -> None:
        """Leave, once the engine has stopped where it works."""
        self._leaving = exit_code
        if not self.engine.busy:
            self.exit(exit_code, return_code=exit_code)

    def _runs_elsewhere(self) -> bool:
        return not self.engine.busy and is_held(self.settings.site.require_root() / ".state")

    def follow(self) -> None:
        """Look whether another process leads a run, and how far it is; once a second by itself."""
        if not self.engine.busy:
            elsewhere = self._runs_elsewhere()
            if elsewhere or self.model.elsewhere:
                self.model.read(elsewhere=elsewhere)
                self.refresh_screens()


def _collect_garbage_again() -> None:
    """What was made on the way to the first paint stays; looking through it again and again would hold up keys."""
    gc.freeze()
    gc.enable()


def _asked_for(config: Path | None, flags: Mapping[str, str] | None, preferences: Preferences) -> Settings | None:
    """The settings where no site is named yet; None where nobody wanted to go on."""
    from canswarm_tui.start import StartApp

    app = StartApp(preferences, config, flags)
    chosen = app.run(mouse=preferences.mouse)
    if app.failure is not None:
        raise app.failure
    return chosen


def open_app(
    config: Path | None,
    flags: Mapping[str, str] | None = None,
    *,
    observe: bool,
    preferences: Preferences,
    complaints: tuple[str, ...] = (),
    last_act: Callable[[], object] = bool,
) -> int:
    """Run the interface until it is left; returns the exit code. `complaints` are told once it is open.

    `last_act` is what the caller does afterwards: done here where a lost terminal ends the process without a return.
    """
    loaded = load_settings(config, flags)
    settings = loaded.settings if loaded.settings.site.root is not None else _asked_for(config, flags, preferences)
    if settings is None:
        return 0
    place = place_of(settings)
    place.make()
    log_to(place.log)
    app = SwarmApp(settings, observe=observe, preferences=preferences)
    app.complaints, app.last_act = (*complaints, *filter(None, [loaded.exposed])), last_act
    app.run(mouse=preferences.mouse)
    if app.failure is not None:
        app.engine.stop("the interface has failed")
    app.engine.join()
    if app.failure is not None:
        raise Defect("interface", f"a mistake of ours ({type(app.failure).__name__})", f"the log has it: {place.log}")
    return app.return_code or 0
