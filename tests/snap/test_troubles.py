"""Pictures of what doesn't answer as it should: servers in diagnostics, fields of the form on the way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from canswarm_tui.engine.errors import Unreachable, WrongAnswer
from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from tests.interface.fakes import make_app
from tests.interface.looks import answers, down, looks, refuses
from tests.snap.stillness import still

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
FILE = Path("/home/operator/.config/canswarm-tui/canswarm.toml")
SLOW = Unreachable("nats", "it took the connection and gave no answer within 5 s", "look at its load and its log")
OTHER = WrongAnswer("minio", "version 2019-01-01 answers there", "install a supported version, or name another server")


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


@pytest.mark.parametrize("downs", [0, 1, 2, 3], ids=["refuses", "slow", "down", "other-version"])
def test_a_server_in_trouble(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    downs: int,
) -> None:
    slow = replace(answers("nats"), took_ms=5_000.0, condition=Condition.SLOW, sections=(), error=SLOW)
    other = replace(answers("minio"), condition=Condition.OTHER_VERSION, sections=(), error=OTHER)
    seen = looks(
        redis=lambda _s: refuses("redis"), nats=lambda _s: slow, etcd=lambda _s: down("etcd"), minio=lambda _s: other
    )
    monkeypatch.setattr(DiagnosticsScreen, "looks", seen)
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        for key in ("d", *["down"] * downs):
            await pilot.press(key)
            await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)
