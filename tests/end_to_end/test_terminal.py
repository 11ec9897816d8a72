"""The program as an operator sees it: in a terminal, by keys only, on real servers; and when the connection is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canswarm_tui.engine.journal import Journal, StepState
from tests.end_to_end.places import Place
from tests.end_to_end.terminal import Terminal

LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049l"


@pytest.fixture
def opened() -> Iterator[Callable[[Place], Terminal]]:
    terminals: list[Terminal] = []

    def start(place: Place) -> Terminal:
        terminals.append(Terminal(place.environment))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


def states(place: Place) -> dict[str, StepState]:
    (path,) = (place.folder / "state" / "sites").glob("*/journal.db")
    journal = Journal.observe(path)
    try:
        return {name: record.state for name, record in journal.records().items()}
    finally:
        journal.close()


def run_everything(terminal: Terminal) -> None:
    """`a` asks with Cancel in focus: Tab, then Enter."""
    terminal.settle()
    terminal.press("a")
    terminal.until(lambda text: "Run every pending step" in text)
    terminal.settle()
    terminal.press("\t\r")


def test_a_whole_migration_and_its_rollback_by_keys_only_at_80_by_24(
    new_place: Callable[..., Place], opened: Callable[[Place], Terminal]
) -> None:
    place = new_place("whole")
    terminal = opened(place)
    terminal.until(lambda text: "ready — next" in text)
    run_everything(terminal)
    terminal.until(lambda text: "Running:" in text)
    terminal.until(lambda text: "Nothing runs." in text, 180)
    terminal.settle()
    terminal.press("\x1b[F")
    assert states(place)["verification"] is StepState.PROVED
    terminal.press("b")
    terminal.until(lambda text: "x Roll back" in text)
    terminal.settle()
    terminal.press("x")
    terminal.until(lambda text: "Type the site's name" in text)
    terminal.settle()
    name = Path(place.environment["CANSWARM_SITE__ROOT"]).name
    for keys in ("\t", name, "\t", "\t", "\r"):
        terminal.press(keys)
        terminal.settle()
    terminal.until(lambda text: "Last rollback: proved." in text, 120)
    assert states(place)["decisions"] is StepState.UNDONE
    terminal.settle()
    terminal.press("q")
    assert terminal.wait() == 0
    assert LEAVES_ALTERNATE_SCREEN in terminal.raw


def test_a_lost_connection_stops_at_a_safe_point_and_the_next_start_goes_on(
    new_place: Callable[..., Place], opened: Callable[[Place], Terminal]
) -> None:
    place = new_place("lost")
    terminal = opened(place)
    terminal.until(lambda text: "ready — next" in text)
    run_everything(terminal)
    terminal.until(lambda text: "Policy: Python → OPA (verify)" in text, 120)
    terminal.hang_up()
    terminal.send(signal.SIGHUP)
    assert terminal.wait() == 143
    assert states(place)["blobs-minio"] is StepState.PROVED
    again = opened(place)
    again.until(lambda text: "proved" in text)
    run_everything(again)
    again.until(lambda text: "Running:" in text)
    again.until(lambda text: "Nothing runs." in text, 180)
    assert states(place)["verification"] is StepState.PROVED
    again.settle()
    again.press("q")
    assert again.wait() == 0


def test_a_storm_of_resizes_changes_nothing(
    new_place: Callable[..., Place], opened: Callable[[Place], Terminal]
) -> None:
    terminal = opened(new_place("resized"))
    terminal.until(lambda text: "ready — next" in text)
    for columns in (200, 40, 120, 80, 60, 132, 80):
        terminal.resize(columns, 24)
        terminal.send(signal.SIGWINCH)
    terminal.until(lambda text: "ready — next" in text)
    terminal.settle()
    terminal.press("q")
    assert terminal.wait() == 0


def test_without_a_site_it_asks_for_one_and_goes_on_to_the_checklist(
    new_place: Callable[..., Place], opened: Callable[[Place], Terminal]
) -> None:
    place = new_place("start")
    root = place.environment.pop("CANSWARM_SITE__ROOT")
    terminal = opened(place)
    terminal.until(lambda text: "which site?" in text)
    terminal.settle()
    terminal.press(root)
    terminal.settle()
    terminal.press("\x1b[15~")
    terminal.until(lambda text: "ready — next" in text)
    terminal.settle()
    terminal.press("q")
    assert terminal.wait() == 0
