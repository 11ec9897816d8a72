"""Pictures of the way in where no site is named."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from canswarm_tui import start
from canswarm_tui.engine.settings import Settings
from canswarm_tui.preferences import Preferences
from canswarm_tui.start import PastRun, StartApp

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
FILE = Path("/home/operator/.config/canswarm-tui/canswarm.toml")


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


@pytest.mark.parametrize("past", [False, True], ids=["a-form", "with-past-runs"])
def test_start(
    snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], past: bool
) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "11-23 21:00")
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    known = (PastRun("/srv/swarm", 7, FILE, "Consensus: Redis → etcd", 1.0), PastRun("/srv/other [site]", 11, FILE))
    runs = known if past else ()
    monkeypatch.setattr(start, "past_runs", lambda _folder: iter(runs))

    async def told(pilot: Pilot[Settings]) -> None:
        await pilot.pause()
        pilot.app.query_one("#site--redis_url", Input).value = "redis://127.0.0.1:6379/0"
        pilot.app._say("site.redis_url", "✓ redis answers, 3 ms")  # type: ignore[attr-defined]
        await pilot.pause()

    assert snap_compare(StartApp(Preferences(), FILE), terminal_size=size, run_before=told)


def test_a_site_that_is_none_and_a_server_that_refuses(
    snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(start, "past_runs", lambda _folder: iter(()))

    async def asked(pilot: Pilot[Settings]) -> None:
        # No such folder, and nothing listens on port 1.
        for key, typed in (("site--root", "/srv/swram"), ("site--redis_url", "redis://127.0.0.1:1/0")):
            box = pilot.app.query_one(f"#{key}", Input)
            box.focus()
            await pilot.pause()
            box.value = typed
            await pilot.press("tab")
        said = pilot.app.query_one("#site--redis_url-said", Static)
        while not str(said.content).startswith("✗"):
            await pilot.pause(0.05)

    assert snap_compare(StartApp(Preferences(), FILE), terminal_size=size, run_before=asked)
