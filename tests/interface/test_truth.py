"""What the interface says where it can't know, where work failed or was stopped, and where it only looks on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from textual.message import Message

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine import probe
from canswarm_tui.engine.errors import Blocked, ExitCode
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.probe import Probe
from canswarm_tui.engine.runner import Runner, RunResult
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Verb
from canswarm_tui.health import HealthSeen, HealthWatch
from canswarm_tui.screens.quit import QuitScreen
from tests.interface.fakes import make_app
from tests.interface.test_interface import cells, text_of, until_idle, until_running


def asks(app: SwarmApp) -> bool:
    return isinstance(app.screen, QuitScreen)


def leaving(app: SwarmApp) -> int | None:
    return app._leaving


@pytest.mark.asyncio
async def test_a_journal_that_can_not_be_read_is_no_migration_that_never_began(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=("preflight",))
    with sqlite3.connect(app.place.journal) as db:
        db.execute("UPDATE setup SET value = '99' WHERE name LIKE '%version%'")
        db.execute("PRAGMA user_version = 99")
    db.close()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert set(cells(app).values()) <= {"", "unknown", "unknown — next", "not available yet"}
        assert "The journal can't be read" in text_of(app, "#live")


@pytest.mark.asyncio
async def test_what_ended_the_last_work_stays_until_the_next_begins(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)

    def fail(_runner: Runner) -> RunResult:
        raise Blocked("somewhere", "it can't be had", "do this")

    async with app.run_test(size=(80, 24)) as pilot:
        app.begin(fail)
        await until_idle(app, pilot)
        app.draw()
        assert "it can't be had" in text_of(app, "#live")
        app.begin(lambda _runner: RunResult(ExitCode.DONE, 0))
        await until_idle(app, pilot)
        app.draw()
        assert "it can't be had" not in text_of(app, "#live")


@pytest.mark.asyncio
async def test_work_that_has_said_nothing_yet_can_be_stopped_and_nothing_else_begins(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    stopped: list[bool] = []

    def wait(runner: Runner) -> RunResult:
        stopped.append(runner.stop.wait(20))
        return RunResult(ExitCode.DONE, 0)

    async with app.run_test(size=(80, 24)) as pilot:
        app.begin(wait)
        await pilot.pause()
        app.draw()
        assert "Nothing runs" not in text_of(app, "#live")
        assert not app.model.can_begin
        await pilot.press("s")
        await until_idle(app, pilot)
    assert stopped == [True]


@pytest.mark.asyncio
async def test_an_observer_stops_nothing(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    app.model.observe = app.model.elsewhere = True
    app._runs_elsewhere = lambda: True  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        app.ask_to_stop()
        assert not app.model.can_stop
        assert not app.model.stopping
    journal = Journal.join(app.place.journal)
    assert list(journal.take_requests()) == []
    journal.close()


@pytest.mark.asyncio
async def test_a_run_of_another_state_folder_can_not_be_asked_to_stop_and_that_is_told(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    app.place.journal.unlink()
    app._runs_elsewhere = lambda: True  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        app.ask_to_stop()
        await pilot.pause()
        assert app.failure is None
        assert any("can't be asked to stop" in toast.message for toast in app._notifications)
        assert not app.model.stopping


@pytest.mark.asyncio
async def test_stay_takes_back_a_leave_that_was_asked_for(tmp_path: Path) -> None:
    app, go = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
        await until_running(app, pilot)
        app._leaving = 4
        await pilot.press("q")
        await pilot.pause()
        assert asks(app)
        await pilot.press("escape")
        await pilot.pause()
        assert leaving(app) is None
        await pilot.press("q")
        await pilot.pause()
        go.set()
        await until_idle(app, pilot)
        await pilot.pause()
        assert not asks(app)  # nothing runs any more, so it asks nothing
        assert app.return_value is None


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_step_that_runs_is_running_whatever_was_heard_last(tmp_path: Path, elsewhere: bool) -> None:
    app, _ = make_app(tmp_path, done=("blobs-minio",))
    journal = Journal.join(app.place.journal)
    journal.step("decisions").set_state(StepState.RUNNING)
    journal.close()
    app.model.read(elsewhere=elsewhere)
    app.model.running = ("blobs-minio", Verb.VERIFY)
    assert app.model.state_of("decisions") == ("running", "")
    app.model.idle()
    app.model.read(elsewhere=False)
    assert app.model.state_of("decisions")[0] == "stopped"


@pytest.mark.asyncio
async def test_a_look_that_nobody_foresaw_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(_settings: Settings) -> dict[str, int]:
        raise AttributeError("a list has no get")

    monkeypatch.setattr(probe, "_LOOKS", {name: (lambda _settings: "somewhere", broken) for name in probe._LOOKS})
    seen: list[Probe] = []

    def post(message: Message) -> bool:
        assert isinstance(message, HealthSeen)
        seen.append(message.seen)
        return True

    watch = HealthWatch(Settings(state_dir=tmp_path), post)
    watch.start()
    for _ in range(200):
        if len(seen) >= len(probe.SERVERS):
            break
        await asyncio.sleep(0.02)
    watch.end()
    assert [str(one.error and one.error.happened) for one in seen] == ["a mistake of ours (AttributeError)"] * len(seen)
    assert len(seen) == len(probe.SERVERS)
