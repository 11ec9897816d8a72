"""Questions at a terminal: what counts as an answer, and signals that come while one waits."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator

import click
import pytest

from canswarm_tui.commands.prompts import ask_line, ask_yes


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The far end of a terminal that is standard input here."""
    far, near = os.openpty()
    with os.fdopen(near) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield far
    os.close(far)


@pytest.mark.parametrize(("typed", "yes"), [(b"y\n", True), (b"YES\n", True), (b"\n", False), (b"no\n", False)])
def test_enter_alone_is_no(keyboard: int, typed: bytes, yes: bool) -> None:
    os.write(keyboard, typed)
    assert ask_yes("Go on?") is yes


def test_what_is_neither_yes_nor_no_is_asked_again(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(keyboard, b"maybe\ny\n")
    assert ask_yes("Go on?")
    assert capsys.readouterr().err.count("Go on? [y/N]: ") == 2


def test_enter_takes_the_default_and_lines_that_were_pasted_are_taken_one_by_one(keyboard: int) -> None:
    os.write(keyboard, b"\nsecond\n")
    assert [ask_line("one", "kept", show_default=True), ask_line("two")] == ["kept", "second"]


def test_the_end_of_the_input_ends_the_question(keyboard: int) -> None:
    os.write(keyboard, b"\x04")
    with pytest.raises(click.Abort):
        ask_line("one")


def test_ctrl_c_ends_it_while_it_waits(keyboard: int) -> None:
    # What starts the tests in the background may have left SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kill = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    try:
        kill.start()
        with pytest.raises(click.Abort):
            ask_line("one")
    finally:
        kill.join()
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_ends_nothing_leaves_it_waiting(keyboard: int) -> None:
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: seen.append(number))
    timers = [
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)),
        threading.Timer(0.4, os.write, (keyboard, b"typed\n")),
    ]
    try:
        for timer in timers:
            timer.start()
        assert ask_line("one") == "typed"
        assert seen == [signal.SIGUSR1]
    finally:
        for timer in timers:
            timer.join()
        signal.signal(signal.SIGUSR1, before)
