"""Pictures of ids that are wide, run from right to left or are pictures themselves, and of the largest terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from canswarm_tui.engine.health.facts import Entry, Page, Section
from canswarm_tui.screens.browse import BrowseScreen
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.verification import VerificationScreen
from tests.interface.fakes import make_app, quarantine
from tests.interface.looks import Numbers, down, looks, refuses
from tests.interface.proofs import differing, verified
from tests.snap.stillness import still
from tests.snap.test_screens import CONFLICT, DONE, _settled

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}
LARGEST = SIZES["200x60"]
IDS = (
    "plain-0001", "決定の記録-東京-0002", "قرار-رقم-٠٠٠٣", "החלטה-0004", "🐝🐝 swarm-0005", "e\u0301te\u0301-0006",
    "한국어-결정-0007", "長い" * 30,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that moves by itself: no blinking, and one moment for all."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(time, "strftime", lambda form, *_: "21:00:00" if "S" in form else "11-23 21:00")


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


class Named(Numbers):
    """A short list of these ids."""

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        return Page(("bytes", "revision", "version"), tuple(Entry(one, ("71", "12", "1")) for one in IDS), None, 8)

    def open(self, key: str) -> tuple[Section, ...]:
        return (Section(key, ((key, key),)),)


def test_ids_of_other_scripts_in_findings(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path, findings=tuple(map(quarantine, IDS)))

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("f")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=opened)


def test_ids_of_other_scripts_in_differences(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, *map(differing, IDS))

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        app.push_screen(VerificationScreen())
        await pilot.pause()
        table = app.screen.query_one("#proofs", DataTable)
        rows = [" ".join(str(cell) for cell in table.get_row_at(n)) for n in range(table.row_count)]
        table.move_cursor(row=next(n for n, row in enumerate(rows) if "decisions in etcd" in row))
        await pilot.press("tab", "down")
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)


def test_ids_of_other_scripts_in_a_list(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.push_screen(BrowseScreen([Named(8)]))
        await still(pilot)
        await pilot.press("down")
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)


@pytest.mark.parametrize("screen", ["checklist", "diagnostics", "log", "report", "findings", "verification"])
def test_the_largest_terminal(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    seen = looks(redis=lambda _s: refuses("redis"), nats=lambda _s: down("nats"))
    monkeypatch.setattr(DiagnosticsScreen, "looks", seen)
    app, _ = make_app(tmp_path, site="s", done=DONE, findings=(CONFLICT, quarantine()))
    if screen == "verification":
        verified(app.place)

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        monkeypatch.chdir(tmp_path)
        app.place = type(app.place)(Path("state"))
        app.place.log.write_text(
            "".join(f"2026-11-23 21:00:{n:02} INFO decisions: batch {n} has its receipts\n" for n in range(60))
        )
        app.place.reports.mkdir(exist_ok=True)
        (app.place.reports / "report.md").write_text(
            "# Migration of site\n\nResult: **done and proved**\n\n| step | state |\n|---|---|\n| Preflight | done |\n"
        )
        if screen == "verification":
            app.model.read(elsewhere=False)
            app.push_screen(VerificationScreen())
        else:
            await pilot.press(*{"diagnostics": "d", "log": "l", "report": "o", "findings": "f"}.get(screen, ""))
        await still(pilot)

    assert snap_compare(app, terminal_size=LARGEST, run_before=opened)
