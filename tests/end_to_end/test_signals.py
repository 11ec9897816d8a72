"""What reaches a running phase from outside: signals, Ctrl+C and Ctrl+Z, and a terminal that stops reading."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from canswarm_tui.engine.journal import Journal, StepState
from tests.end_to_end.places import Place
from tests.end_to_end.terminal import PROGRAM, Terminal

DECISIONS = 1500
DECISION = {
    "proposal_id": "p", "epoch": 1, "lamport": 3, "k_plan": 1, "decider_id": "d", "timestamp_ns": 1_700_000_000_000,
}  # fmt: skip
LEFT = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?1006l", b"\x1b[?2004l", b"\x1b[?1004l")
"""Alternate screen, hidden cursor, mouse, bracketed paste and focus reports are over."""
TITLES = {
    "blobs-minio": "CAS: files → MinIO", "decisions": "Consensus: Redis → etcd",
    "plan-store": "Plan store: SQLite → Automerge", "policy-opa": "Policy: Python → OPA",
}  # fmt: skip


@contextmanager
def terminal_of(place: Place, *, slow: bool = True, command: Sequence[str] = PROGRAM) -> Iterator[Terminal]:
    """At 20 records a second where slow: a phase is long enough to be met in its middle.

    The size that a shell has exported is not the terminal's after the first change of it.
    """
    limit = {"CANSWARM_ENGINE__RATE_LIMIT_RECORDS_S": "20"} if slow else {}
    exported = {"COLUMNS": "80", "LINES": "24"}
    terminal = Terminal({**place.environment, **limit, **exported}, 80, 24, command=command)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture
def prepared(new_place: Callable[..., Place]) -> Place:
    """A place with some hundred decisions whose preparation is done."""
    place = new_place("signals")
    client = redis.Redis.from_url(place.environment["CANSWARM_SITE__REDIS_URL"])
    client.mset({f"decide:need-{n:04}": json.dumps({**DECISION, "need_id": f"need-{n:04}"}) for n in range(DECISIONS)})
    client.close()
    assert place.program("run", "preflight", "backup", "--yes").returncode in (0, 10)
    return place


def state_of(place: Place, step: str) -> StepState:
    (path,) = (place.folder / "state" / "sites").glob("*/journal.db")
    journal = Journal.observe(path)
    try:
        record = journal.records().get(step)
        return StepState.NOT_STARTED if record is None else record.state
    finally:
        journal.close()


def done(place: Place) -> int:
    """How many records the run says it has copied, by its live file."""
    for path in (place.folder / "state").glob("sites/*/live.json"):
        told = json.loads(path.read_text() or "{}")
        if told.get("doing") == "copying":
            return int(told["done"])
    return 0


def goes_on(place: Place, than: int, terminal: Terminal | None = None) -> None:
    """Wait until the run has copied more; a terminal that is given is read meanwhile."""
    deadline = time.monotonic() + 30
    while done(place) <= than:
        assert time.monotonic() < deadline, "the run does not go on"
        if terminal is None:
            time.sleep(0.05)
        else:
            terminal.read(0.05)


def start(terminal: Terminal, step: str) -> None:
    """Go to a step of the checklist and run it."""
    terminal.until(lambda text: "Pre-migration" in text)
    terminal.settle()
    lines = terminal.screen.display
    first, row = (next(n for n, line in enumerate(lines) if title in line) for title in ("Pre-migration", TITLES[step]))
    terminal.press("\x1b[A" * 30)
    terminal.settle()
    # From the first item, key by key: the cursor passes over a heading only once that has been drawn.
    headings = sum("During migration" in line or "Post-migration" in line for line in lines[first:row])
    for _ in range(row - first - 1 - headings):
        terminal.press("\x1b[B")
        terminal.settle(0.15)
    terminal.press("r")


def in_the_middle(terminal: Terminal, place: Place) -> None:
    start(terminal, "decisions")
    terminal.until(lambda text: "copying" in text)
    goes_on(place, 5, terminal)


def is_running(terminal: Terminal, place: Place, step: str) -> None:
    """Wait until the step copies or verifies what it has copied."""
    terminal.until(lambda text: "Running:" in text and state_of(place, step) is StepState.RUNNING)


def is_left_as_it_was(terminal: Terminal, before: list[object]) -> bool:
    return all(mode in terminal.raw for mode in LEFT) and terminal.modes() == before


def test_every_phase_is_stopped_by_sigterm_and_the_next_start_goes_on(prepared: Place) -> None:
    for step in TITLES:
        with terminal_of(prepared) as terminal:
            before = terminal.modes()
            start(terminal, step)
            is_running(terminal, prepared, step)
            terminal.send(signal.SIGTERM)
            assert terminal.wait() == 143
            assert is_left_as_it_was(terminal, before)
        assert state_of(prepared, step) is StepState.STOPPED, step
        with terminal_of(prepared, slow=False) as terminal:
            terminal.until(lambda text: "stopped — next" in text)
            start(terminal, step)
            terminal.until(lambda text: "Running:" in text)
            terminal.until(lambda text: "Nothing runs." in text, 120)
            terminal.press("q")
            assert terminal.wait() == 0
        assert state_of(prepared, step) is StepState.PROVED, step


def test_ctrl_c_asks_like_quit_and_stopped_is_told_only_after_the_engine_has(prepared: Place) -> None:
    with terminal_of(prepared) as terminal:
        before = terminal.modes()
        in_the_middle(terminal, prepared)
        terminal.press("\x03")
        terminal.until(lambda text: "A step is running" in text)
        terminal.settle()
        terminal.press("\r")
        terminal.until(lambda text: "A step is running" not in text)
        goes_on(prepared, done(prepared), terminal)
        terminal.press("s")
        terminal.until(lambda text: "stopped — next" in text)
        assert state_of(prepared, "decisions") is StepState.STOPPED
        start(terminal, "decisions")
        terminal.until(lambda text: "Running:" in text)
        terminal.send(signal.SIGINT)
        assert terminal.wait() == 143
        assert is_left_as_it_was(terminal, before)
    assert state_of(prepared, "decisions") is StepState.STOPPED


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_stopped_and_continued_in_mid_phase_it_is_painted_whole_and_goes_on(
    prepared: Place, number: signal.Signals
) -> None:
    with terminal_of(prepared) as terminal:
        before = terminal.modes()
        in_the_middle(terminal, prepared)
        terminal.raw = b""
        terminal.send(number)
        deadline = time.monotonic() + 10
        while terminal.status() != "T":
            terminal.read(0.05)
            assert time.monotonic() < deadline
        terminal.settle()
        if number is signal.SIGTSTP:
            assert is_left_as_it_was(terminal, before)
        terminal.forget()
        copied = done(prepared)
        terminal.resize(120, 40)
        terminal.send(signal.SIGCONT)
        terminal.until(lambda text: "CAN Swarm v1 → v2" in text and TITLES["policy-opa"] in text and "Quit" in text)
        goes_on(prepared, copied, terminal)
        terminal.send(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.modes() == before


def test_ctrl_z_gives_the_shell_back_and_fg_comes_back(prepared: Place) -> None:
    shell = ("/bin/bash", "--norc", "--noprofile", "-i")
    with terminal_of(prepared, command=shell) as terminal:
        terminal.press(f"PS1='here:'; {sys.executable} -m canswarm_tui\n")
        in_the_middle(terminal, prepared)
        terminal.press("\x1a")
        terminal.until(lambda text: "Stopped" in text)
        terminal.forget()
        terminal.press("echo $((6 * 7))\n")
        terminal.until(lambda text: "42" in text)
        copied = done(prepared)
        terminal.press("fg\n")
        terminal.until(lambda text: "CAN Swarm v1 → v2" in text and "Quit" in text)
        goes_on(prepared, copied, terminal)
        terminal.press("s")
        terminal.until(lambda text: "Nothing runs." in text)
        terminal.press("q")
        terminal.until(lambda text: "here:" in text)
    assert state_of(prepared, "decisions") is StepState.STOPPED


def test_where_no_shell_would_take_over_ctrl_z_says_so(new_place: Callable[..., Place]) -> None:
    with terminal_of(new_place("alone")) as terminal:
        terminal.until(lambda text: "ready — next" in text)
        terminal.settle()
        terminal.press("\x1a")
        terminal.until(lambda text: "no shell" in text)
        assert terminal.status() != "T"


def test_a_terminal_that_stops_reading_does_not_hold_up_the_run(prepared: Place) -> None:
    with terminal_of(prepared) as terminal:
        in_the_middle(terminal, prepared)
        for _ in range(60):
            terminal.press("\x1bOQ")
        for _ in range(3):
            goes_on(prepared, done(prepared))
        terminal.forget()
        terminal.resize(120, 40)
        terminal.until(lambda text: text.splitlines()[39].lstrip().startswith("⏎ Open") and "copying" in text)
        terminal.until(lambda text: all(title in text for title in TITLES.values()) and "CAN Swarm v1" in text)


def test_a_terminal_that_never_reads_again_does_not_keep_the_program(prepared: Place) -> None:
    with terminal_of(prepared) as terminal:
        before = terminal.modes()
        in_the_middle(terminal, prepared)
        for _ in range(60):
            terminal.press("\x1bOQ")
        goes_on(prepared, done(prepared) + 40)
        terminal.send(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while terminal.status() != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert terminal.modes() == before
    assert state_of(prepared, "decisions") is StepState.STOPPED


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_tmux_detached_and_attached_again_at_another_size(prepared: Place) -> None:
    server = ["tmux", "-L", f"canswarm-{os.getpid()}-{time.time_ns()}", "-f", "/dev/null"]

    def tmux(*arguments: str) -> str:
        return subprocess.run(
            [*server, *arguments], env={**prepared.environment, "PATH": "/usr/bin:/bin", "TERM": "xterm-256color",
                                        "CANSWARM_ENGINE__RATE_LIMIT_RECORDS_S": "20", "LANG": "C.UTF-8"},
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    tmux(
        "new-session",
        "-d",
        "-x",
        "80",
        "-y",
        "24",
        "env",
        f"PYTHONPATH={Path.cwd()}",
        sys.executable,
        "-m",
        "canswarm_tui",
    )
    attach = (shutil.which("tmux") or "", *server[1:], "-u", "attach")
    try:
        with terminal_of(prepared, command=attach) as terminal:
            in_the_middle(terminal, prepared)
            terminal.press("\x02d")
            assert terminal.wait() == 0
        goes_on(prepared, done(prepared))
        with terminal_of(prepared, command=attach) as terminal:
            terminal.resize(120, 40)
            terminal.until(lambda text: all(title in text for title in TITLES.values()) and "copying" in text)
            terminal.press("s")
            terminal.until(lambda text: "stopped" in text)
        assert state_of(prepared, "decisions") is StepState.STOPPED
    finally:
        tmux("kill-server")
