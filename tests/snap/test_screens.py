"""Pictures of every screen in its states, small and large."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from canswarm_tui.engine.step import Finding, Kind, Level, Progress, Verb
from tests.interface.fakes import make_app, quarantine

pytestmark = pytest.mark.snapshot
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
CONFLICT = Finding(
    "decision.conflict", Level.WARNING, Kind.CONFLICT, "need-7", "etcd already holds something else under this name",
    "compare both values", {"site": '{"proposal_id": "a"}', "target": '{"proposal_id": "b"}'},
)  # fmt: skip
DONE = ("preflight", "backup", "documentation", "blobs-minio")


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that moves by itself: no blinking, and one moment for all."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _self: None)
    monkeypatch.setattr(time, "strftime", lambda *_: "11-23 21:00")


async def _settled(pilot: Pilot[int]) -> None:
    """Until every server has been looked at."""
    for _ in range(500):
        await pilot.pause(0.01)
        if len(pilot.app.model.health) == 7:  # type: ignore[attr-defined]
            break
    await pilot.pause()


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[str(request.param)]


def test_checklist_before_anything(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path)
    assert snap_compare(app, terminal_size=size, run_before=_settled)


def test_checklist_midway(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path, done=DONE, findings=(CONFLICT,))

    async def midway(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.running = ("blobs-ipfs", Verb.RUN)
        app.model.progress = Progress("copying", 41_200, 100_000, 42 << 20, None, 8_240.0, 7.1, "", {})
        app.model.rates.extend([2000, 4000, 8000, 8200, 8300, 8240])
        app.refresh_screens()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=midway)


def test_checklist_waiting(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path, done=DONE)

    async def waiting(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.running, app.model.stopping = ("decisions", Verb.RUN), True
        app.model.progress = Progress("copying", 10, None)
        app.model.waiting = "trying again in 3.2 s: etcd: no answer. check that etcd runs there"
        app.refresh_screens()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=waiting)


def test_findings(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path, findings=(CONFLICT, quarantine(), quarantine("[/] ünïcode 漢字")))

    async def open_findings(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("f")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_findings)


@pytest.mark.parametrize("key", ["f1", "l"])
def test_help_and_log(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], key: str) -> None:
    app, _ = make_app(tmp_path, site="s")

    async def open_screen(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.place = type(app.place)(Path("/somewhere/state"))
        app.model.note("batch 7 was interrupted: 12 of 40 blobs had arrived")
        await pilot.press(key)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_screen)


def test_confirm_undo(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path, done=("preflight",))

    async def open_confirm(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.screen.query_one("#items").move_cursor(row=1)  # type: ignore[attr-defined]
        await pilot.press("u")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_confirm)


def test_checklist_without_colours(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = make_app(tmp_path, done=DONE)
    assert snap_compare(app, terminal_size=(80, 24), run_before=_settled)
