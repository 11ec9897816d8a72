"""Pictures of each phase before, while it runs, while it waits, done and when it needs a person; conflicts and Rego."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.journal import StepState
from canswarm_tui.engine.step import Progress, Verb
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.phase import PhaseScreen
from canswarm_tui.screens.rate import RateScreen
from canswarm_tui.screens.rego import RegoScreen
from tests.interface.fakes import make_app, quarantine
from tests.interface.phases import CONFLICT, PHASES, fill_before, fill_journal
from tests.snap.stillness import still
from tests.snap.test_screens import SIZES, _settled

pytestmark = pytest.mark.snapshot
STATES = ("before", "running", "waiting", "done", "attention")
SIZE_PARAMETERS = pytest.mark.parametrize("size", [pytest.param(size, id=name) for name, size in SIZES.items()])
_DOING = {"blobs-ipfs": "reading back from IPFS", "plan-store": "writing", "policy-opa": "asking OPA",
          "policy-wasm": "asking WASM", "documentation": "copying the audit log", "v1-tests": "testing"}  # fmt: skip
_WAITS = {"v1-tests": "the operator's command runs"}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that moves by itself, one moment for all, and paths that are the same on every machine."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(time, "strftime", lambda *_: "11-23 21:00")


def _app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SwarmApp:
    app, _ = make_app(tmp_path)
    monkeypatch.chdir(app.place.folder.parent)
    app.place.folder.rename("state")
    app.place = app.model.place = type(app.place)(Path("state"))
    return app


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", PHASES)
@SIZE_PARAMETERS
def test_phase(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    step: str,
    state: str,
) -> None:
    app = _app(tmp_path, monkeypatch)
    if state in ("done", "attention"):
        ends = StepState.PROVED if state == "done" else StepState.NEEDS_ATTENTION
        fill_journal(app.place, step, state=ends, trouble=state == "attention")
    else:
        fill_before(app.place, step)

    async def open_phase(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        app.push_screen(PhaseScreen(step))
        await pilot.pause()
        if state in ("running", "waiting"):
            _run(app, step, waiting=state == "waiting")
        if state == "done":
            await _peculiar_part_read(app, pilot)
        app.refresh_screens()
        app.draw()
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=open_phase)


async def _peculiar_part_read(app: SwarmApp, pilot: Pilot[int]) -> None:
    """It is read in a thread."""
    for _ in range(300):
        await pilot.pause(0.01)
        if str(app.screen.query_one("#peculiar", Static).content):
            break


def _run(app: SwarmApp, step: str, *, waiting: bool) -> None:
    app.model.running = (step, Verb.RUN)
    doing = _DOING.get(step, "copying")
    figures = {"created": 41_190, "already there": 8, "conflicts": 2} if doing == "copying" else {}
    app.model.progress = Progress(doing, 41_200, 100_000, 42 << 20, None, 8_240.0, 7.1, "", figures)
    app.model.rates.extend([2000, 4000, 8000, 8200, 8300, 8240])
    if doing == "copying":
        app.engine.limit.turn(10_000.0, None)
        app.model.seen.append(("warning", "need-7", CONFLICT.happened))
    if waiting:
        app.model.progress = replace(app.model.progress, rate=None, eta_s=None, total=None)
        app.model.retries = 3
        app.model.waiting = _WAITS.get(step, "trying again in 3.2 s (attempt 3): the server gives no answer")


@SIZE_PARAMETERS
def test_conflict(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = _app(tmp_path, monkeypatch)
    fill_journal(app.place, "decisions", state=StepState.NEEDS_ATTENTION, trouble=True)

    async def open_conflict(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        app.push_screen(ConflictScreen("decisions"))
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_conflict)


@SIZE_PARAMETERS
def test_rego(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = _app(tmp_path, monkeypatch)
    fill_journal(app.place, "policy-opa")

    async def open_rego(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        app.push_screen(RegoScreen("policy-opa"))
        for _ in range(300):
            await pilot.pause(0.01)
            if "reasons" in str(app.screen.query_one("#rego", Static).content):
                break
        await pilot.press(*["down"] * 6)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_rego)


@SIZE_PARAMETERS
def test_typing_a_limit(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = _app(tmp_path, monkeypatch)

    async def type_limit(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.push_screen(PhaseScreen("decisions"))
        await pilot.pause()
        app.push_screen(RateScreen(500.0))
        await pilot.press(*"fast", "enter")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=type_limit)


@SIZE_PARAMETERS
def test_thousands_of_findings_searched(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path, findings=tuple(quarantine(f"key-{n:05}") for n in range(900)))
    monkeypatch.chdir(tmp_path)

    async def search(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.push_screen(FindingsScreen())
        await pilot.pause()
        await pilot.press("n", "s", *"key-0012")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=search)
