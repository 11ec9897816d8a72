"""No state, level, condition or verdict is told by its colour alone: a word stands there too, mostly with a sign."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.health.facts import Check, CheckVerdict
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding, Kind, Level, Verb
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.guided import GuidedScreen
from canswarm_tui.theme import SIGNS
from canswarm_tui.widgets.guided import VERDICT_SIGNS
from tests.interface.fakes import make_app
from tests.interface.looks import checked, down, guided, looks, refuses
from tests.interface.test_diagnostics import until

pytestmark = pytest.mark.asyncio
STEP = "decisions"


def line_with(app: SwarmApp, words: str) -> str:
    """The first line on the screen that has them, as a terminal without colours shows it."""
    lines = [strip.text for strip in app.screen._compositor.render_strips()]
    return next((line for line in lines if words in line), "")


def is_shown(app: SwarmApp, words: str) -> bool:
    return bool(line_with(app, words))


def says(name: str, verdict: CheckVerdict) -> Callable[[Settings], tuple[Check, ...]]:
    return lambda _settings: (checked(name, verdict, f"of {name}"),)


async def test_no_sign_stands_for_two_states_but_the_one_of_stopping_and_stopped() -> None:
    signs = [*SIGNS.values()]
    assert {name for name, sign in SIGNS.items() if signs.count(sign) > 1} == {"stopping", "stopped"}
    assert len({*VERDICT_SIGNS.values()}) == len(CheckVerdict)


async def test_the_checklist_tells_every_state_by_sign_and_word(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=("preflight", "backup"))
    async with app.run_test(size=(80, 24)) as pilot:
        for state in StepState:
            journal = Journal.join(app.place.journal)
            journal.step(STEP).set_state(state)
            journal.close()
            app.model.read(elsewhere=False)
            app.model.running = (STEP, Verb.RUN) if state is StepState.RUNNING else None
            app.refresh_screens()
            app.draw()
            await pilot.pause()
            word = "ready" if state is StepState.NOT_STARTED else state.value
            line = line_with(app, BY_NAME[STEP].title.split(":")[-1])
            assert line.split()[0].startswith("▸" if "— next" in line else SIGNS[word])
            assert word in line
        assert "blocked" in line_with(app, "MinIO → IPFS")


async def test_findings_tell_level_and_status_in_words(tmp_path: Path) -> None:
    found = tuple(Finding("x.odd", one, Kind.QUARANTINE, f"of {one.value}", "it is odd", "look") for one in Level)
    app, _ = make_app(tmp_path, findings=found)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(FindingsScreen())
        await pilot.pause()
        for level in Level:
            line = line_with(app, f"of {level.value}")
            assert line.split()[0] == level.value
            assert line.split()[1] in ("waiting", "open")


async def test_diagnostics_and_checks_tell_in_words_how_a_server_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        DiagnosticsScreen, "looks", looks(redis=lambda _s: refuses("redis"), nats=lambda _s: down("nats"))
    )
    verdicts = dict(zip(("redis", "nats", "etcd", "minio"), CheckVerdict, strict=True))
    monkeypatch.setattr(GuidedScreen, "guided", guided(**{name: says(name, one) for name, one in verdicts.items()}))
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: "refuses" in line_with(app, " redis") and "down" in line_with(app, " nats"))
        await until(pilot, lambda: "answers" in line_with(app, " etcd"))
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, GuidedScreen))
        for name, verdict in verdicts.items():
            await until(pilot, partial(is_shown, app, f"of {name}"))
            assert f"{VERDICT_SIGNS[verdict]} {verdict.value}" in line_with(app, f"of {name}").replace("  ", " ")
