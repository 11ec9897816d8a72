"""Pictures of every screen in its states, small and large."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from canswarm_tui.engine.backup.manifest import Manifest
from canswarm_tui.engine.backup.retention import Kept
from canswarm_tui.engine.readiness import Planned, Readiness
from canswarm_tui.engine.step import Finding, Kind, Level, Progress, Verb
from canswarm_tui.screens import rollback
from canswarm_tui.screens.phase import PhaseScreen
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
    pilot.app.draw()  # type: ignore[attr-defined]
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
        app.draw()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=midway)


def test_checklist_waiting(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = make_app(tmp_path, done=DONE)

    async def waiting(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.model.running, app.model.stopping = ("decisions", Verb.RUN), True
        app.model.progress = Progress("copying", 10, None)
        app.model.waiting = "trying again in 3.2 s: etcd: no answer. Check that etcd runs there"
        app.refresh_screens()
        app.draw()
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
def test_help_and_log(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = make_app(tmp_path, site="s")

    async def open_screen(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        monkeypatch.chdir(tmp_path)
        app.place = type(app.place)(Path("state"))
        app.place.log.write_text("2026-11-23 21:00:00 INFO batch 7 was interrupted: 12 of 40 blobs had arrived\n")
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


@pytest.mark.parametrize("key", ["enter"])
def test_open_item(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], key: str) -> None:
    app, _ = make_app(tmp_path, done=("preflight", "backup", "decisions"), findings=(CONFLICT, quarantine()))

    async def open_screen(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.screen.query_one("#items").move_cursor(row=7)  # type: ignore[attr-defined]
        app.model.plans["decisions"] = ("create 12 decisions in etcd under /swarm/decide/", "set digest 4f2a91c0")
        await pilot.press(key)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_screen)


@pytest.mark.parametrize("theme", ["swarm-light", "ansi-dark"])
def test_running_item(snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], theme: str) -> None:
    app, _ = make_app(tmp_path, done=DONE)

    async def midway(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        app.theme = theme
        app.push_screen(PhaseScreen("blobs-ipfs"))
        await pilot.pause()
        app.model.running = ("blobs-ipfs", Verb.RUN)
        app.model.progress = Progress(
            "importing", 41_200, 100_000, 42 << 20, None, 8_240.0, 7.1, "", {"predicted CIDs": 41_200, "pinned": 40_960}
        )
        app.model.retries = 2
        app.model.rates.extend([2000, 4000, 8000, 8200, 8300, 8240])
        app.model.seen.append(("warning", "9f3c…d2", "its content has another hash"))
        app.refresh_screens()
        app.draw()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=midway)


def test_report(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, _ = make_app(tmp_path)
    app.place = type(app.place)(Path("state"))
    app.place.reports.mkdir(parents=True)
    (app.place.reports / "report.md").write_text(
        "# Migration of site\n\nResult: **done and proved**\n\n| step | state |\n|---|---|\n| Preflight | done |\n"
    )

    async def open_report(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("o")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_report)


@pytest.mark.parametrize("proved_before", [timedelta(hours=4), timedelta(days=16)], ids=["fresh", "aged"])
def test_rollback_readiness(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch,
    proved_before: timedelta,
) -> None:  # fmt: skip
    now = datetime(2026, 11, 23, 21, tzinfo=UTC)
    backup = _backup(now)
    measured = (("read the newest backup back, whole", None, 41.0, "backup"),
                ("back up what is in the site now", None, 88.0, "backup"),
                ("undo Consensus: Redis → etcd", 1_000_000, 59.4, "copy"),
                ("undo CAS: files → MinIO", 20_417, None, ""),
                ("restore the backup into the site", None, 63.0, "rollback"),
                ("compare every file and key with it", None, 70.0, "rollback"))  # fmt: skip
    ready = Readiness(
        (backup, Kept(Path("kept/b"), None, "unfinished", 9)),
        backup.folder,
        now - proved_before,
        tuple(Planned(*one) for one in measured),
    )
    monkeypatch.setattr(rollback, "readiness", lambda _settings: ready)
    monkeypatch.setattr(rollback, "now_utc", lambda: now)
    app, _ = make_app(tmp_path, done=(*DONE, "decisions"))

    async def open_rollback(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("b")
        await app.workers.wait_for_complete()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=open_rollback)


def _backup(now: datetime) -> Kept:
    created, until = now - timedelta(hours=5, minutes=1), now + timedelta(days=29, hours=19)
    manifest = Manifest(
        "site", "", "1", created.isoformat(), until.isoformat(), None, (), 61, 5, 0, 2_659_772, 43, ()
    )  # fmt: skip
    return Kept(Path("kept/site-20261123T160000Z"), manifest, "", 3 << 20)
