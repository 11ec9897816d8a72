"""Every key of the interface, and that what it shows is what the engine and the journal say."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, DataTable, Input, Log, Static

from canswarm_tui.app import SwarmApp, open_app
from canswarm_tui.commands.face import LineFormatter, log_to
from canswarm_tui.engine.errors import Defect
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.live import read_live, write_live
from canswarm_tui.engine.lock import hold_run
from canswarm_tui.engine.probe import Probe
from canswarm_tui.engine.readiness import readiness
from canswarm_tui.engine.step import Progress, Verb
from canswarm_tui.preferences import THEMES, Preferences
from canswarm_tui.screens import rollback
from canswarm_tui.screens.checklist import ChecklistScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.help import HelpScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.screens.phase import PhaseScreen
from canswarm_tui.screens.quit import QuitScreen
from canswarm_tui.screens.report import ReportScreen
from canswarm_tui.screens.rollback import RollbackScreen
from canswarm_tui.widgets.live import live_text
from tests.interface.fakes import HOSTILE, make_app, quarantine

pytestmark = pytest.mark.asyncio


async def until_idle(app: SwarmApp, pilot: Pilot[int]) -> None:
    for _ in range(2000):
        await pilot.pause(0.01)
        if not app.engine.busy and app.model.running is None:
            app.draw()
            return
    raise AssertionError("the engine does not end")


async def until_running(app: SwarmApp, pilot: Pilot[int]) -> None:
    for _ in range(1000):
        await pilot.pause(0.01)
        if app.model.progress is not None:
            app.draw()
            return
    raise AssertionError("nothing runs")


def text_of(app: SwarmApp, selector: str) -> str:
    """What it says; a space that no line may break at is a space here."""
    return str(app.screen.query_one(selector, Static).content).replace("\N{NO-BREAK SPACE}", " ")


def state_of(app: SwarmApp, step: str) -> StepState:
    return app.model.records[step].state


def offered(app: SwarmApp) -> set[str]:
    return {active.binding.action for active in app.screen.active_bindings.values() if active.enabled}


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


async def test_r_runs_the_item_and_shows_live_counts_until_the_journal_says_proved(tmp_path: Path) -> None:
    app, go = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
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
        await pilot.press("r")
        await until_running(app, pilot)
        await pilot.press("s")
        await until_idle(app, pilot)
        (state,) = [s for title, s in cells(app).items() if title.startswith("Preflight")]
        assert state == "stopped — next"
        (toast,) = app._notifications
        assert (toast.severity, "r goes on" in toast.message) == ("information", True)  # asked for, so no error
        go.set()
        await pilot.press("r")
        await until_idle(app, pilot)
        (state,) = [s for title, s in cells(app).items() if title.startswith("Preflight")]
        assert state == "proved"


async def test_quitting_while_a_step_runs_asks_and_stay_is_the_answer_of_enter(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
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
            assert "Another process holds the run" in text_of(app, "#live")
            assert "stop" in offered(app)
            assert not {"run_step", "run_all", "verify_step", "undo_step"} & offered(app)
            await pilot.press("r")
            await pilot.pause()
            assert not app.engine.busy
            app.ask_to_stop()
    journal = Journal.join(app.place.journal)
    asked = journal.take_requests()
    journal.close()
    assert [what for what, _ in asked] == ["stop"]


async def test_an_opened_item_says_what_was_done_and_proved_and_what_a_run_would_do(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True, done=("preflight", "backup", "decisions"), findings=(quarantine(),))
    async with app.run_test(size=(80, 24)) as pilot:
        app.screen.query_one("#items", DataTable).move_cursor(row=7)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, PhaseScreen)
        assert "created  9" in text_of(app, "#outcome")
        assert "records: 9 of 9 equal, by content" in text_of(app, "#verdict")
        assert "bad-record: it is damaged" in text_of(app, "#findings")
        await pilot.press("p")
        await until_idle(app, pilot)
        assert "do what a test wants" in text_of(app, "#plan")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, ChecklistScreen)


async def test_an_opened_item_that_runs_shows_counts_and_what_is_found(tmp_path: Path) -> None:
    app, go = make_app(tmp_path, done=("preflight", "backup"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter", "r")
        await until_running(app, pilot)
        assert "copying 250 of 1,000" in text_of(app, "#live")
        assert text_of(app, "#bar").endswith(" 25%")
        assert "running" in text_of(app, "#state")
        go.set()
        await until_idle(app, pilot)
        assert "proved" in text_of(app, "#state")


async def test_run_all_asks_first_and_enter_alone_runs_nothing(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", "enter")
        await pilot.pause()
        assert not app.engine.busy
        assert not app.model.records
        await pilot.press("a", "tab", "enter")
        await pilot.pause()
        await until_idle(app, pilot)
        assert {r.state for r in app.model.records.values()} == {StepState.PROVED}


async def test_a_run_here_can_be_followed_by_another_process_and_leaves_a_log(tmp_path: Path) -> None:
    app, go = make_app(tmp_path)
    log_to(app.place.log)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
        await until_running(app, pilot)
        live = read_live(app.place.live)
        assert live is not None
        assert (live["step"], live["done"]) == ("preflight", 250)
        go.set()
        await until_idle(app, pilot)
        assert read_live(app.place.live) is None
        await pilot.press("l")
        await pilot.pause()
        lines = list(app.screen.query_one("#lines", Log).lines)
        assert any("preflight: run ended, done. 1,000 records copied" in line for line in lines)


async def test_a_line_of_the_log_can_not_be_ended_or_hidden_by_data_of_the_site() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "blob %s", ("a\n2026-01-01 00:00:00 \x1b[2Jdone",), None)
    line = LineFormatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.split(" ", 2)[2].startswith("WARNING blob a")


async def test_a_mistake_of_ours_goes_to_the_log_and_shows_no_values(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    log_to(app.place.log)
    with pytest.raises(RuntimeError):
        async with app.run_test(size=(80, 24)):
            app._handle_exception(RuntimeError("it broke"))
    assert not app._exit_renderables
    assert "RuntimeError: it broke" in app.place.log.read_text()


async def test_an_interface_that_fails_stops_the_step_and_ends_as_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, _ = make_app(tmp_path)
    flags = {"site.root": str(fake.settings.site.require_root()), "state_dir": str(fake.settings.state_dir)}

    def run(app: SwarmApp, **_: object) -> None:
        app.engine = fake.engine
        app.engine.start(lambda runner: runner.run(["preflight"]))
        app._exception = RuntimeError("it broke")

    monkeypatch.setattr(SwarmApp, "run", run)
    with pytest.raises(Defect, match="RuntimeError"):
        open_app(None, flags, observe=False, preferences=Preferences())
    assert not fake.engine.busy


async def test_the_name_can_be_typed_at_once_and_enter_still_agrees_to_nothing(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True, done=("preflight", "documentation", "v1-tests", "backup", "decisions"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.screen.query_one("#items", DataTable).move_cursor(row=7)
        await pilot.press("u")
        await pilot.pause()
        await pilot.press("s", "i", "t")
        await pilot.pause()
        assert app.screen.query_one("#typed", Input).value == "sit"
        await pilot.press("e", "enter")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert app.screen.query_one("#agree", Button).has_focus
        await pilot.press("enter")
        await until_idle(app, pilot)
        assert state_of(app, "decisions") is StepState.UNDONE


async def test_when_the_run_of_another_process_has_ended_nothing_is_shown_as_running(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    state = app.settings.site.require_root() / ".state"
    write_live(app.place.live, "decisions", Verb.RUN, Progress("copying", 5, 10))
    async with app.run_test(size=(80, 24)) as pilot:
        with hold_run(state, ()):
            app.follow()
            assert "Running: Consensus" in live_text(app.model)
        app.follow()
        app.draw()
        await pilot.pause()
        assert "Nothing runs." in text_of(app, "#live")


async def test_rollback_says_what_it_would_undo_last_first_and_begins_only_with_the_typed_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = make_app(tmp_path, go=True, done=("preflight", "backup", "blobs-minio", "decisions"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b")
        await app.workers.wait_for_complete()
        await pilot.pause()
        would = text_of(app, "#would")
        assert "unknown" in would  # nothing was measured
        assert not {"prove", "roll_back"} & offered(app)
        assert "nothing to go back to" in text_of(app, "#live")
        assert would.index("undo Consensus") < would.index("undo CAS: files")
        assert "None yet" in text_of(app, "#backups")
        await pilot.press("escape")
        found = readiness(app.settings)
        monkeypatch.setattr(rollback, "readiness", lambda _settings: replace(found, newest=tmp_path))
        await pilot.press("b")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "roll_back" in offered(app)
        await pilot.press("x", "enter")
        await pilot.pause()
        assert isinstance(app.screen, RollbackScreen)
        await pilot.press("x")
        await pilot.pause()
        agree = app.screen.query_one("#agree", Button)
        assert agree.disabled
        app.screen.query_one("#typed", Input).value = "site"
        await pilot.pause()
        agree.press()
        for _ in range(500):
            await pilot.pause(0.01)
            if app.model.failure:
                break
        assert "this run has no backup" in app.model.failure


async def test_the_footer_offers_only_what_can_be_done_now(tmp_path: Path) -> None:
    app, go = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert {"run_step", "run_all"} <= offered(app)
        assert "stop" not in offered(app)
        await pilot.press("r")
        await until_running(app, pilot)
        await pilot.pause()
        assert "stop" in offered(app)
        assert not {"run_step", "run_all"} & offered(app)
        go.set()
        await until_idle(app, pilot)


async def test_an_observer_changes_nothing(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True, findings=(quarantine(),))
    app.model.observe = True
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        assert not app.model.records
        await pilot.press("f", "a")
        await pilot.pause()
        assert isinstance(app.screen, FindingsScreen)
        assert app.model.waiting_findings == 1


async def test_colours_change_and_the_words_stay(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        before = cells(app)
        seen = []
        for _ in THEMES:
            await pilot.press("f2")
            await pilot.pause()
            app.draw()
            seen.append(app.theme)
            assert cells(app) == before
        assert sorted(seen) == sorted(THEMES)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_data_is_shown_literally_on_every_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(
        tmp_path,
        findings=(quarantine(HOSTILE),),
        go=True,
        done=("preflight", "backup"),
        site="a [b] [" + "/c]".replace("/", "∕"),
    )
    app.place.reports.mkdir()
    (app.place.reports / "report.md").write_text(HOSTILE, errors="backslashreplace")
    app.place.log.write_text(HOSTILE + "\n", errors="backslashreplace")
    app.health.look = lambda name, _settings: Probe(name, HOSTILE, 1.0, {HOSTILE: HOSTILE, "version": HOSTILE})
    screens: dict[str, object] = {
        "f": FindingsScreen, "l": LogScreen, "f1": HelpScreen, "o": ReportScreen,
        "enter": PhaseScreen, "b": RollbackScreen,
    }  # fmt: skip
    async with app.run_test(size=size, notifications=True) as pilot:
        app.tell(HOSTILE)
        app.model.failure = HOSTILE
        app.model.waiting = HOSTILE
        app.model.plans["documentation"] = (HOSTILE,)
        app.model.progress = Progress(HOSTILE, 1, 2, figures={HOSTILE: HOSTILE})
        app.model.running = ("documentation", Verb.RUN)
        app.model.seen.append(("warning", HOSTILE, HOSTILE))
        app.refresh_screens()
        for key, screen in screens.items():
            await pilot.press(key)
            app.draw()
            await pilot.pause()
            assert type(app.screen) is screen
            everything = "\n".join(str(w.content) for w in app.screen.query(Static))
            assert "\x1b" not in everything
            assert "\u202e" not in everything
            if key in ("f", "o", "enter"):
                assert "[/] [red]x[/red] see [/etc/passwd]" in everything
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, ChecklistScreen)


async def test_no_thread_is_left_when_it_is_closed(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
        await until_idle(app, pilot)
    assert "engine" not in {t.name for t in threading.enumerate()}


async def test_the_interface_opens_on_the_site_of_its_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / ".state").mkdir(parents=True)
    monkeypatch.setenv("CANSWARM_SITE__ROOT", str(tmp_path / "another"))
    seen: list[SwarmApp] = []
    monkeypatch.setattr(SwarmApp, "run", lambda app, **_: seen.append(app))
    flags = {"site.root": str(tmp_path / "site"), "state_dir": str(tmp_path / "state")}
    assert open_app(None, flags, observe=False, preferences=Preferences()) == 0
    assert seen[0].settings.site.root == tmp_path / "site"
    assert (tmp_path / "state" / "sites").is_dir()


async def test_the_cursor_passes_over_headings_both_ways_and_the_first_one_stays_in_sight(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        table = app.screen.query_one("#items", DataTable)
        headings = [n for n, key in enumerate(table.rows) if str(key.value).startswith("group:")]
        for key in ("up", *["down"] * 40, *["up"] * 40, "end", "home", "pagedown", "pageup"):
            await pilot.press(key)
            await pilot.pause()
            assert table.cursor_row not in headings
        assert (table.cursor_row, table.scroll_offset.y) == (1, 0)


async def test_a_tall_terminal_tells_of_the_item_under_the_cursor_and_a_low_one_keeps_its_rows(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.1)
        about = app.screen.query_one("#about", Static)
        table = app.screen.query_one("#items", DataTable)
        for title in ("What it does", "How it is proved", "The way back"):
            assert title in str(about.content)
        before = str(about.content)
        await pilot.press("down")
        await pilot.pause()
        assert str(about.content) != before
        assert table.region.height == table.virtual_size.height
        for height, told in ((24, False), (60, True)):
            await pilot.resize_terminal(120, height)
            await pilot.pause(0.1)
            assert about.display is told
        assert "Findings" in str(about.content)
