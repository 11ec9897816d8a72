"""Every key of a phase screen, what is peculiar to each phase, and the limit that is turned while something runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.checklist import STEPS
from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.live import write_live
from canswarm_tui.engine.lock import hold_run
from canswarm_tui.engine.probe import Probe
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Progress, Verb, Verdict
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.screens.opened import screen_of
from canswarm_tui.screens.phase import PhaseScreen
from canswarm_tui.screens.rate import RateScreen
from canswarm_tui.screens.rego import RegoScreen
from canswarm_tui.theme import SIGNS
from canswarm_tui.widgets.live import PHASE_SERVERS
from canswarm_tui.widgets.step_words import WORDS
from tests.interface.fakes import HOSTILE, make_app, quarantine
from tests.interface.phases import CONFLICT, PHASES, fill_journal
from tests.interface.test_interface import offered, text_of, until_idle, until_running

pytestmark = pytest.mark.asyncio
BEFORE = ("preflight", "backup")


async def opened(pilot: Pilot[int], step: str) -> SwarmApp:
    app = cast("SwarmApp", pilot.app)
    app.push_screen(PhaseScreen(step))
    await pilot.pause()
    app.draw()
    return app


async def until(app: SwarmApp, pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        app.draw()
        if holds():
            return
    raise AssertionError("it does not come")


@pytest.mark.parametrize("step", PHASES)
async def test_each_phase_shows_what_is_peculiar_to_it_and_no_figure_twice(tmp_path: Path, step: str) -> None:
    app, _ = make_app(tmp_path)
    fill_journal(app.place, step)
    async with app.run_test(size=(120, 40)) as pilot:
        app.model.read(elsewhere=False)
        await opened(pilot, step)
        expected = PHASES[step]
        await until(app, pilot, lambda: all(words in text_of(app, "#peculiar") for words in expected))
        rest = text_of(app, "#outcome") + text_of(app, "#verdict")
        record = app.model.record(step)
        assert record.outcome is not None
        figures = {**record.outcome.figures, **(record.verdict.figures if record.verdict else {})}
        part = text_of(app, "#peculiar")
        assert not [name for name in figures if f"\n  {name} " in part and f"\n  {name} " in rest]


async def test_before_anything_has_run_only_what_can_be_done_is_offered(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        assert {"run_step", "plan", "findings", "log", "type_limit"} <= offered(app)
        assert not {"stop", "verify_step", "undo_step", "conflicts", "rego", "slower", "faster"} & offered(app)
        assert "no limit" in text_of(app, "#live")


async def test_a_policy_offers_its_rego_and_no_limit_that_it_would_not_obey(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "policy-opa")
        assert not {"slower", "faster", "type_limit"} & offered(app)
        assert "limit" not in text_of(app, "#live")
        await pilot.press("f6", "g")
        await pilot.pause()
        assert isinstance(app.screen, RegoScreen)
        assert app.engine.limit.records_s is None


async def test_run_stop_resume_verify_and_undo(tmp_path: Path) -> None:
    app, go = make_app(tmp_path, done=BEFORE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        await pilot.press("r")
        await until_running(app, pilot)
        await until(app, pilot, lambda: "stop" in offered(app))
        assert not {"run_step", "verify_step", "undo_step", "plan"} & offered(app)
        await pilot.press("s")
        await pilot.pause()
        app.draw()
        assert "Stopping" in text_of(app, "#live") or not app.engine.busy
        await until_idle(app, pilot)
        assert "stopped" in text_of(app, "#state")
        go.set()
        await pilot.press("r")
        await until_idle(app, pilot)
        assert "proved" in text_of(app, "#state")
        before = app.model.record("decisions").verdict_at
        await pilot.press("v")
        await until_idle(app, pilot)
        assert app.model.record("decisions").verdict_at != before
        await pilot.press("u")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        app.screen.query_one("#typed", Input).value = "site"
        await pilot.pause()
        app.screen.query_one("#agree", Button).press()
        await until(app, pilot, lambda: app.engine.busy or app.model.record("decisions").state is StepState.UNDONE)
        await until_idle(app, pilot)
        assert app.model.record("decisions").state is StepState.UNDONE


async def test_the_plan_the_findings_and_the_log_open(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE, findings=(quarantine(),))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        await pilot.press("p")
        await until_idle(app, pilot)
        assert "do what a test wants" in text_of(app, "#plan")
        for key, screen in (("f", FindingsScreen), ("l", LogScreen)):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, screen)
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, PhaseScreen)


async def test_c_opens_the_conflicts_where_there_are_some(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE, findings=(CONFLICT,))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        assert "conflicts" in offered(app)
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, ConflictScreen)


async def test_the_limit_is_turned_while_it_runs_and_stays_for_the_next_run(tmp_path: Path) -> None:
    app, go = make_app(tmp_path, done=BEFORE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        await pilot.press("r")
        await until_running(app, pilot)
        assert "no limit" in text_of(app, "#live")
        await pilot.press("f6")
        await until(app, pilot, lambda: "limit 20/s" in text_of(app, "#live"))  # below the 50/s that it has
        await pilot.press("f7", "f7")
        await until(app, pilot, lambda: "limit 100/s" in text_of(app, "#live"))
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, RateScreen)
        await pilot.press(*"fast", "enter")
        await pilot.pause()
        assert "write records a second" in text_of(app, "#hint")
        app.screen.query_one(Input).value = "1,234"
        await pilot.press("enter")
        await until(app, pilot, lambda: isinstance(app.screen, PhaseScreen) and "1,234/s" in text_of(app, "#live"))
        assert app.engine.limit.records_s == 1234
        go.set()
        await until_idle(app, pilot)
        assert "limit 1,234/s" in text_of(app, "#live")
        await pilot.press("x")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert app.engine.limit.records_s == 1234
        await pilot.press("x")
        await pilot.pause()
        await pilot.press(*"off", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, PhaseScreen) and "no limit" in text_of(app, "#live"))


async def test_the_limit_of_a_run_of_another_process_is_shown_and_asked_to_be_turned(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    progress = Progress("copying", 5, 10, rate=800.0, limit_records_s=1000.0)
    write_live(app.place.live, "decisions", Verb.RUN, progress)
    with hold_run(app.settings.site.require_root() / ".state", ()):
        async with app.run_test(size=(80, 24)) as pilot:
            await opened(pilot, "decisions")
            await until(app, pilot, lambda: "limit 1,000/s" in text_of(app, "#live"))
            await pilot.press("f6")
            await pilot.pause()
            await pilot.press("x")
            await pilot.pause()
            await pilot.press(*"off", "enter")
            await pilot.pause()
    journal = Journal.join(app.place.journal)
    asked = journal.take_requests()
    journal.close()
    assert [(what, data["records_s"]) for what, data in asked] == [("rate", 500.0), ("rate", None)]
    assert app.engine.limit.records_s is None


async def test_a_bound_of_bytes_from_the_settings_is_shown_and_stays(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    app.engine.limit.turn(None, 10.0 * 2**20)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        assert "limit 10.0 MiB/s" in text_of(app, "#live")
        await pilot.press("x")
        await pilot.pause()
        await pilot.press(*"500", "enter")
        await until(
            app, pilot, lambda: isinstance(app.screen, PhaseScreen) and "500/s and 10.0 MiB/s" in text_of(app, "#live")
        )


async def test_an_observer_turns_nothing(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    app.model.observe = True
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        await pilot.press("f6")
        await pilot.pause()
        assert app.engine.limit.records_s is None


async def test_only_the_servers_of_the_phase_are_shown_and_trouble_comes_first(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    away = Unreachable("etcd", "no answer", "start it")
    app.health.look = lambda name, _settings: Probe(name, "", 1.0, error=away if name == "etcd" else None)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        await until(app, pilot, lambda: text_of(app, "#health").startswith("✗ etcd no answer"))
        assert "✓ redis" in text_of(app, "#health")
        assert not any(name in text_of(app, "#health") for name in ("nats", "minio", "ipfs", "opa"))
    assert set(PHASE_SERVERS) >= set(PHASES)


async def test_why_it_waits_the_retries_and_an_unknown_time_left_are_said(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=BEFORE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        app.model.running = ("decisions", Verb.RUN)
        app.model.progress = Progress("copying", 5, None, waiting="held back by the rate limit")
        app.model.waiting, app.model.retries = "held back by the rate limit", 3
        app.refresh_screens()
        app.draw()
        live = text_of(app, "#live")
        assert "time left unknown" in live
        assert "retries 3" in live
        assert "Waiting: held back by the rate limit" in live


async def test_the_output_of_v1s_tests_is_followed_while_they_run(tmp_path: Path) -> None:
    app, go = make_app(tmp_path, done=("preflight",))
    output = app.place.folder / "v1-tests.log"
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "v1-tests")
        await pilot.press("r")
        await until_running(app, pilot)
        output.write_text("test_one PASSED\n")
        await until(app, pilot, lambda: "test_one PASSED" in text_of(app, "#peculiar"))
        with output.open("a") as file:
            file.write("".join(f"line {n}\n" for n in range(5000)) + HOSTILE + "\n")
        await until(app, pilot, lambda: "[/] [red]x[/red]" in text_of(app, "#peculiar"))
        assert "test_one" not in text_of(app, "#peculiar")
        assert str(output) in text_of(app, "#peculiar")
        go.set()
        await until_idle(app, pilot)


@pytest.mark.parametrize("step", PHASES)
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_data_is_shown_literally_in_every_phase(tmp_path: Path, step: str, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    (app.place.folder / "v1-tests.log").write_text(HOSTILE, errors="backslashreplace")
    figures = dict.fromkeys((HOSTILE, "heads", "folder", "command", "output", "document bytes", "CIDs returned",
                             "blobs empty", "allow, OPA", "allow, WASM"), HOSTILE)  # fmt: skip
    figures["document bytes"] = "7"
    journal = Journal.join(app.place.journal)
    one = journal.step(step)
    one.set_state(
        StepState.NEEDS_ATTENTION, outcome=Outcome(summary=HOSTILE, figures=figures),
        verdict=Verdict((Comparison(f"tasks {HOSTILE}", HOSTILE, 2, 1),), 1, HOSTILE, figures), error=HOSTILE,
    )  # fmt: skip
    journal.step("preflight").set_fact("inventory", {f"blobs {name}": HOSTILE for name in ("empty", "larger")})
    one.set_fact("files", {HOSTILE[:60]: "x"})
    hostile = Finding("x", Level.WARNING, Kind.CONFLICT, HOSTILE, HOSTILE, HOSTILE, {"site": HOSTILE, "target": "y"})
    one.add_finding(Verb.RUN, one.note(Verb.RUN, "started"), (hostile,))
    journal.close()
    async with app.run_test(size=size) as pilot:
        app.model.read(elsewhere=False)
        await opened(pilot, step)
        app.model.plans[step] = (HOSTILE,)
        app.refresh_screens()
        await pilot.pause(0.2)
        app.draw()
        everything = "\n".join(str(w.content) for w in app.screen.query(Static))
        assert "\x1b" not in everything
        assert "\u202e" not in everything
        assert "[/] [red]x[/red] see [/etc/passwd]" in everything
    assert "engine" not in {t.name for t in threading.enumerate()}


@pytest.mark.parametrize("step", [s.name for s in STEPS if s.name not in ("preflight", "verification")])
async def test_a_step_tells_before_it_runs_what_it_does_and_afterwards_the_way_back(tmp_path: Path, step: str) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(screen_of(step))
        await pilot.pause()
        words = WORDS[step]
        assert all(one in text_of(app, "#before") for one in (words.does, words.proof, words.back))
        assert text_of(app, "#back") == ""
        journal = Journal.join(app.place.journal)
        journal.step(step).set_state(StepState.DONE, outcome=Outcome(created=1))
        journal.close()
        app.model.read(elsewhere=False)
        app.refresh_screens()
        app.draw()
        assert text_of(app, "#before") == ""
        assert words.back in text_of(app, "#back")


@pytest.mark.parametrize("step", ["blobs-ipfs", "decisions", "plan-store", "policy-opa", "policy-wasm"])
async def test_no_tick_stands_for_what_was_written_to_or_undone_since(tmp_path: Path, step: str) -> None:
    app, _ = make_app(tmp_path)
    fill_journal(app.place, step, state=StepState.PROVED)
    async with app.run_test(size=(120, 40)) as pilot:
        app.model.read(elsewhere=False)
        await opened(pilot, step)

        def ticks() -> set[str]:
            app.model.read(elsewhere=False)
            app.refresh_screens()
            app.draw()
            parts = ("#peculiar", "#verdict")
            return {line for part in parts for line in text_of(app, part).splitlines() if SIGNS["proved"] in line}

        before = ticks()
        assert before
        journal = Journal.join(app.place.journal)
        journal.step(step).mark_write()
        journal.close()
        stale = ticks()
        assert stale <= {line for line in before if "hash to their names" in line}, "MinIO was read whole then"
        assert "verify again" in text_of(app, "#verdict")
        journal = Journal.join(app.place.journal)
        journal.step(step).set_state(StepState.UNDONE, outcome=Outcome(removed=3, summary="3 removed"))
        journal.close()
        assert not ticks()
        assert text_of(app, "#verdict") == text_of(app, "#back") == ""


async def test_a_plan_is_forgotten_when_a_run_or_an_undo_begins(tmp_path: Path) -> None:
    app, go = make_app(tmp_path, done=BEFORE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "decisions")
        await pilot.press("p")
        await until_idle(app, pilot)
        assert "A run would" in text_of(app, "#plan")
        await pilot.press("r")
        await until_running(app, pilot)
        go.set()
        await until_idle(app, pilot)
        assert text_of(app, "#plan") == ""
