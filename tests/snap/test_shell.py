"""Pictures of the settings and of the palette."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from canswarm_tui import app as app_module
from canswarm_tui import preferences
from canswarm_tui.preferences import Preferences
from canswarm_tui.screens import settings
from tests.interface.fakes import make_app

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
FILE = Path("/home/operator/.config/canswarm-tui/interface.toml")


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    for module in (app_module, preferences, settings):
        monkeypatch.setattr(module, "preferences_file", lambda: FILE)


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


@pytest.mark.parametrize("keys", [{}, {"run-step": "f5", "stop": "f8"}], ids=["as-they-come", "of-ones-own"])
def test_settings(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], keys: dict[str, str]
) -> None:
    app, _ = make_app(tmp_path)
    app.preferences = Preferences(keys=keys)
    assert snap_compare(app, terminal_size=size, press=["f3", "down"])


def test_palette(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)

    async def searched(pilot: Pilot[int]) -> None:
        await pilot.press("f4")
        await pilot.pause()
        await pilot.press(*"run")
        await pilot.pause(0.5)

    assert snap_compare(app, terminal_size=size, run_before=searched)
