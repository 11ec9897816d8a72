"""Every key of the interface, and that what it shows is what the engine and the journal say."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, DataTable, Input, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.lock import hold_run
from canswarm_tui.screens.checklist import ChecklistScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.help import HelpScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.screens.quit import QuitScreen
from tests.interface.fakes import HOSTILE, make_app, quarantine

pytestmark = pytest.mark.asyncio


async def until_idle(app: SwarmApp, pilot: Pilot[int]) -> None:
    for _ in range(2000):
        await pilot.pause(0.01)
        if not app.engine.busy and app.model.running is None:
            return
    raise AssertionError("the engine does not end")


async def until_running(app: SwarmApp, pilot: Pilot[int]) -> None:
    for _ in range(1000):
        await pilot.pause(0.01)
        if app.model.progress is not None:
            return
    raise AssertionError("nothing runs")


def text_of(app: SwarmApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


def state_of(app: SwarmApp, step: str) -> StepState:
    return app.model.records[step].state


def cells(app: SwarmApp) -> dict[str, str]:
    """State by title, as drawn on the checklist."""
    table = app.screen.query_one("#items", DataTable)
    return {str(row[1]): str(row[2]) for row in (table.get_row_at(n) for n in range(table.row_count))}


async def test_it_opens_on_the_checklist_with_the_next_thing_marked(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, ChecklistScreen)
        states = cells(app)
        assert [s for s in states.values() if "next" in s] == ["ready — next"]
        assert states["Deploy: single → multi-node"] == "not available yet"
        assert states["Consensus: Redis → etcd"] == "blocked"


async def test_enter_runs_the_item_and_shows_live_counts_until_the_journal_says_proved(tmp_path: Path) -> None:
    app, go = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until_running(app, pilot)
        assert "250 of 1,000" in text_of(app, "#live")
        assert "time left 15 s" in text_of(app, "#live")
        go.set()
        await until_idle(app, pilot)
        (state,) = [s for title, s in cells(app).items() if title.startswith("Preflight")]
        assert state == "proved"


async def test_stop_is_shown_as_stopping_until_the_engine_has_stopped_and_the_item_can_go_on(tmp_path: Path) -> None:
    app, go = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until_running(app, pilot)
        await pilot.press("s")
        await until_idle(app, pilot)
        (state,) = [s for title, s in cells(app).items() if title.startswith("Preflight")]
        assert state == "stopped"
        go.set()
        await pilot.press("enter")
        await until_idle(app, pilot)
        (state,) = [s for title, s in cells(app).items() if title.startswith("Preflight")]
        assert state == "proved"


async def test_quitting_while_a_step_runs_asks_and_stay_is_the_answer_of_enter(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until_running(app, pilot)
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, QuitScreen)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, ChecklistScreen)
        assert app.engine.busy
        await pilot.press("q")
        await pilot.pause()
        app.screen.query_one("#leave", Button).press()
        for _ in range(500):
            await pilot.pause(0.01)
            if app.return_code is not None:
                break
    assert app.return_code == 4
    assert not app.engine.busy


async def test_undo_wants_the_sites_name_typed_and_enter_alone_does_nothing(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True, done=("preflight", "backup", "decisions"))
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.screen.query_one("#items", DataTable)
        rows = [str(table.get_row_at(n)[1]) for n in range(table.row_count)]
        table.move_cursor(row=rows.index("Consensus: Redis → etcd"))
        await pilot.press("u")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, ChecklistScreen)
        assert state_of(app, "decisions") is StepState.PROVED
        await pilot.press("u")
        await pilot.pause()
        app.screen.query_one("#typed", Input).value = "site"
        await pilot.pause()
        app.screen.query_one("#agree", Button).press()
        await pilot.pause()
        await until_idle(app, pilot)
        assert state_of(app, "decisions") is StepState.UNDONE


async def test_a_finding_is_read_whole_and_accepted_with_a_reason_that_the_journal_keeps(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(quarantine(),))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f")
        await pilot.pause()
        assert isinstance(app.screen, FindingsScreen)
        assert "What to do: mend it" in text_of(app, "#whole")
        await pilot.press("a")
        await pilot.pause()
        await pilot.press(*"known", "enter")
        await pilot.pause()
        assert app.model.waiting_findings == 0
    journal = Journal.observe(app.place.journal)
    (stored,) = journal.findings()
    journal.close()
    assert (stored.status.value, stored.reason) == ("accepted", "known")


async def test_the_list_of_findings_is_saved_with_its_path(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(quarantine("one"), quarantine("two")))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", "w")
        await pilot.pause()
    saved = (app.place.folder / "findings.txt").read_text()
    assert "one" in saved
    assert "two" in saved


async def test_a_run_that_another_process_leads_is_followed_and_can_be_asked_to_stop(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    state = app.settings.site.require_root() / ".state"
    with hold_run(state, ()):
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert "OBSERVING" in text_of(app, "#head")
            await pilot.press("enter")
            await pilot.pause()
            assert not app.engine.busy
            app.ask_to_stop()
    journal = Journal.join(app.place.journal)
    asked = journal.take_requests()
    journal.close()
    assert [what for what, _ in asked] == ["stop"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_data_is_shown_literally_on_every_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path, findings=(quarantine(HOSTILE),), go=True, site="a [b] [" + "/c]".replace("/", "∕"))
    async with app.run_test(size=size, notifications=True) as pilot:
        app.tell(HOSTILE)
        app.model.note(HOSTILE)
        for key, screen in (("f", FindingsScreen), ("l", LogScreen), ("f1", HelpScreen)):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, screen)
            if screen is FindingsScreen:
                shown_text = text_of(app, "#whole")
                assert "[/] [red]x[/red] see [/etc/passwd]" in shown_text
                assert "\x1b" not in shown_text
                assert "\u202e" not in shown_text
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, ChecklistScreen)


async def test_no_thread_is_left_when_it_is_closed(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until_idle(app, pilot)
    assert "engine" not in {t.name for t in threading.enumerate()}
