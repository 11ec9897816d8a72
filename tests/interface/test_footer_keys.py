"""Every screen at every size: what a key does there stands in the footer, whole, or in the help of that screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static
from textual.widgets._footer import FooterKey

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.health.streams import Stream
from canswarm_tui.engine.step import Progress, Verb
from canswarm_tui.screens.ask_key import AskKeyScreen
from canswarm_tui.screens.browse import BrowseScreen
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.guided import GuidedScreen
from canswarm_tui.screens.help import HelpScreen
from canswarm_tui.screens.live import LiveScreen
from canswarm_tui.screens.rego import RegoScreen
from canswarm_tui.screens.three_ways import ThreeWaysScreen
from tests.interface.fakes import make_app
from tests.interface.looks import Numbers, guided, looks
from tests.interface.test_hostile_walk import OPENERS, fill, ours

pytestmark = pytest.mark.asyncio
SILENT = Stream("decisions, live", "watching", "it has ended", lambda _settings, _stop: iter(()))
SCREENS: dict[type[Any], Callable[[SwarmApp], Any]] = {
    **OPENERS,
    AskKeyScreen: lambda app: AskKeyScreen(app.settings, "decisions"),
    BrowseScreen: lambda _: BrowseScreen([Numbers(500), Numbers(3)]),
    DiagnosticsScreen: lambda _: DiagnosticsScreen(),
    GuidedScreen: lambda _: GuidedScreen(),
    LiveScreen: lambda _: LiveScreen(SILENT),
    RegoScreen: lambda _: RegoScreen("policy-opa"),
    ThreeWaysScreen: lambda _: ThreeWaysScreen("blobs-minio", b"no hash"),
}


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiagnosticsScreen, "looks", looks())
    monkeypatch.setattr(GuidedScreen, "guided", guided())


async def opened(app: SwarmApp, pilot: Pilot[int], screen: type[Any]) -> None:
    await pilot.pause()
    app.model.read(elsewhere=False)
    wanted = SCREENS[screen](app)
    if wanted is not app.screen:
        app.push_screen(wanted)
    await pilot.pause(0.05)
    assert isinstance(app.screen, screen)


async def redrawn(app: SwarmApp, pilot: Pilot[int]) -> None:
    app.refresh_screens()
    app.draw()
    app.screen.refresh_bindings()
    await pilot.pause()


def footer_of(app: SwarmApp) -> set[str]:
    """The actions whose key stands in the footer; each must be there whole."""
    footers = list(app.screen.query(Footer))
    keys = list(app.screen.query(FooterKey))
    for key in keys:
        assert footers[0].region.contains_region(key.region), f"{key.description} is cut"
    return {key.action for key in keys}


async def help_of(app: SwarmApp, pilot: Pilot[int]) -> str:
    await pilot.press("f1")
    await pilot.pause()
    assert isinstance(app.screen, HelpScreen)
    page = app.screen.query_one("#page", VerticalScroll)
    text = "\n".join(str(one.content) for one in page.query(Static).results(Static))
    await pilot.press("escape")
    await pilot.pause()
    return text


async def check_keys(app: SwarmApp, pilot: Pilot[int]) -> None:
    """Every key that can be pressed now is told, and F1, which tells of all, is in sight."""
    shown, screen = footer_of(app), app.screen
    if isinstance(screen, HelpScreen):
        assert "back" in shown
        return
    assert "help" in shown
    offered = [active for active in screen.active_bindings.values() if active.enabled and active.binding.id]
    told = await help_of(app, pilot)
    for active in offered:
        does = active.tooltip or active.binding.tooltip or active.binding.description
        assert active.binding.action in shown or does in told, active.binding


async def test_no_screen_is_forgotten_here() -> None:
    assert set(ours()) == {one.__name__ for one in SCREENS}


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
@pytest.mark.parametrize("screen", [one for one in SCREENS if not issubclass(one, ModalScreen)])
async def test_every_key_is_told_in_the_footer_or_in_help(
    tmp_path: Path, screen: type[Any], size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    fill(app)
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, screen)
        await redrawn(app, pilot)
        await check_keys(app, pilot)
        app.model.running, app.model.progress = ("decisions", Verb.RUN), Progress("copying", 1, 2)
        await redrawn(app, pilot)
        await check_keys(app, pilot)


async def test_a_wide_footer_has_every_key_of_the_checklist_and_a_narrow_one_again_its_own(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        narrow = footer_of(app)
        assert not {"verify_step", "undo_step", "settings"} & narrow
        await pilot.resize_terminal(140, 40)
        await pilot.pause(0.1)
        assert footer_of(app) >= {"verify_step", "undo_step", "colours", "settings", "command_palette", *narrow}
        assert "nothing" not in footer_of(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.1)
        assert footer_of(app) == narrow


async def test_the_keys_of_every_backend_are_told_too(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, DiagnosticsScreen)
        table = app.screen.query_one("#backends", DataTable)
        for row in range(table.row_count):
            table.move_cursor(row=row)
            await pilot.pause()
            await check_keys(app, pilot)


@pytest.mark.parametrize("dialog", [one for one in SCREENS if issubclass(one, ModalScreen)])
async def test_a_dialog_tells_its_keys_itself(tmp_path: Path, dialog: type[Any]) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, dialog)
        told = " ".join(str(one.content) for one in app.screen.query("#box Static").results(Static))
        assert "Esc" in told
