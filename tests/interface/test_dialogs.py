"""Every dialog: it opens on what changes nothing, Enter alone removes nothing, Esc and Ctrl+C leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from canswarm_tui.app import SwarmApp
from canswarm_tui.screens.ask_key import AskKeyScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.peer import PeerScreen
from canswarm_tui.screens.quit import QuitScreen
from canswarm_tui.screens.rate import RateScreen
from canswarm_tui.screens.reason import ReasonScreen
from tests.interface.fakes import make_app
from tests.interface.test_hostile_walk import ours

pytestmark = pytest.mark.asyncio
DIALOGS: dict[type[Any], Callable[[SwarmApp], ModalScreen[Any]]] = {
    AskKeyScreen: lambda app: AskKeyScreen(app.settings, "decisions"),
    ConfirmScreen: lambda _: ConfirmScreen("Remove it?", "site"),
    PeerScreen: lambda _: PeerScreen(),
    QuitScreen: lambda _: QuitScreen(),
    RateScreen: lambda _: RateScreen(None),
    ReasonScreen: lambda _: ReasonScreen("a finding"),
}
SIZES = [(80, 24), (120, 40)]


async def opened(pilot: Pilot[int], dialog: type[Any]) -> list[Any]:
    """Push the dialog; what it answers is put into the list."""
    app = pilot.app
    answers: list[Any] = []
    assert isinstance(app, SwarmApp)
    app.push_screen(DIALOGS[dialog](app), answers.append)
    await pilot.pause()
    assert isinstance(app.screen, dialog)
    return answers


async def test_no_dialog_is_forgotten_here() -> None:
    assert {name for name, one in ours().items() if issubclass(one, ModalScreen)} == {one.__name__ for one in DIALOGS}


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize("dialog", list(DIALOGS), ids=[one.__name__ for one in DIALOGS])
async def test_enter_alone_agrees_to_nothing_and_the_whole_dialog_is_on_the_screen(
    tmp_path: Path, dialog: type[Any], size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        answers = await opened(pilot, dialog)
        for widget in app.screen.query("#box *"):
            assert app.screen.region.contains_region(widget.region), widget
        focused = app.focused
        assert isinstance(focused, Input) or (isinstance(focused, Button) and focused.id in ("cancel", "stay"))
        await pilot.press("enter")
        await pilot.pause()
        assert not any(answers)
        assert app.model.running is None


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
@pytest.mark.parametrize("dialog", list(DIALOGS), ids=[one.__name__ for one in DIALOGS])
async def test_esc_and_ctrl_c_leave_it_whatever_has_the_focus(tmp_path: Path, dialog: type[Any], key: str) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        for widget in (Input, Button):
            answers = await opened(pilot, dialog)
            for one in app.screen.query(widget).results(widget):
                one.focus()
            await pilot.press(key)
            await pilot.pause()
            assert not isinstance(app.screen, ModalScreen)
            assert not any(answers)


async def test_only_the_whole_name_agrees_to_what_removes_something(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        answers = await opened(pilot, ConfirmScreen)
        await pilot.press(*"sit", "enter")
        await pilot.press("enter")
        await pilot.pause()
        assert answers == [False]
        answers = await opened(pilot, ConfirmScreen)
        await pilot.press(*"site", "enter")
        await pilot.pause()
        assert answers == []
        await pilot.press("enter")
        await pilot.pause()
        assert answers == [True]
