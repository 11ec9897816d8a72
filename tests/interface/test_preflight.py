"""The opened preflight: checks as they come out, the inventory, findings narrowed and opened, one check made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from canswarm_tui.app import SwarmApp
from canswarm_tui.bridge import EngineProgressed, EngineSaid
from canswarm_tui.engine.checks import FACT, TITLES, Checked
from canswarm_tui.engine.events import CheckEnded, StepProgressed, StepStarted
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.step import Finding, Kind, Level, Outcome, Progress, Verb
from canswarm_tui.screens.entry import EntryScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.opened import screen_of
from canswarm_tui.screens.preflight import PreflightScreen
from canswarm_tui.widgets.row_table import RowTable
from tests.interface.fakes import HOSTILE, make_app
from tests.interface.test_interface import text_of
from tests.interface.test_phase import until

pytestmark = pytest.mark.asyncio
WARNED = ("content", "etcd")


def fill(app: SwarmApp, made: tuple[str, ...] = tuple(TITLES), level: Level = Level.WARNING) -> None:
    """Those checks have come out, with one finding each of `WARNED`."""
    journal = Journal.join(app.place.journal)
    one = journal.step("preflight")
    one.set_fact("inventory", {"threads": 3, "blob bytes": 2048, "audit lines": 602, "etcd version": HOSTILE})
    one.set_fact(FACT, {n: Checked(n, 1e9, 0.4, 0, n in WARNED, 0).as_fact() for n in made})
    found = [
        Finding("x.odd", level, Kind.CONDITION, f"{name} {HOSTILE}", HOSTILE, f"mend {HOSTILE}", {"check": name})
        for name in WARNED if name in made
    ]  # fmt: skip
    one.add_finding(Verb.RUN, one.note(Verb.RUN, "started"), found)
    state = StepState.DONE if len(made) == len(TITLES) else StepState.STOPPED
    one.set_state(state, outcome=Outcome(created=len(made), summary="3 threads; 0 blockers, 2 warnings"))
    journal.close()


async def opened(app: SwarmApp, pilot: Pilot[int]) -> PreflightScreen:
    await pilot.pause()
    app.model.read(elsewhere=False)
    app.refresh_screens()
    await app.push_screen(screen_of("preflight"))
    assert isinstance(app.screen, PreflightScreen)
    app.refresh_screens()
    app.draw()
    await pilot.pause()
    return app.screen


def column(app: SwarmApp, table: str, key: str) -> list[str]:
    one = app.screen.query_one(table, RowTable)
    return [str(cell) for cell in one.get_column(key)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_checks_come_out_one_by_one_and_what_was_interrupted_is_not_fine(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    fill(app, made=("site", "content"))
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        out = dict(zip(TITLES, column(app, "#checks", "came out"), strict=True))
        assert (out["site"], out["content"], out["etcd"]) == ("fine", "1 warning", "not yet")
        app.post_message(EngineSaid(StepStarted("preflight", Verb.RUN)))
        app.post_message(EngineProgressed(StepProgressed("preflight", Verb.RUN, Progress(TITLES["etcd"], 9, 17))))
        await pilot.pause(0.3)
        app.draw()
        out = dict(zip(TITLES, column(app, "#checks", "came out"), strict=True))
        assert (out["content"], out["etcd"]) == ("not yet", "looking")
        fill(app, made=("site", "etcd"))
        app.post_message(EngineSaid(CheckEnded("preflight", Checked("etcd", 1e9, 0.4, 0, 1, 0))))
        await pilot.pause(0.3)
        app.draw()
        out = dict(zip(TITLES, column(app, "#checks", "came out"), strict=True))
        assert (out["etcd"], out["content"]) == ("1 warning", "not yet")
        assert [row.split()[0] for row in column(app, "#found", "subject")] == ["etcd"]


async def test_findings_are_narrowed_to_a_check_and_a_level_and_opened_whole(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    fill(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        assert len(column(app, "#found", "subject")) == 2
        for _ in range(list(TITLES).index("etcd")):
            await pilot.press("down")
        await pilot.press("enter")
        assert [row.split()[0] for row in column(app, "#found", "subject")] == ["etcd"]
        await pilot.press("enter")
        assert len(column(app, "#found", "subject")) == 2
        await pilot.press("n")
        assert "level blocker" in text_of(app, "#narrowed")
        assert column(app, "#found", "subject") == []
        await pilot.press("n")
        assert len(column(app, "#found", "subject")) == 2
        await pilot.press("tab", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, EntryScreen))
        told = text_of(app, "#told")
        assert all(word in told for word in ("what to do", "mend [/] [red]x[/red]", "content", "x.odd"))
        assert "\x1b" not in told
        await pilot.press("escape", "f")
        await until(app, pilot, lambda: isinstance(app.screen, FindingsScreen))


async def test_one_check_is_made_again_by_a_key(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    asked: list[str] = []
    app.begin = lambda work: work(_Asked(asked))  # type: ignore[method-assign, misc, assignment]
    fill(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("down", "k")
        assert asked == ["writers"]


class _Asked:
    def __init__(self, asked: list[str]) -> None:
        self.recheck = asked.append


async def test_no_check_is_made_again_alone_before_all_were_made(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    fill(app, made=("site",))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        assert screen.check_action("recheck", ()) is False


async def test_a_finding_a_check_and_the_whole_are_copied_into_files(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    fill(app)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await pilot.press("c")
        assert (app.place.folder / "check-site.txt").read_text() == f"{TITLES['site']}: fine\n"
        await pilot.press("tab", "tab", "c")
        (copied,) = app.place.folder.glob("finding-*.txt")
        assert "What to do: mend" in copied.read_text()
        await pilot.press("w")
        whole = (app.place.folder / "preflight.txt").read_text()
        assert all(title in whole for title in TITLES.values())
        assert "audit lines" in whole
        assert whole.count("What to do: mend") == 2
        assert "\x1b" not in whole


async def test_the_inventory_is_beside_the_checks_or_a_key_away(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    fill(app)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        assert not screen.query_one("#counts").display
        await pilot.press("i")
        await until(app, pilot, lambda: "602" in text_of(app, "#inventory"))
        assert screen.query_one("#counts").display
        lines = [" ".join(line.split()) for line in text_of(app, "#inventory").splitlines()]
        titles = ("Plan store", "Content store", "Audit log", "Servers and machine")
        assert [line for line in lines if line in titles] == list(titles)
        assert {"threads 3", "blob bytes 2.0 KiB", "audit lines 602"} <= set(lines)
        assert any(line.startswith("etcd version [/] [red]x[/red]") for line in lines)
        await pilot.press("i")
        assert not screen.query_one("#counts").display
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert screen.query_one("#counts").display
        assert screen.query_one("#checks").display
