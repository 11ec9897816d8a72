"""Pictures of the settings, of the palette and of the support bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from canswarm_tui import app as app_module
from canswarm_tui import preferences
from canswarm_tui.engine.support import Item
from canswarm_tui.preferences import Preferences
from canswarm_tui.screens import settings
from canswarm_tui.screens.support import SupportScreen
from tests.interface.fakes import make_app
from tests.interface.test_diagnostics import until
from tests.snap.stillness import still

pytestmark = pytest.mark.snapshot
SERVERS = {"etcd": {"condition": "answers", "endpoint": "http://10.0.0.2:2379"}, "s3": {"condition": "refuses us"}}
BUNDLE = (
    Item("versions.json", b'{\n  "canswarm-tui": "1.0",\n  "python": "3.11.7"\n}'),
    Item("settings.json", b'{\n  "etcd.endpoints": "http://10.0.0.2:2379",\n  "s3.secret_key": "set, not shown"\n}'),
    Item("servers.json", json.dumps(SERVERS, indent=2).encode()),
    Item("log-end.txt", b"\n".join(b"2026-11-26 10:00:%02d decisions: copying" % n for n in range(50))),
)
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
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=searched)


def test_support_bundle(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canswarm_tui.screens.support.gather", lambda _settings, _place: BUNDLE)
    app, _ = make_app(tmp_path)

    async def gathered(pilot: Pilot[int]) -> None:
        app.push_screen(SupportScreen())
        await until(pilot, lambda: "Nothing is written yet" in str(app.screen.query_one("#said", Static).content))
        await pilot.press("down")
        await until(pilot, lambda: "not shown" in str(app.screen.query_one("#content", Static).content))

    assert snap_compare(app, terminal_size=size, run_before=gathered)
