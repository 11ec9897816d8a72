"""The Verification screen: every comparison, every difference by name, every key, and one record three ways."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.step import Finding, Kind, Level, Verb
from canswarm_tui.engine.three_ways import ThreeWays
from canswarm_tui.screens import three_ways as screen_module
from canswarm_tui.screens.ask_key import AskKeyScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.screens.report import ReportScreen
from canswarm_tui.screens.three_ways import ThreeWaysScreen
from canswarm_tui.screens.verification import PAGE, VerificationScreen
from tests.interface.fakes import HOSTILE, make_app
from tests.interface.proofs import COMPARED, SITE_VALUE, differing, three_ways, verified
from tests.interface.test_interface import offered, text_of, until_idle

pytestmark = pytest.mark.asyncio
Asked = list[tuple[str, bytes]]
NO_RECORD = Finding("blob.manifest_lost", Level.WARNING, Kind.DIFFERENCE, "bafy", "it is lost", "run again")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the engine was asked to compare; it answers with a difference."""
    calls: Asked = []

    def compare(_settings: object, step: str, key: bytes) -> ThreeWays:
        calls.append((step, key))
        return three_ways(key=key)

    monkeypatch.setattr(screen_module, "compare_three_ways", compare)
    return calls


async def opened(pilot: Pilot[int]) -> SwarmApp:
    app = cast("SwarmApp", pilot.app)
    app.model.read(elsewhere=False)
    app.push_screen(VerificationScreen())
    await pilot.pause()
    return app


async def until(pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        if holds():
            return
    raise AssertionError("it does not come about")


def table(app: SwarmApp, name: str) -> DataTable[Text]:
    return cast("DataTable[Text]", app.screen.query_one(name, DataTable))


def lines(app: SwarmApp, name: str = "#proofs") -> list[str]:
    one = table(app, name)
    return [" ".join(str(cell) for cell in one.get_row_at(n)).strip() for n in range(one.row_count)]


def to_row(app: SwarmApp, words: str) -> None:
    table(app, "#proofs").move_cursor(row=next(n for n, line in enumerate(lines(app)) if words in line))


def places_of_sides(app: SwarmApp) -> tuple[int, int]:
    """How many different columns and lines the three sides begin at."""
    regions = [app.screen.query_one(f"#{side}-side").region for side in ("site", "target", "receipt")]
    return len({region.x for region in regions}), len({region.y for region in regions})


def is_on(app: SwarmApp, kind: type) -> Callable[[], bool]:
    return lambda: isinstance(app.screen, kind)


async def test_every_comparison_of_every_step_is_listed_with_counts_proof_and_whether_it_holds(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, differing("need-7"), stale="plan-store")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        told = lines(app)
        compared = [c for comparisons in COMPARED.values() for c in comparisons]
        for one in compared:
            (line,) = (line for line in told if one.name[:32] in line)
            assert (f"{one.equal:,} of {one.compared:,}" if one.different else f"all {one.compared:,}") in line
            assert one.proof[:10] in line
            equal = "~" if one in COMPARED["plan-store"] else "✔"
            assert line.startswith(equal if one.different == 0 else "!")
        (stale,) = (line for line in told if "older" in line)
        assert "Plan store" in stale
        assert sum("fresh" in line for line in told) == len(COMPARED) - 1
        assert "not verified yet" in told[-1]


async def test_before_anything_has_run_it_says_so_and_what_comes_first(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert all("not verified yet" in line for line in lines(app))
        assert len(lines(app)) == len(COMPARED) + 1
        assert "It has not run" in text_of(app, "#detail")
        assert "Differences: 0" in text_of(app, "#differences-title")


async def test_the_checklists_verification_item_opens_it(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        items = app.screen.query_one("#items", DataTable)
        rows = [str(items.get_row_at(n)[1]) for n in range(items.row_count)]
        items.move_cursor(row=rows.index("Verify everything, in full"))
        await pilot.press("enter")
        await until(pilot, is_on(app, VerificationScreen))
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, VerificationScreen)


async def test_v_verifies_the_step_under_the_cursor_and_a_all_that_have_run(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True)
    verified(app.place, stale="decisions")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        before = {name: record.verdict_at for name, record in app.model.records.items()}
        to_row(app, "decisions in etcd")
        await pilot.press("v")
        await until_idle(app, pilot)
        after = {name: record.verdict_at for name, record in app.model.records.items()}
        assert [name for name in before if before[name] != after[name]] == ["decisions"]
        assert not any("older" in line for line in lines(app))
        await pilot.press("a")
        await until_idle(app, pilot)
        last = {name: app.model.records[name].verdict_at for name in COMPARED}
        assert all(last[name] != after[name] for name in COMPARED)


async def test_r_runs_the_last_step_and_the_report_is_named(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, go=True)
    verified(app.place)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("r")
        await until_idle(app, pilot)
        assert app.model.records["verification"].verdict is not None
        to_row(app, "All of it")
        await pilot.pause()
        assert str(app.place.reports / "report.md")[:60] in text_of(app, "#detail").replace("\n", "")
        await pilot.press("o")
        await until(pilot, is_on(app, ReportScreen))


async def test_stop_is_offered_while_it_runs_and_verify_is_not(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert {"verify_step", "verify_all"} <= offered(app)
        assert "stop" not in offered(app)
        app.model.running = ("decisions", Verb.VERIFY)
        app.refresh_screens()
        app.draw()
        await pilot.pause()
        assert "stop" in offered(app)
        assert not {"verify_step", "verify_all", "run_step"} & offered(app)
        assert "Running: Consensus" in text_of(app, "#live")
        await pilot.press("s")
        app.model.idle()


async def test_differences_follow_the_step_under_the_cursor_and_are_paged(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, *(differing(f"need-{n:04d}") for n in range(PAGE + 5)))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        to_row(app, "blobs in MinIO")
        await pilot.pause()
        assert "Differences: 0" in text_of(app, "#differences-title")
        assert "turn" not in offered(app)
        to_row(app, "All of it")
        await pilot.pause()
        assert f"Differences: {PAGE + 5}, page 1 of 2 (n, b)   all steps" in text_of(app, "#differences-title")
        to_row(app, "decisions in etcd")
        await pilot.pause()
        app.draw()
        assert len(lines(app, "#differing")) == PAGE
        await pilot.press("n")
        await pilot.pause()
        assert [line.split()[2] for line in lines(app, "#differing")] == [
            f"need-{n:04d}" for n in range(PAGE, PAGE + 5)
        ]
        assert "page 2 of 2" in text_of(app, "#differences-title")
        await pilot.press("b")
        await pilot.pause()
        assert "page 1 of 2" in text_of(app, "#differences-title")


async def test_tab_goes_to_the_differences_and_enter_compares_the_record_three_ways(
    tmp_path: Path, asked: Asked
) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, differing("shown otherwise", key=b"need-\xff7"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        to_row(app, "decisions in etcd")
        await pilot.press("tab")
        await pilot.pause()
        assert "What to do: find out who changed it" in text_of(app, "#detail")
        await pilot.press("enter")
        await until(pilot, is_on(app, ThreeWaysScreen))
        await until(pilot, lambda: "not all the same" in text_of(app, "#about"))
        assert asked == [("decisions", b"need-\xff7")]
        await pilot.press("escape", "tab")
        await pilot.pause()
        assert table(app, "#proofs").has_focus


async def test_a_finding_about_no_record_and_a_step_without_records_are_told(tmp_path: Path, asked: Asked) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, NO_RECORD)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        to_row(app, "All of it")
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, VerificationScreen)
        to_row(app, "decisions in etcd")
        await pilot.press("tab", "enter")
        await pilot.pause()
        if isinstance(app.screen, ThreeWaysScreen):
            raise AssertionError("an archive is no record")
        assert asked == []


async def test_c_asks_for_a_key_that_can_be_typed_or_chosen(tmp_path: Path, asked: Asked) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        to_row(app, "decisions in etcd")
        await pilot.press("c")
        await until(pilot, is_on(app, AskKeyScreen))
        keys = app.screen.query_one("#keys", OptionList)
        await until(pilot, lambda: keys.option_count == 3)
        await pilot.press(*"need-7")
        await until(pilot, lambda: keys.option_count == 2)
        await pilot.press("down", "down", "enter")
        await until(pilot, is_on(app, ThreeWaysScreen))
        await until(pilot, lambda: asked == [("decisions", b"need-70")])
        await pilot.press("escape", "c")
        await until(pilot, is_on(app, AskKeyScreen))
        app.screen.query_one("#key", Input).value = "zzz ü"
        await until(pilot, lambda: "none of those" in text_of(app, "#found"))
        await pilot.press("enter")
        await until(pilot, lambda: asked[1:] == [("decisions", "zzz ü".encode())])
        await pilot.press("escape", "c")
        await until(pilot, is_on(app, AskKeyScreen))
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, VerificationScreen)
        assert len(asked) == 2


async def test_enter_on_a_comparison_asks_for_a_key_too(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("enter")
        await until(pilot, is_on(app, AskKeyScreen))
        assert "SHA-256" in str(app.screen.query(Static).first().content)


async def test_f_opens_this_steps_findings_and_l_the_log(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, differing("need-7"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        to_row(app, "blobs in MinIO")
        await pilot.press("f")
        await until(pilot, is_on(app, FindingsScreen))
        assert "0 of 1" in text_of(app, "#head")
        await pilot.press("escape", "l")
        await until(pilot, is_on(app, LogScreen))


async def test_three_sides_stand_beside_each_other_when_wide_and_below_each_other_when_not(
    tmp_path: Path, asked: Asked
) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        app.push_screen(ThreeWaysScreen("decisions", b"need-7"))
        await until(pilot, lambda: isinstance(app.screen, ThreeWaysScreen) and "p-«17»" in text_of(app, "#site"))
        await until(pilot, lambda: places_of_sides(app) == (3, 1))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: places_of_sides(app) == (1, 3))
        pairs = text_of(app, "#pairs").splitlines()
        assert [line.split("  ")[-1].strip() for line in pairs[:3]] == ["different", "equal", "different"]
        assert "from byte" in pairs[3]


async def test_r_reads_the_record_again_and_an_older_answer_is_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = make_app(tmp_path)
    first_may_end, calls = threading.Event(), [0]

    def compare(_settings: object, _step: str, _key: bytes) -> ThreeWays:
        calls[0] += 1
        if calls[0] == 1:
            first_may_end.wait(5)
            return three_ways()
        return three_ways(target=SITE_VALUE)

    monkeypatch.setattr(screen_module, "compare_three_ways", compare)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ThreeWaysScreen("decisions", b"need-7"))
        await until(pilot, lambda: calls[0] == 1)
        assert "reading the site" in text_of(app, "#about")
        await pilot.press("r")
        await until(pilot, lambda: "hold the same" in text_of(app, "#about"))
        first_may_end.set()
        await pilot.pause(0.1)
        assert "hold the same" in text_of(app, "#about")


async def test_leaving_while_it_reads_throws_the_answer_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = make_app(tmp_path)
    may_end, ended = threading.Event(), threading.Event()

    def compare(_settings: object, _step: str, _key: bytes) -> ThreeWays:
        may_end.wait(5)
        ended.set()
        return three_ways()

    monkeypatch.setattr(screen_module, "compare_three_ways", compare)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ThreeWaysScreen("decisions", b"need-7"))
        await pilot.pause()
        await pilot.press("escape")
        may_end.set()
        await until(pilot, ended.is_set)
        await pilot.pause(0.05)
        assert not isinstance(app.screen, ThreeWaysScreen)


async def test_what_cannot_be_read_is_said_in_the_engines_words_and_a_mistake_of_ours_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = make_app(tmp_path)
    errors = [Unreachable("etcd at [x]", "no answer", "check that etcd runs there"), KeyError("x")]

    def compare(_settings: object, _step: str, _key: bytes) -> ThreeWays:
        raise errors.pop(0)

    monkeypatch.setattr(screen_module, "compare_three_ways", compare)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ThreeWaysScreen("decisions", b"need-7"))
        await until(pilot, lambda: "etcd at [x]: no answer. Check" in text_of(app, "#about"))
        await pilot.press("c", "r")
        await until(pilot, lambda: "a mistake of ours (KeyError)" in text_of(app, "#about"))


async def test_c_copies_the_record_and_keeps_it_in_a_file(tmp_path: Path, asked: Asked) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ThreeWaysScreen("decisions", b"need-7"))
        await until(pilot, lambda: isinstance(app.screen, ThreeWaysScreen) and "p-«17»" in text_of(app, "#site"))
        await pilot.press("c")
        await pilot.pause()
        kept = (app.place.folder / "record.txt").read_text()
        for words in ("p-17", "p-21", "this run made it", "site and target", "different"):
            assert words in kept
        assert app.clipboard.strip() == kept.strip()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_data_is_shown_as_it_is_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    hostile = HOSTILE.encode()
    verified(app.place, differing(HOSTILE, key=hostile))
    monkeypatch.setattr(
        screen_module, "compare_three_ways", lambda *_: three_ways(hostile, hostile + b"!", hostile, HOSTILE)
    )
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        to_row(app, "decisions in etcd")
        await pilot.pause()
        (line,) = lines(app, "#differing")
        assert "[/] [red]x[/red]" in line
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, ThreeWaysScreen) and "[red]x" in text_of(app, "#target"))
        told = "".join(text_of(app, f"#{name}") for name in ("about", "site", "target", "receipt", "pairs"))
        assert "[/etc/passwd]" in told
        assert not {"\x1b", "\x07", "\u202e"} & set(told + line)


async def test_it_opens_on_the_first_step_that_needs_a_person_and_shows_its_differences(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    verified(app.place, differing("need-7"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "Differences: 1" in text_of(app, "#differences-title"))
        assert "Tab: choose one" in text_of(app, "#differences-title")
        await pilot.press("tab")
        await pilot.pause()
        assert "Tab" not in text_of(app, "#differences-title")
        assert "need-7" in text_of(app, "#detail")
