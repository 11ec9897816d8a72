"""Pictures of the Verification screen: before, proved, with differences, asking for a key, one record three ways."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.three_ways import ThreeWays
from canswarm_tui.screens import three_ways as screen_module
from canswarm_tui.screens.three_ways import ThreeWaysScreen
from canswarm_tui.screens.verification import VerificationScreen
from tests.interface.fakes import make_app, quarantine
from tests.interface.proofs import SITE_VALUE, differing, three_ways, verified
from tests.snap.stillness import still

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
FINDINGS = (
    differing("need-7"), differing("need-8, ünïcode 漢字 [/]"), differing("need-9"), quarantine("decide:bad"),
)  # fmt: skip
Compare = Callable[..., bool]
Act = Callable[[Pilot[int]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that moves by itself: no blinking, and one moment for all."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(time, "strftime", lambda form, *_: "21:00:00" if "S" in form else "11-23 21:00")


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


def on_screen(app: SwarmApp, words: str, then: tuple[str, ...] = ()) -> Act:
    """Opens the screen, goes to the line with these words and presses the keys."""

    async def act(pilot: Pilot[int]) -> None:
        app.model.read(elsewhere=False)
        app.push_screen(VerificationScreen())
        await pilot.pause()
        table = app.screen.query_one("#proofs", DataTable)
        rows = [" ".join(str(cell) for cell in table.get_row_at(n)) for n in range(table.row_count)]
        table.move_cursor(row=next(n for n, row in enumerate(rows) if words in row))
        await pilot.pause()
        await pilot.press(*then)
        await still(pilot)
        app.draw()
        await pilot.pause()

    return act


def test_before(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    assert snap_compare(app, terminal_size=size, run_before=on_screen(app, "Consensus"))


def test_proved(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place)
    assert snap_compare(app, terminal_size=size, run_before=on_screen(app, "Consensus"))


def test_with_differences_and_an_older_verdict(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, *FINDINGS, stale="plan-store")
    assert snap_compare(app, terminal_size=size, run_before=on_screen(app, "decisions in etcd", ("tab", "down")))


def test_asking_for_a_key(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place)
    assert snap_compare(app, terminal_size=size, run_before=on_screen(app, "decisions in etcd", ("c", "n")))


@pytest.mark.parametrize("case", ["different", "equal", "missing", "unreachable"])
def test_three_ways(
    snap_compare: Compare, tmp_path: Path, size: tuple[int, int], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(*_: object) -> ThreeWays:
        if case == "unreachable":
            raise Unreachable("etcd at http://127.0.0.1:2379", "no answer within 5 s", "check that etcd runs there")
        return {
            "different": three_ways(), "equal": three_ways(target=SITE_VALUE), "missing": three_ways(target=None)
        }[case]  # fmt: skip

    monkeypatch.setattr(screen_module, "compare_three_ways", compare)
    app, _ = make_app(tmp_path)

    async def compared(pilot: Pilot[int]) -> None:
        await pilot.pause()
        app.push_screen(ThreeWaysScreen("decisions", b"need-7"))
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=compared)


def test_in_the_terminals_own_colours(snap_compare: Compare, tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, *FINDINGS, stale="plan-store")

    async def act(pilot: Pilot[int]) -> None:
        app.theme = "ansi-dark"
        await on_screen(app, "decisions in etcd")(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=act)
