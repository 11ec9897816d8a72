"""What every benchmark shares: timing, peak memory of a process tree, results, private servers."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server, start_server


@dataclass(frozen=True)
class Result:
    """One line of the table: `value` beside `target`, both in `unit`; `at_least` says which side is good."""

    name: str
    value: float
    target: float
    unit: str
    at_least: bool
    detail: str

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_ratio(peer: Callable[[], float], ours: Callable[[], float], rounds: int = 3) -> tuple[float, float, float]:
    """(ratio, peer's rate, our rate): rates a second, measured in turn, so that a noisy machine hits both."""
    pairs = [(peer(), ours()) for _ in range(rounds)]
    ratio = statistics.median(mine / theirs for theirs, mine in pairs)
    return ratio, statistics.median(p for p, _ in pairs), statistics.median(o for _, o in pairs)


@contextmanager
def server(name: str, folder: Path) -> Iterator[Server]:
    """A private server for one benchmark."""
    started = start_server(name, folder / name)
    try:
        yield started
    finally:
        process.stop(started.running)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Sampled every 50 ms: the largest sum of resident memory, in MiB, of this process and its children."""
    peak = [0.0]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], sum(_resident(pid) for pid in _tree(os.getpid())) / 2**20)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def resident_mib(pid: int) -> float:
    """Resident memory of one process, in MiB."""
    return _resident(pid) / 2**20


def _tree(root: int) -> list[int]:
    pids, wave = [root], [root]
    while wave:
        wave = [int(c) for pid in wave for c in _children(pid)]
        pids += wave
    return pids


def _children(pid: int) -> list[str]:
    found: list[str] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += path.read_text().split()
        except OSError:
            continue
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
