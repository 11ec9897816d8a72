"""Pictures of the opened preflight: before, while its checks come out, stopped, blocked, and with what it found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
from textual.pilot import Pilot

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.backup.contents import Contents, PartHeld, contents_of
from canswarm_tui.engine.backup.manifest import Manifest, PlanCopy, Skipped
from canswarm_tui.engine.checks import FACT, TITLES, Checked
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Progress, Verb, Verdict
from canswarm_tui.screens import backup
from canswarm_tui.screens.backup import BackupScreen
from canswarm_tui.screens.preflight import PreflightScreen
from tests.interface.phases import fill_preparation
from tests.snap.stillness import still
from tests.snap.test_phases import SIZE_PARAMETERS, _app, _still
from tests.snap.test_screens import _settled

__all__ = ["_still"]
pytestmark = pytest.mark.snapshot
STATES = ("before", "running", "stopped", "blocked", "done")
MADE = {"before": 0, "running": 6, "stopped": 6}
OTHERS = (
    pytest.param("ansi-dark", (80, 24), id="80x24-ansi-dark"),
    pytest.param("swarm-light", (120, 40), id="120x40-swarm-light"),
    pytest.param("ansi-light", (200, 60), id="200x60-ansi-light"),
)
BLOCKS = Finding(
    "target.unreachable", Level.BLOCKER, Kind.CONDITION, "IPFS (Kubo) http://127.0.0.1:5001", "nothing answers there",
    "start Kubo, or set ipfs.api; then make this check again", {"blocks": "blobs-ipfs", "check": "ipfs"},
)  # fmt: skip


def _fill(app: SwarmApp, state: str) -> None:
    if state == "before":
        return
    fill_preparation(app.place)
    journal = Journal.join(app.place.journal)
    one = journal.step("preflight")
    names = list(TITLES)[: MADE.get(state, len(TITLES))]
    blocked = state == "blocked"
    made = {
        n: Checked(n, 1e9, 0.4, int(blocked and n == "ipfs"), int(n == "content"), 2 * (n == "disk")) for n in names
    }
    one.set_fact(FACT, {name: came.as_fact() for name, came in made.items()})
    if blocked:
        one.add_finding(Verb.RUN, one.note(Verb.RUN, "started"), (BLOCKS,))
        one.set_state(StepState.NEEDS_ATTENTION, outcome=Outcome(created=17, summary="3 threads; 1 blockers"))
    elif state != "done":
        one.set_state(StepState.RUNNING)
    journal.close()


async def _open(app: SwarmApp, pilot: Pilot[int], state: str) -> None:
    await _settled(pilot)
    app.model.read(elsewhere=False)
    if state == "running":
        app.model.running = ("preflight", Verb.RUN)
        app.model.progress = Progress(TITLES["audit"], 6, 17)
    await app.push_screen(PreflightScreen())
    await app.workers.wait_for_complete()
    await still(pilot)
    app.refresh_screens()
    app.draw()
    await _settled(pilot)


@pytest.mark.parametrize("state", STATES)
@SIZE_PARAMETERS
def test_preflight(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    state: str,
) -> None:
    app = _app(tmp_path, monkeypatch)
    _fill(app, state)

    async def opened(pilot: Pilot[int]) -> None:
        await _open(app, pilot, state)

    assert snap_compare(app, run_before=opened, terminal_size=size)


@pytest.mark.parametrize(("theme", "size"), OTHERS)
def test_preflight_in_other_colours(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    theme: str,
    size: tuple[int, int],
) -> None:
    app = _app(tmp_path, monkeypatch)
    _fill(app, "blocked")

    async def opened(pilot: Pilot[int]) -> None:
        app.theme = theme
        await _open(app, pilot, "blocked")

    assert snap_compare(app, run_before=opened, terminal_size=size)


class _OneMoment(datetime):
    """A clock that stands still, for a countdown."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _OneMoment:
        return cls(2026, 11, 24, 12, 0, tzinfo=tz)


HELD = Contents(
    Manifest(
        "/srv/site",
        "127.0.0.1:6379/0",
        "0.1.0",
        "2026-11-24T09:00:00+00:00",
        "2026-12-24T09:00:00+00:00",
        PlanCopy(0o644, 0, 0, 0, "d", "", ()),
        (),
        612,
        380,
        0,
        1_401_000_000,
        24,
        (Skipped("cas:sha256/ab/cd/tmpk2x9", "it may not be read"),),
    ),
    (
        PartHeld("plan", 1, 64),
        PartHeld("cas", 609, 1_400_000_000),
        PartHeld("logs", 1, 812_000),
        PartHeld("env", 1, 300),
    ),
)  # fmt: skip


@pytest.mark.parametrize("state", ["before", "gone", "done", "damaged", "aged"])
@SIZE_PARAMETERS
def test_backup(
    snap_compare: Callable[..., bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    state: str,
) -> None:
    app = _app(tmp_path, monkeypatch)
    monkeypatch.setattr(backup, "datetime", _OneMoment)
    monkeypatch.setattr(backup, "contents_of", lambda folder: contents_of(folder) if state == "gone" else HELD)
    if state != "before":
        fill_preparation(app.place)
    if state == "aged":
        journal = Journal.join(app.place.journal)
        last = journal.step("backup").fact("last")
        assert isinstance(last, dict)
        made = {"created": "2026-10-28T09:00:00+00:00", "keep_until": "2026-11-27T09:00:00+00:00"}
        journal.step("backup").set_fact("last", {**last, **made, "proved_at": "2026-10-28T09:01:00+00:00"})
        journal.close()
    if state == "damaged":
        journal = Journal.join(app.place.journal)
        one = journal.step("backup")
        last = one.fact("last")
        assert isinstance(last, dict)
        one.set_fact("last", {**last, "proved_at": ""})
        fault = Finding("backup.damaged", Level.WARNING, Kind.DIFFERENCE, "cas:sha256/ab/cd/abcd", "its bytes hash to "
                        "something else", "keep it, and make another backup")  # fmt: skip
        one.add_finding(Verb.VERIFY, one.note(Verb.VERIFY, "started"), (fault,))
        proof = Comparison("files and Redis keys in the backup", "by digest", 636, 635)
        one.set_state(
            StepState.NEEDS_ATTENTION, verdict=Verdict((proof,), 1, "612 files and 24 Redis keys read back, 1 fault")
        )
        journal.close()

    async def opened(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.read(elsewhere=False)
        await app.push_screen(BackupScreen())
        for _ in range(3):
            await still(pilot)
            await app.workers.wait_for_complete()
        app.refresh_screens()
        app.draw()
        await _settled(pilot)

    assert snap_compare(app, run_before=opened, terminal_size=size)


@SIZE_PARAMETERS
def test_its_inventory_and_one_check_narrowed(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = _app(tmp_path, monkeypatch)
    _fill(app, "done")

    async def opened(pilot: Pilot[int]) -> None:
        await _open(app, pilot, "done")
        await pilot.press(*["down"] * 5, "enter", "i")
        await _settled(pilot)

    assert snap_compare(app, run_before=opened, terminal_size=size)
