"""The command palette: everything that can be done now, by name; what can't be done isn't offered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from canswarm_tui.engine.checklist import STEPS
from canswarm_tui.engine.journal import has_run
from canswarm_tui.preferences import THEMES
from canswarm_tui.screens.base import StepScreen

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp


@dataclass(frozen=True, slots=True)
class Offer:
    name: str
    does: Callable[[], object]
    told: str
    also: str = ""
    """Another name that is searched for: a step's on the command line."""


class Commands(Provider):
    """The actions of the screen as it is, the steps that can be run or opened, the screens and the colours."""

    async def discover(self) -> Hits:
        for offer in self._offers():
            yield DiscoveryHit(offer.name, offer.does, help=offer.told)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for offer in self._offers():
            score = max(matcher.match(offer.name), matcher.match(offer.also) if offer.also else 0)
            if score > 0:
                yield Hit(score, matcher.highlight(offer.name), offer.does, help=offer.told)

    def _offers(self) -> Iterator[Offer]:
        app = cast("SwarmApp", self.app)
        for active in self.screen.active_bindings.values():
            binding = active.binding
            is_ours = bool(binding.id) and not binding.action.endswith("command_palette")
            if active.enabled and binding.description and is_ours and self._is_possible(app, binding.action):
                does = partial(app.run_action, binding.action, active.node)
                yield Offer(binding.description, does, active.tooltip or binding.tooltip or "")
        yield from self._steps(app)
        for name, path in _SCREENS.items():
            yield Offer(name, partial(_open, app, path), "opens a screen")
        for theme in THEMES:
            if theme != app.theme:
                yield Offer(f"Colours: {theme}", partial(app.choose_theme, theme), "kept for the next start")

    def _is_possible(self, app: SwarmApp, action: str) -> bool:
        """Whether an action on one step can be done with the step that is meant now."""
        screen = self.screen
        if action not in _ON_A_STEP or not isinstance(screen, StepScreen):
            return True
        step = screen.chosen_step()
        if step is None or not app.model.can_begin:
            return False
        if action == "run_step":
            return app.model.state_of(step)[0] != "blocked"
        return has_run(app.model.records.get(step))

    def _steps(self, app: SwarmApp) -> Iterator[Offer]:
        from canswarm_tui.screens.opened import screen_of

        for info in STEPS:
            state, _ = app.model.state_of(info.name)
            told = f"{info.name} is {state}"
            yield Offer(f"Open: {info.title}", partial(_push, app, screen_of, info.name), told, info.name)
            if app.model.can_begin and state not in ("blocked", "proved", "done", "skipped"):
                yield Offer(f"Run: {info.title}", partial(_run, app, info.name), told, info.name)


_ON_A_STEP = ("run_step", "verify_step", "undo_step")
_SCREENS = {
    "Settings of the interface": "settings:SettingsScreen",
    "About": "about:AboutScreen",
    "Log": "log:LogScreen",
    "Report": "report:ReportScreen",
    "Diagnostics": "diagnostics:DiagnosticsScreen",
    "Rollback readiness": "rollback:RollbackScreen",
    "All findings": "findings:FindingsScreen",
    "Support bundle": "support:SupportScreen",
}


def _open(app: SwarmApp, path: str) -> None:
    from importlib import import_module

    module, _, name = path.partition(":")
    app.push_screen(getattr(import_module(f"canswarm_tui.screens.{module}"), name)())


def _push(app: SwarmApp, screen_of: Callable[[str], object], step: str) -> None:
    from textual.screen import Screen

    app.push_screen(cast("Screen[None]", screen_of(step)))


def _run(app: SwarmApp, step: str) -> None:
    app.begin(lambda runner: runner.run([step]))
