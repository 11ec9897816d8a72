"""The interface in a pseudo-terminal, on real servers: first paint, bytes on the line, keys, memory, what it costs."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Result, resident_mib, seconds
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.sandbox import site_redis, stack
from canswarm_tui.sandbox.site import write_site
from tests.end_to_end.terminal import Terminal

DOWN, UP = "\x1b[B", "\x1b[A"
OVER_SSH = {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
NEXT = "next"
"""What the checklist says beside the item to be done next: it is painted whole."""


def interface(folder: Path, scale: float) -> Iterator[Result]:
    """Each figure on the same site, in the installed program."""
    folder.mkdir(exist_ok=True)
    servers = folder / "servers"
    stack.up(servers)
    try:
        environment = prepared(folder, servers, threads=max(100, int(1_000 * scale)))
        yield from _starting(environment)
        yield from _idle(environment)
        yield from _running(environment)
        yield _beside_headless(environment)
    finally:
        stack.down(servers)


def prepared(folder: Path, servers: Path, threads: int) -> dict[str, str]:
    environment = {**stack.environment(servers), "CANSWARM_SITE__ROOT": str(folder / "site"),
                   "CANSWARM_STATE_DIR": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}  # fmt: skip
    write_site(folder / "site", threads, 1)
    site = SiteSettings(root=folder / "site", redis_url=environment["CANSWARM_SITE__REDIS_URL"])
    site_redis.load(folder / "site" / "redis.jsonl", site)
    return environment


def _starting(environment: Mapping[str, str]) -> Iterator[Result]:
    version = [sys.executable, "-m", "canswarm_tui", "--version"]
    spent = [seconds(lambda: subprocess.run(version, check=True, stdout=subprocess.DEVNULL)) for _ in range(9)]
    yield Result(
        "--version", 1000 * statistics.median(spent), 150, "ms", False, "from the start of the process to its end"
    )

    def paint() -> None:
        with opened(environment):
            pass

    paint()
    spent = [seconds(paint) for _ in range(7)]
    yield Result(
        "first paint of the checklist", 1000 * statistics.median(spent), 500, "ms", False,
        "from the start of the process, journal read, at 120x40; the median of 7",
    )  # fmt: skip


def _idle(environment: Mapping[str, str]) -> Iterator[Result]:
    with opened({**environment, **OVER_SSH}) as terminal:
        _read_for(terminal, 3.0)
        before = len(terminal.raw)
        _read_for(terminal, 30.0)
        rate = (len(terminal.raw) - before) / 30 / 1024
        yield Result(
            "bytes on the line while idle, reduced", rate, 1, "KiB/s", False, "over 30 s, every server looked at"
        )
        yield Result(
            "memory of the interface", resident_mib(terminal.pid), 150, "MiB", False, "idle, every server looked at"
        )


def _running(environment: Mapping[str, str]) -> Iterator[Result]:
    with opened(_elsewhere(environment, "keys")) as terminal:
        _run_all(terminal)
        waited = _press_while_it_runs(terminal)
    fast = 1000 * statistics.quantiles(waited, n=20)[-1]
    yield Result(
        "key press to paint, 95th percentile", fast, 50, "ms", False,
        f"at the full frame rate while a migration runs, all its steps; {len(waited):,} presses, "
        f"median {1000 * statistics.median(waited):.0f} ms",
    )  # fmt: skip
    with opened({**_elsewhere(environment, "bytes"), **OVER_SSH}) as terminal:
        _run_all(terminal)
        before, began = len(terminal.raw), time.perf_counter()
        _until_nothing_runs(terminal)
        rate = (len(terminal.raw) - before) / (time.perf_counter() - began) / 1024
    yield Result("bytes on the line while running, reduced", rate, 10, "KiB/s", False, "a whole run on the checklist")


def _beside_headless(environment: Mapping[str, str]) -> Result:
    """The same run three times under the interface and three times without it, in turn."""
    shares = []
    for round_ in range(3):
        headless = {**os.environ, **_elsewhere(environment, f"headless{round_}")}
        began = time.perf_counter()
        command = [sys.executable, "-m", "canswarm_tui", "run", "--yes", "--json"]
        subprocess.run(command, env=headless, check=True, capture_output=True)
        alone = time.perf_counter() - began
        with opened(_elsewhere(environment, f"shown{round_}")) as terminal:
            began = _run_all(terminal)
            _until_nothing_runs(terminal)
            shares.append(100 * ((time.perf_counter() - began) / alone - 1))
    each = ", ".join(f"{share:.1f}" for share in shares)
    return Result(
        "a migration under the interface, slower than headless by", statistics.median(shares), 5, "%", False,
        f"from the key to the end beside the whole command; round by round: {each} %",
    )  # fmt: skip


@contextmanager
def opened(environment: Mapping[str, str]) -> Iterator[Terminal]:
    """The installed program, its checklist painted."""
    terminal = Terminal(environment, 120, 40)
    try:
        terminal.until(lambda text: NEXT in text or "proved" in text, 30)
        yield terminal
    finally:
        terminal.close()


def _elsewhere(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """A copy of the site as it was generated, to a target of its own."""
    root = Path(environment["CANSWARM_SITE__ROOT"])
    shutil.copytree(root, root.with_name(name), symlinks=True)
    return {
        **environment,
        "CANSWARM_SITE__ROOT": str(root.with_name(name)),
        "CANSWARM_STATE_DIR": f"{environment['CANSWARM_STATE_DIR']}-{name}",
        "CANSWARM_ETCD__PREFIX": f"/bench/{name}/decide/",
        "CANSWARM_S3__BUCKET": f"bench-{name}",
    }


def _run_all(terminal: Terminal) -> float:
    """Begin; returns when the key was pressed."""
    terminal.press("a")
    terminal.until(lambda text: "Run every pending step" in text)
    terminal.settle()
    began = time.perf_counter()
    terminal.press("\t\r")
    terminal.until(lambda text: "Running:" in text)
    return began


def _until_nothing_runs(terminal: Terminal) -> None:
    terminal.until(lambda text: "Nothing runs" in text, 300)


def _read_for(terminal: Terminal, seconds_: float) -> None:
    deadline = time.monotonic() + seconds_
    while time.monotonic() < deadline:
        terminal.read(0.1)


def _press_while_it_runs(terminal: Terminal) -> list[float]:
    """Seconds from each press of an arrow until the bytes came that moved the cursor's bar, while the run lasts.

    Not until the emulator, which is no part of the program, has drawn them.
    """
    waited: list[float] = []
    down = True
    while "Nothing runs" not in terminal.text():
        at = _bar(terminal)
        terminal.press(DOWN if down else UP)
        began = time.perf_counter()
        if not _moved(lambda at=at: _bar(terminal) != at, terminal):  # type: ignore[misc]
            down = not down
            continue
        waited.append(terminal.read_at - began)
        down = not down
        _read_for(terminal, 0.15)
    return waited


def _moved(has: Callable[[], bool], terminal: Terminal) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if has():
            return True
        terminal.read(0.001)
    return False


def _bar(terminal: Terminal) -> int:
    """The row whose background is not that of the others."""
    colours = [terminal.screen.buffer[row][5].bg for row in range(1, 28)]
    usual = statistics.mode(colours)
    return next((row for row, colour in enumerate(colours) if colour != usual), -1)
