from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Defect, SiteUnreadable
from canswarm_tui.engine.v1.workers import ordered_map, stop_if_unwanted


def late_if_even(number: int) -> tuple[int, int]:
    time.sleep(0.05 if number % 2 == 0 else 0)
    return number, os.getpid()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise SiteUnreadable("a file", "it is gone", "look")
    return number


def die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def until_unwanted(_: int) -> int:
    for _ in range(600):
        stop_if_unwanted()
        time.sleep(0.05)
    return 0


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes: int) -> None:
    results = list(ordered_map(late_if_even, range(12), processes))
    assert [number for number, _ in results] == list(range(12))
    assert (os.getpid() in {pid for _, pid in results}) is (processes == 1)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_task_comes_in_its_turn_with_all_its_facts(processes: int) -> None:
    results = ordered_map(fail_at_three, range(9), processes)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SiteUnreadable, match=r"a file: it is gone\. Look"):
        next(results)
    assert multiprocessing.active_children() == []


def test_a_killed_child_is_an_error_and_no_hang() -> None:
    with pytest.raises(Defect, match="killed"):
        list(ordered_map(die, range(3), 2))


def test_closing_ends_busy_children_within_a_second() -> None:
    results = ordered_map(first_quick, range(5), 2)
    assert next(results) == 0
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 1
    assert multiprocessing.active_children() == []


def first_quick(number: int) -> int:
    return number if number == 0 else until_unwanted(number)


PARENT = """
import os, sys
from canswarm_tui.engine.v1.workers import ordered_map
from tests.engine.v1.test_workers import first_quick
if __name__ == "__main__":
    results = ordered_map(first_quick, range(5), 2)
    next(results)
    import multiprocessing
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_children_of_a_killed_parent_end_themselves(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    children = [int(pid) for pid in done.stdout.split()]
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
