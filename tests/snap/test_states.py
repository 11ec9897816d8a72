"""Pictures of every state of an item, of the dialogs, of an observer, of empty lists, and of the largest terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.lock import hold_run
from canswarm_tui.engine.place import Place
from canswarm_tui.engine.step import Outcome, Progress, Verb
from canswarm_tui.screens import about
from canswarm_tui.screens.about import AboutScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.peer import PeerScreen
from canswarm_tui.screens.phase import PhaseScreen
from canswarm_tui.screens.quit import QuitScreen
from canswarm_tui.screens.reason import ReasonScreen
from tests.interface.fakes import make_app, quarantine
from tests.interface.phases import CONFLICT, fill_before, fill_journal
from tests.snap.stillness import still
from tests.snap.test_phases import _app, _run
from tests.snap.test_screens import SIZES, _settled

pytestmark = pytest.mark.snapshot
LARGEST = {**SIZES, "200x60": (200, 60)}
SIZE_PARAMETERS = pytest.mark.parametrize("size", [pytest.param(size, id=name) for name, size in SIZES.items()])
ALL_SIZES = pytest.mark.parametrize("size", [pytest.param(size, id=name) for name, size in LARGEST.items()])
STATES = {
    "preflight": StepState.DONE, "backup": StepState.PROVED, "documentation": StepState.PROVED,
    "v1-tests": StepState.SKIPPED, "plan-store": StepState.STOPPED, "decisions": StepState.NEEDS_ATTENTION,
    "blobs-minio": StepState.PROVED, "policy-opa": StepState.UNDONE,
}  # fmt: skip
NO_ANSWER = "etcd http://10.0.0.2:2379: no answer within 5 s. Check that etcd runs there"


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that moves by itself, and one moment for all."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(time, "strftime", lambda *_: "11-23 21:00")


def fill_states(place: Place) -> None:
    """A step in each state that a journal knows; blobs-ipfs is left to run."""
    journal = Journal.join(place.journal)
    for name, state in STATES.items():
        error = NO_ANSWER if state is StepState.STOPPED else None
        journal.step(name).set_state(state, outcome=Outcome(created=9, summary="9 copied"), error=error)
    decisions = journal.step("decisions")
    decisions.add_finding(Verb.RUN, decisions.note(Verb.RUN, "started"), (CONFLICT, quarantine()))
    journal.close()


async def every_state(app: SwarmApp, pilot: Pilot[int]) -> None:
    await _settled(pilot)
    app.model.read(elsewhere=False)
    app.model.running = ("blobs-ipfs", Verb.RUN)
    app.model.progress = Progress("copying", 41_200, 100_000, 42 << 20, None, 8_240.0, 7.1, "", {})
    app.model.rates.extend([2000, 4000, 8000, 8200, 8300, 8240])
    app.refresh_screens()
    app.draw()
    await pilot.pause()


@ALL_SIZES
def test_a_checklist_of_every_state(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    fill_states(app.place)
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: every_state(app, pilot))


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light", "swarm-light", "NO_COLOR"])
def test_every_state_in_other_colours(
    snap_compare: Callable[..., bool], tmp_path: Path, theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if theme == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    app, _ = make_app(tmp_path)
    fill_states(app.place)

    async def coloured(pilot: Pilot[int]) -> None:
        if theme != "NO_COLOR":
            app.theme = theme
        await every_state(app, pilot)

    assert snap_compare(app, terminal_size=SIZES["80x24"], run_before=coloured)


@pytest.mark.parametrize("state", ["stopping", "stopped", "undone", "older"])
@SIZE_PARAMETERS
def test_a_phase_that_was_stopped_undone_or_written_to_since(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    state: str,
) -> None:
    app = _app(tmp_path, monkeypatch)
    step = "decisions"
    if state == "stopping":
        fill_before(app.place, step)
    else:
        fill_journal(app.place, step, state=StepState.PROVED)
        journal = Journal.join(app.place.journal)
        if state == "older":
            journal.step(step).mark_write()
        else:
            outcome = Outcome(removed=9990, summary="9,990 decisions that this run had created were removed from etcd")
            ends = StepState.STOPPED if state == "stopped" else StepState.UNDONE
            journal.step(step).set_state(
                ends, outcome=outcome if state == "undone" else None, error=NO_ANSWER if state == "stopped" else None
            )
        journal.close()

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        app.push_screen(PhaseScreen(step))
        await pilot.pause()
        if state == "stopping":
            _run(app, step, waiting=False)
            app.model.stopping = True
        app.refresh_screens()
        app.draw()
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)


@pytest.mark.parametrize("step", ["decisions", "policy-opa"])
def test_a_phase_on_the_largest_terminal(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    app = _app(tmp_path, monkeypatch)
    fill_journal(app.place, step, state=StepState.NEEDS_ATTENTION, trouble=True)

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        app.push_screen(PhaseScreen(step))
        await pilot.pause()
        _run(app, step, waiting=False)
        app.refresh_screens()
        app.draw()
        await still(pilot)

    assert snap_compare(app, terminal_size=LARGEST["200x60"], run_before=opened)


DIALOGS: dict[str, Callable[[], Screen[Any]]] = {
    "quit": lambda: QuitScreen(),
    "reason": lambda: ReasonScreen("need-7", "Put the site's value of {} in place of the target's, which is kept."),
    "peer": lambda: PeerScreen(),
    "run-all": lambda: ConfirmScreen("Run every pending step, from preflight to verification, without stopping?"),
}  # fmt: skip


@pytest.mark.parametrize("dialog", list(DIALOGS))
@SIZE_PARAMETERS
def test_dialogs(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], dialog: str) -> None:
    app, _ = make_app(tmp_path)

    async def asked(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.push_screen(DIALOGS[dialog]())
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=asked)


@SIZE_PARAMETERS
def test_an_observer(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    fill_states(app.place)
    with hold_run(app.settings.site.require_root() / ".state", ()):
        assert snap_compare(app, terminal_size=size, run_before=_settled)


@SIZE_PARAMETERS
def test_no_findings_and_a_message(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.push_screen(FindingsScreen())
        await pilot.pause()
        app.tell("given to the terminal's clipboard, and saved in state/findings.txt")
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)


@SIZE_PARAMETERS
def test_rollback_without_a_backup(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("b")
        await app.workers.wait_for_complete()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=opened)


@SIZE_PARAMETERS
def test_about(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = SimpleNamespace(python_version=lambda: "3.11.7", system=lambda: "Linux", release=lambda: "6.1.0")
    monkeypatch.setattr(about, "platform", machine)
    monkeypatch.setattr(about, "version", lambda _name: "8.0.0")
    monkeypatch.setattr(about, "__version__", "1.0.0")
    monkeypatch.setattr(about, "preferences_file", lambda: Path("/home/operator/.config/canswarm-tui/interface.toml"))
    app, _ = make_app(tmp_path)
    root, state = Path("/srv/swarm"), Path("/home/operator/.local/state/canswarm-tui")

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        site = app.settings.site.model_copy(update={"root": root})
        app.settings = app.settings.model_copy(update={"site": site, "state_dir": state})
        app.place = type(app.place)(state / "sites" / "swarm-4f2a91c0")
        app.push_screen(AboutScreen())
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=opened)
