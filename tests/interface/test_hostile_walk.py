"""Every screen with hostile data in it: shown literally, with nothing that a terminal would obey or that overflows."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.screen import Screen

from canswarm_tui import screens
from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.checks import FACT, TITLES, Checked
from canswarm_tui.engine.health.facts import Section
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Progress, Verb, Verdict
from canswarm_tui.screens.about import AboutScreen
from canswarm_tui.screens.backup import BackupScreen
from canswarm_tui.screens.base import StepScreen, SwarmScreen
from canswarm_tui.screens.checklist import ChecklistScreen
from canswarm_tui.screens.confirm import ConfirmScreen
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.entry import EntryScreen
from canswarm_tui.screens.findings import FindingsScreen
from canswarm_tui.screens.help import HelpScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.screens.peer import PeerScreen
from canswarm_tui.screens.phase import PhaseScreen
from canswarm_tui.screens.preflight import PreflightScreen
from canswarm_tui.screens.quit import QuitScreen
from canswarm_tui.screens.rate import RateScreen
from canswarm_tui.screens.reason import ReasonScreen
from canswarm_tui.screens.report import ReportScreen
from canswarm_tui.screens.rollback import RollbackScreen
from canswarm_tui.screens.settings import SettingsScreen
from canswarm_tui.screens.support import SupportScreen
from canswarm_tui.screens.verification import VerificationScreen
from tests.interface.fakes import HOSTILE, make_app

pytestmark = pytest.mark.asyncio
WORSE = f"漢字 e\u0301 \u2066\u009b31m {HOSTILE}"
LITERAL = "[red]x[/red]"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
OPENERS: dict[type[Any], Callable[[SwarmApp], Any]] = {
    AboutScreen: lambda _: AboutScreen(),
    BackupScreen: lambda _: BackupScreen(),
    ChecklistScreen: lambda app: app.screen,
    ConfirmScreen: lambda _: ConfirmScreen(WORSE, WORSE[:40]),
    ConflictScreen: lambda _: ConflictScreen("decisions"),
    EntryScreen: lambda _: EntryScreen(WORSE, (Section(WORSE, ((WORSE, WORSE),)),)),
    FindingsScreen: lambda _: FindingsScreen(),
    HelpScreen: lambda app: HelpScreen(app.screen),
    LogScreen: lambda _: LogScreen(),
    PeerScreen: lambda _: PeerScreen(),
    PhaseScreen: lambda _: PhaseScreen("decisions"),
    PreflightScreen: lambda _: PreflightScreen(),
    QuitScreen: lambda _: QuitScreen(),
    RateScreen: lambda _: RateScreen(500.0),
    ReasonScreen: lambda _: ReasonScreen(WORSE),
    ReportScreen: lambda _: ReportScreen(),
    RollbackScreen: lambda _: RollbackScreen(),
    SettingsScreen: lambda _: SettingsScreen(),
    SupportScreen: lambda _: SupportScreen(),
    VerificationScreen: lambda _: VerificationScreen(),
}
SHOW_IT = {BackupScreen, ConfirmScreen, ConflictScreen, EntryScreen, FindingsScreen, PhaseScreen, PreflightScreen}
"""Screens on which the hostile text must be readable as it is."""
ELSEWHERE = {"AskKeyScreen", "BrowseScreen", "DiagnosticsScreen", "GuidedScreen", "LiveScreen", "RegoScreen",
             "ThreeWaysScreen"}  # fmt: skip
"""Fed by servers or files: test_diagnostics.py, test_rego.py and test_verification.py have their hostile data."""


def fill(app: SwarmApp) -> None:
    """Hostile words wherever a journal can have them."""
    journal = Journal.join(app.place.journal)
    for name in ("preflight", "backup", "decisions"):
        one = journal.step(name)
        kind = Kind.CONFLICT if name == "decisions" else Kind.CONDITION
        values = {"site": WORSE, "target": f"{WORSE}!", "key": b"k".hex(), "check": "content"}
        found = Finding("x.odd", Level.WARNING, kind, WORSE, WORSE, WORSE, values)
        one.add_finding(Verb.RUN, one.note(Verb.RUN, "started"), (found,))
        outcome = Outcome(created=1, summary=WORSE, figures={WORSE: WORSE})
        verdict = Verdict((Comparison(WORSE, WORSE, 2, 1),), 1, WORSE, {WORSE: WORSE})
        one.set_state(StepState.NEEDS_ATTENTION, outcome=outcome, verdict=verdict, error=WORSE)
    journal.step("preflight").set_fact("inventory", {WORSE: WORSE, "threads": 3})
    journal.step("preflight").set_fact(FACT, {n: Checked(n, 1e9, 0.1, 0, 1, 0).as_fact() for n in TITLES})
    last = dict.fromkeys(("folder", "fingerprint", "created", "keep_until", "proved_at"), WORSE)
    journal.step("backup").set_fact("last", last)  # type: ignore[arg-type]
    journal.close()
    (app.place.folder / "canswarm-tui.log").write_text(f"{WORSE}\n", encoding="utf-8")
    app.model.said = WORSE
    app.model.plans["decisions"] = (WORSE,)
    app.model.progress = Progress(WORSE, 1, 2, waiting=WORSE, figures={WORSE: WORSE})


def ours() -> dict[str, type]:
    """Every screen class of the program by its name; the two bases are no screens."""
    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(screens.__path__):
        for name, one in inspect.getmembers(
            importlib.import_module(f"{screens.__name__}.{module.name}"), inspect.isclass
        ):
            if issubclass(one, Screen) and one.__module__.startswith(screens.__name__):
                found[name] = one
    return {name: one for name, one in found.items() if one not in (SwarmScreen, StepScreen)}


async def test_every_screen_has_a_way_here() -> None:
    assert set(ours()) == {one.__name__ for one in OPENERS} | ELSEWHERE


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
@pytest.mark.parametrize("screen", list(OPENERS), ids=[one.__name__ for one in OPENERS])
async def test_hostile_data_is_literal_and_breaks_nothing(
    tmp_path: Path, screen: type[Any], size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    fill(app)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.model.read(elsewhere=False)
        opened = OPENERS[screen](app)
        if opened is not app.screen:
            app.push_screen(opened)
        await pilot.pause(0.1)
        app.tell(WORSE)
        app.refresh_screens()
        app.draw()
        await pilot.pause(0.2)
        lines = [strip.text for strip in app.screen._compositor.render_strips()]
        assert isinstance(app.screen, screen)
        assert not [line for line in lines if OBEYED.search(line)]
        assert max(map(cell_len, lines)) <= size[0]
        if screen in SHOW_IT:
            assert LITERAL in "\n".join(lines)
