"""The opened backup: where it is, what is in it by its own folder, how long it is kept, and its restore proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.backup.contents import contents_of
from canswarm_tui.engine.backup.make import back_up
from canswarm_tui.engine.backup.manifest import INDEX
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.readiness import Readiness
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Verb, Verdict
from canswarm_tui.screens.opened import screen_of
from canswarm_tui.theme import DARK, SIGNS
from canswarm_tui.widgets.backup_text import backup_text
from canswarm_tui.widgets.way_back import proof_text
from tests.interface.fakes import make_app
from tests.interface.test_interface import text_of
from tests.interface.test_phase import until

BLOBS = 57


def note(app: SwarmApp, folder: str, days: int = 12, proved_at: str = "2026-11-24T10:00:00+00:00") -> None:
    kept = datetime.now(UTC) + timedelta(days=days, hours=1)
    journal = Journal.join(app.place.journal)
    journal.step("backup").set_fact("last", {
        "folder": folder, "fingerprint": "f", "created": "2026-11-24T09:00:00+00:00",
        "keep_until": kept.isoformat(), "proved_at": proved_at,
    })  # fmt: skip
    journal.close()


async def opened(app: SwarmApp, pilot: Pilot[int]) -> None:
    await pilot.pause()
    app.model.read(elsewhere=False)
    await app.push_screen(screen_of("backup"))
    app.refresh_screens()
    app.draw()


def words_of(app: SwarmApp, selector: str) -> str:
    return " ".join(text_of(app, selector).split())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("days", "proved_at", "words"),
    [
        (
            12,
            "2026-11-24T10:00:00+00:00",
            ("12 days more", "equal before, 2026-11-24 10:00 UTC", "can't be restored now"),
        ),
        (-1, "", ("it may be removed now", "restore is not proved")),
    ],
    ids=["kept", "past"],
)
async def test_it_shows_where_it_is_how_long_it_is_kept_and_that_its_folder_has_gone(
    tmp_path: Path, days: int, proved_at: str, words: tuple[str, ...]
) -> None:
    app, _ = make_app(tmp_path, done=("preflight", "backup"))
    note(app, "/backups/[b]one", days, proved_at)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await until(app, pilot, lambda: "not there any more" in text_of(app, "#peculiar"))
        part = words_of(app, "#peculiar")
        assert "where /backups/[b]one" in part
        assert "made 2026-11-24 09:00 UTC" in part
        assert all(word in part for word in words)
        assert text_of(app, "#parts") == ""


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_what_is_in_it_is_told_part_by_part_and_equal_only_once_it_was_read_back(
    tmp_path: Path, v1_site: Path, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path, done=("preflight",))
    made = back_up(SiteSettings(root=v1_site), tmp_path / "backups", 30, with_redis=False)
    note(app, str(made.folder))
    journal = Journal.join(app.place.journal)
    one = journal.step("backup")
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        await until(app, pilot, lambda: "What is in it" in text_of(app, "#parts"))
        rows = {row.split()[0]: row.split() for row in text_of(app, "#parts").splitlines()[2:]}
        assert rows[".cas"][1] == str(BLOBS)
        assert rows["plan.db"][1:] == ["1", "not", "yet"]
        fault = Finding("backup.damaged", Level.WARNING, Kind.DIFFERENCE, "cas:sha256/ab", "it differs", "look")
        one.add_finding(Verb.VERIFY, one.note(Verb.VERIFY, "started"), (fault,))
        verdict = Verdict((Comparison("files and Redis keys in the backup", "by digest", 60, 59),), 1, "1 fault")
        one.set_state(StepState.NEEDS_ATTENTION, verdict=verdict)
        journal.close()
        app.model.read(elsewhere=False)
        app.refresh_screens()
        app.draw()
        rows = {row.split()[0]: row.split() for row in text_of(app, "#parts").splitlines()[2:]}
        assert rows[".cas"][-2:] == ["1", "damaged"]
        assert rows["logs"][-1] == "equal"


@pytest.mark.parametrize(("days", "holds"), [(6, True), (8, False)])
def test_a_restore_proved_longer_ago_than_a_week_is_no_tick(tmp_path: Path, days: int, holds: bool) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    proved = now - timedelta(days=days)
    told = backup_text({"folder": "/b", "proved_at": proved.isoformat()}, None, now, DARK.name).plain
    assert (f"{SIGNS['proved']} restored" in told, "v proves it anew" in told) == (holds, not holds)
    ready = Readiness((), Path("/b"), proved, ())
    told = proof_text(ready, now, DARK.name).plain
    assert (f"{SIGNS['proved']} restored" in told, "v proves it anew" in told) == (holds, not holds)


def test_a_backup_whose_index_is_damaged_is_told_as_such(tmp_path: Path, v1_site: Path) -> None:
    made = back_up(SiteSettings(root=v1_site), tmp_path / "backups", 30, with_redis=False)
    assert contents_of(made.folder).manifest == made.manifest
    (made.folder / INDEX).write_text("{not json\n")
    held = contents_of(made.folder)
    assert held.manifest is None
    assert held.trouble
