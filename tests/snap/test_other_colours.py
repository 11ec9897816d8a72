"""Pictures of the screens that colour most, in the terminal's own colours and in none: none rests on colour alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from canswarm_tui.engine.journal import StepState
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.phase import PhaseScreen
from tests.interface.fakes import make_app
from tests.interface.looks import down, looks, refuses
from tests.interface.phases import fill_journal
from tests.snap.stillness import still
from tests.snap.test_screens import _settled

pytestmark = pytest.mark.snapshot
SCREENS: dict[str, Callable[[], Screen[None]]] = {
    "phase": lambda: PhaseScreen("decisions"),
    "findings": FindingsScreen,
    "conflict": lambda: ConflictScreen("decisions"),
    "diagnostics": DiagnosticsScreen,
}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(time, "strftime", lambda *_: "11-23 21:00")
    seen = looks(redis=lambda _s: refuses("redis"), nats=lambda _s: down("nats"))
    monkeypatch.setattr(DiagnosticsScreen, "looks", seen)


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light", "NO_COLOR"])
@pytest.mark.parametrize("screen", SCREENS)
def test_in_other_colours(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: str, theme: str
) -> None:
    if theme == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    app, _ = make_app(tmp_path)
    fill_journal(app.place, "decisions", state=StepState.NEEDS_ATTENTION, trouble=True)

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        if theme != "NO_COLOR":
            app.theme = theme
        app.model.read(elsewhere=False)
        app.push_screen(SCREENS[screen]())
        await still(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=opened)
