"""A conflict side by side: what is marked, that a choice asks why, and that the engine does what was chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.journal import FindingStatus, Journal
from canswarm_tui.engine.step import Finding, Keep, Outcome
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.reason import ReasonScreen
from canswarm_tui.theme import DARK
from canswarm_tui.widgets.differing import BEGIN, END, differing_fields, differing_texts
from tests.interface.fakes import HOSTILE, FakeEngine, FakeStep, make_app
from tests.interface.phases import CONFLICT, SITE_VALUE, TARGET_VALUE
from tests.interface.test_interface import offered, text_of, until_idle


class Resolving(FakeStep):
    """Remembers what it was told to keep."""

    kept: tuple[str, Keep] | None = None

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        self.kept = (finding.subject, keep)
        return Outcome(summary=f"{keep.value} kept")


def resolving(app: SwarmApp) -> Resolving:
    import threading

    step = Resolving(threading.Event())
    cast("FakeEngine", app.engine).step = step
    return step


async def opened(pilot: Pilot[int]) -> SwarmApp:
    app = cast("SwarmApp", pilot.app)
    app.push_screen(ConflictScreen("decisions"))
    await pilot.pause()
    return app


def both_sides(app: SwarmApp) -> tuple[Text, Text]:
    return tuple(cast("Text", app.screen.query_one(s, Static).content) for s in ("#site", "#target"))  # type: ignore[return-value]


async def decide(pilot: Pilot[int], key: str, reason: str) -> None:
    await pilot.press(key)
    await pilot.pause()
    assert isinstance(pilot.app.screen, ReasonScreen)
    await pilot.press(*reason, "enter")
    await pilot.pause()


@pytest.mark.asyncio
async def test_both_values_stand_side_by_side_and_what_differs_is_marked_by_a_sign(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(CONFLICT,))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        site, target = both_sides(app)
        assert f"p-{BEGIN}17{END}" in site.plain
        assert f"p-{BEGIN}21{END}" in target.plain
        assert "Fields that differ: epoch, proposal_id" in text_of(app, "#what")
        left, right = app.screen.query_one("#site-side").region, app.screen.query_one("#target-side").region
        assert (left.y, left.right) == (right.y, right.x)
        assert "etcd" in text_of(app, "#target-title")


@pytest.mark.asyncio
@pytest.mark.parametrize(("key", "keep"), [("t", Keep.TARGET), ("k", Keep.SITE)])
async def test_the_kept_side_goes_to_the_engine_with_the_reason(tmp_path: Path, key: str, keep: Keep) -> None:
    app, _ = make_app(tmp_path, findings=(CONFLICT,), done=("decisions",))
    step = resolving(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await decide(pilot, key, "newer")
        await until_idle(app, pilot)
        assert step.kept == ("need-7", keep)
        assert "resolved by" in text_of(app, "#about")
    journal = Journal.observe(app.place.journal)
    (stored,) = journal.findings()
    journal.close()
    assert (stored.status, stored.reason) == (FindingStatus.RESOLVED, "newer")


@pytest.mark.asyncio
async def test_without_a_reason_or_as_an_observer_nothing_is_decided(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(CONFLICT,))
    step = resolving(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await decide(pilot, "k", "")
        await pilot.press("t")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, ConflictScreen)
        app.model.observe = True
        await pilot.press("k")
        await pilot.pause()
        assert isinstance(app.screen, ConflictScreen)
        assert step.kept is None


@pytest.mark.asyncio
async def test_n_and_b_turn_round_and_what_waits_comes_first(tmp_path: Path) -> None:
    others = tuple(replace(CONFLICT, subject=f"need-{n}") for n in range(3))
    app, _ = make_app(tmp_path, findings=others)
    journal = Journal.join(app.place.journal)
    first = next(f for f in journal.findings() if f.finding.subject == "need-0")
    journal.decide(first, FindingStatus.ACCEPTED, "somebody", "known")
    journal.close()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert {"keep", "turn", "copy"} <= {action.partition("(")[0] for action in offered(app)}
        seen = []
        for key in "nnnb":
            seen.append(text_of(app, "#about").split("\n")[0])
            await pilot.press(key)
            await pilot.pause()
        assert seen == ["need-1", "need-2", "need-0", "need-1"]
        assert text_of(app, "#about").startswith("need-0")
        assert "accepted by somebody: known" in text_of(app, "#about")


@pytest.mark.asyncio
async def test_both_values_are_copied_and_the_path_is_told(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, findings=(CONFLICT,))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await pilot.pause()
        (path,) = app.place.folder.glob("finding-*.txt")
        assert SITE_VALUE in path.read_text()
        assert TARGET_VALUE in path.read_text()
        assert app.clipboard in path.read_text()
        assert any(str(path) in n.message for n in app._notifications)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_values_are_shown_literally(tmp_path: Path, size: tuple[int, int]) -> None:
    bad = replace(CONFLICT, subject=HOSTILE, happened=HOSTILE, details={"site": HOSTILE, "target": HOSTILE + "x"})
    app, _ = make_app(tmp_path, findings=(bad, replace(CONFLICT, details={"site": "only the site's"})))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for _ in range(2):
            everything = "\n".join(str(w.content) for w in app.screen.query(Static))
            assert "\x1b" not in everything
            assert "\u202e" not in everything
            if "see [/etc/passwd]" not in everything:
                assert "holds no value of this side" in everything
            await pilot.press("n")
            await pilot.pause()


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_side_without_its_marks_is_the_value_whatever_it_holds(left: str, right: str) -> None:
    left, right = (shown(value).replace(BEGIN, "").replace(END, "") for value in (left, right))
    for text, value in zip(differing_texts(left, right, DARK.name), (left, right), strict=True):
        assert text.plain.replace(BEGIN, "").replace(END, "") == value
        if left == right:
            assert BEGIN not in text.plain


def test_long_values_that_differ_everywhere_take_no_long_time() -> None:
    left, right = ("".join(f"{n * k} " for n in range(4000)) for k in (3, 7))
    texts = differing_texts(f"same {left} end", f"same {right} end", DARK.name)
    assert all(text.plain.startswith(("same 0 ", f"same {BEGIN}")) for text in texts)
    assert all(END in text.plain[-8:] for text in texts)


def test_fields_are_named_only_where_both_are_objects() -> None:
    assert differing_fields('{"a": 1, "b": 2}', '{"b": 3, "c": 1, "a": 1}') == ("b", "c")
    assert differing_fields('{"a": 1}', "[1]") is None
    assert differing_fields("not json", '{"a": 1}') is None
    assert differing_fields("[" * 100_000, "{}") is None
