"""Pictures of diagnostics: every backend, one in trouble, a list, an entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from canswarm_tui.engine.health.facts import CheckVerdict
from canswarm_tui.engine.health.streams import Heard, Stream
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.screens import live
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.guided import GuidedScreen
from tests.interface.fakes import make_app
from tests.interface.looks import Numbers, checked, down, guided, looks, refuses
from tests.snap.stillness import still

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    seen = looks(redis=lambda _s: refuses("redis"), nats=lambda _s: down("nats"))
    monkeypatch.setattr(DiagnosticsScreen, "looks", seen)
    monkeypatch.setattr(DiagnosticsScreen, "lists", {"etcd": (lambda _s: Numbers(1_000_000),)})


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


@pytest.mark.parametrize(
    "keys", [(), ("down", "down"), ("down", "down", "enter"), ("down", "down", "enter", "enter")],
    ids=["trouble", "a-worry", "a-list", "an-entry"],
)  # fmt: skip
def test_diagnostics(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        await pilot.press("d")
        await still(pilot)
        for key in keys:
            await pilot.press(key)
            await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)


@pytest.mark.parametrize("keys", [(), ("v", "down")], ids=["fine", "bad"])
def test_guided_checks(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    size: tuple[int, int],
    keys: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = checked("etcd", CheckVerdict.BAD)
    worry = checked("redis", CheckVerdict.WORRY, "decisions vanish from Redis")
    seen = guided(etcd=lambda _s: (bad,), redis=lambda _s: (worry,))
    monkeypatch.setattr(GuidedScreen, "guided", seen)
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        for key in ("d", "g", *keys):
            await pilot.press(key)
            await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)


def test_what_a_server_tells_live(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "clock", lambda: "12:00:00")

    def changes(_settings: Settings, stop: StopSignal) -> Iterator[Heard]:
        for n in range(1, 6):
            what = "created" if n % 2 else "changed"
            yield Heard(f"{n} changes", f'{what} need-{n:04d}  revision {71200 + n}  {{"need_id": "need-{n:04d}"}}')
        stop.wait(10)

    stream = Stream("decisions in etcd, live", "nothing has changed yet", "the watch has ended", changes)
    monkeypatch.setattr(DiagnosticsScreen, "streams", {"etcd": stream})
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        for key in ("d", "down", "down", "l"):
            await pilot.press(key)
            await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)
