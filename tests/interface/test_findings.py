"""The list of findings: narrowed by level, kind and step, searched, paged, copied and decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.step import Finding, Kind, Level, Verb
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.deciding import finding_as_text
from canswarm_tui.screens.findings import PAGE, FindingsScreen
from canswarm_tui.screens.reason import ReasonScreen
from canswarm_tui.widgets.finding_filter import KINDS, LEVELS, STEPS
from tests.interface.fakes import HOSTILE, make_app, quarantine
from tests.interface.phases import CONFLICT
from tests.interface.test_interface import offered, text_of

pytestmark = pytest.mark.asyncio
NOTE = Finding("x.note", Level.NOTE, Kind.CONDITION, "a-note", "it is so", "nothing", {"line": "77"})
BLOCKER = Finding("x.no", Level.BLOCKER, Kind.CONDITION, "a-blocker", "it can't be", "mend it")
DIFFERENCE = Finding("x.diff", Level.WARNING, Kind.DIFFERENCE, "a-difference", "it is missing", "run again")
ALL = (NOTE, BLOCKER, DIFFERENCE, CONFLICT, quarantine())


async def opened(pilot: Pilot[int], step: str | None = None) -> SwarmApp:
    app = cast("SwarmApp", pilot.app)
    app.push_screen(FindingsScreen(step))
    await pilot.pause()
    return app


def table(app: SwarmApp) -> DataTable[Text]:
    return cast("DataTable[Text]", app.screen.query_one("#list", DataTable))


def actions(app: SwarmApp) -> set[str]:
    return {action.partition("(")[0] for action in offered(app)}


def rows(app: SwarmApp) -> Iterator[str]:
    for n in range(table(app).row_count):
        yield str(table(app).get_row_at(n)[3])


def add(app: SwarmApp, step: str, *findings: Finding) -> None:
    journal = Journal.join(app.place.journal)
    one = journal.step(step)
    one.add_finding(Verb.RUN, one.note(Verb.RUN, "started"), findings)
    journal.close()


async def test_a_records_key_is_found_and_copied_as_it_is_called_at_the_site_and_not_as_digits(tmp_path: Path) -> None:
    key = b"5f1e" * 16
    wanted = key.decode()
    missing = Finding("blob.missing", Level.WARNING, Kind.DIFFERENCE, "a-blob", "gone", "run", {"key": key.hex()})
    app, _ = make_app(tmp_path, findings=(DIFFERENCE, missing))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("s", *wanted[:8], "enter")
        assert list(rows(app)) == ["a-blob"]
        (found,) = (f for f in app.model.findings if f.finding == missing)
        assert f"key: {wanted}" in finding_as_text(found).splitlines()


async def test_tab_i_and_p_narrow_by_level_kind_and_step_and_come_round(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=ALL)
    add(app, "plan-store", replace(NOTE, subject="of-the-plan"))
    add(app, "blobs-ipfs", replace(NOTE, subject="of-the-map"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert sorted(rows(app)) == ["a-difference", "bad-record", "need-7"]
        by_level = {}
        for level in (*LEVELS[1:], LEVELS[0]):
            await pilot.press("tab")
            by_level[level] = sorted(rows(app))
            assert f"level: {level}" in text_of(app, "#filters")
        assert by_level["blocker"] == ["a-blocker"]
        assert by_level["note"] == ["a-note", "of-the-map", "of-the-plan"]
        assert len(by_level["all"]) == 7
        assert len(by_level[LEVELS[0]]) == 3
        await pilot.press("tab", "tab", "tab", "tab")
        by_kind = {}
        for kind in (*KINDS[1:], KINDS[0]):
            await pilot.press("i")
            by_kind[kind] = sorted(rows(app))
        assert by_kind["conflict"] == ["need-7"]
        assert by_kind["quarantine"] == ["bad-record"]
        assert len(by_kind["all"]) == 7
        by_step = {}
        for step in (*STEPS[1:], STEPS[0]):
            await pilot.press("p")
            by_step[step] = sorted(rows(app))
        assert by_step["plan-store"] == ["of-the-plan"]
        assert by_step["blobs-ipfs"] == ["of-the-map"]
        assert by_step["backup"] == []


async def test_the_search_narrows_while_it_is_typed_and_esc_forgets_it(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=ALL)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("tab", "tab", "tab", "tab", "s")
        await pilot.pause()
        await pilot.press(*"SO nothing")
        await pilot.pause()
        assert list(rows(app)) == ["a-note"]
        await pilot.press("enter")
        await pilot.pause()
        assert table(app).has_focus
        assert "search: SO nothing" in text_of(app, "#filters")
        await pilot.press("s", "escape")
        await pilot.pause()
        assert isinstance(app.screen, FindingsScreen)
        assert len(list(rows(app))) == 5
        app.screen.query_one(Input).value = "77"
        await pilot.pause()
        assert list(rows(app)) == ["a-note"]
        app.screen.query_one(Input).value = "nowhere to be found"
        await pilot.pause()
        assert text_of(app, "#whole").startswith("None of the ")
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, FindingsScreen)


async def test_thousands_are_paged_and_only_a_page_is_mounted(tmp_path: Path) -> None:
    many = tuple(quarantine(f"key-{n:05}") for n in range(3 * PAGE + 7))
    app, _ = make_app(tmp_path, findings=many)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert table(app).row_count == PAGE
        assert "page 1 of 4" in text_of(app, "#head")
        seen = []
        for _ in range(4):
            seen += list(rows(app))
            await pilot.press("n")
            await pilot.pause()
        assert seen == [f"key-{n:05}" for n in range(3 * PAGE + 7)]
        assert "page 1 of 4" in text_of(app, "#head")
        await pilot.press("b")
        await pilot.pause()
        assert table(app).row_count == 7
        await pilot.press("s", *"key-00001")
        await pilot.pause()
        assert list(rows(app)) == ["key-00001"]
        assert "page" not in text_of(app, "#head")
        await pilot.press("enter", "w")
        await pilot.pause()
    assert (app.place.folder / "findings.txt").read_text().count("What to do") == 1


async def test_one_is_copied_to_the_clipboard_and_a_file_whose_path_is_told(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(quarantine(HOSTILE),))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await pilot.pause()
        (path,) = app.place.folder.glob("finding-*.txt")
        assert "What to do: mend it" in path.read_text()
        assert "\x1b" not in app.clipboard
        assert app.clipboard == path.read_text().removesuffix("\n")
        assert any(str(path) in n.message for n in app._notifications)


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(quarantine(),))
    (app.place.folder / "findings.txt").mkdir()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("w")
        await pilot.pause()
        assert any("could not be written" in n.message for n in app._notifications)


async def test_the_footer_offers_what_the_finding_under_the_cursor_allows(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=ALL)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("tab", "tab", "tab")  # notes
        await pilot.pause()
        assert not {"accept", "keep", "compare", "turn"} & actions(app)
        await pilot.press("tab", "i", "i", "i", "i")  # all conflicts
        await pilot.pause()
        assert {"accept", "keep", "compare", "copy", "write"} <= actions(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, ConflictScreen)
        await pilot.press("escape", "t")
        await pilot.pause()
        assert isinstance(app.screen, ReasonScreen)
        await pilot.press("escape", "k")
        await pilot.pause()
        assert isinstance(app.screen, ReasonScreen)
        await pilot.press("escape", "a")
        await pilot.pause()
        await pilot.press(*"known", "enter")
        await pilot.pause()
        app.draw()
        assert "accepted by" in text_of(app, "#whole")
        assert "accept" not in actions(app)


async def test_a_step_opens_on_its_own(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=ALL)
    add(app, "plan-store", NOTE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "plan-store")
        assert list(rows(app)) == ["a-note"]
        assert "level: all" in text_of(app, "#filters")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_findings_and_words_are_shown_literally(tmp_path: Path, size: tuple[int, int]) -> None:
    bad = Finding("x", Level.WARNING, Kind.QUARANTINE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    app, _ = make_app(tmp_path, findings=(bad,))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        app.screen.query_one(Input).value = "[/] \x1b[31m"
        await pilot.pause()
        everything = "\n".join(str(w.content) for w in app.screen.query(Static)) + "".join(rows(app))
        assert "\x1b" not in everything
        assert "\u202e" not in everything
        assert "[/] [red]x[/red] see [/etc/passwd]" in everything


async def test_after_one_is_accepted_the_cursor_stands_on_the_next(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=tuple(quarantine(f"bad-{n}") for n in range(5)))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        before = [*rows(app)]
        await pilot.press("down", "down", "a", *"old", "enter")
        await pilot.pause()
        assert [*rows(app)] == [one for one in before if one != before[2]]
        assert table(app).cursor_row == 2
        assert before[3] in text_of(app, "#whole")
        await pilot.press("end", "a", *"old", "enter")
        await pilot.pause()
        assert before[3] in text_of(app, "#whole"), "the last one of those that are left"
