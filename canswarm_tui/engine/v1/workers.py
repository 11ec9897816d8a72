"""A few child processes that read v1's files in parallel: bounded, in order, and gone when we are.

Threads don't help here: small files and signatures are Python work under one lock. Processes are spawned, not forked,
because the interface's process has threads; a child whose parent was killed ends itself within a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import Final, TypeVar

from canswarm_tui.engine.errors import Defect, Stopped

Task = TypeVar("Task")
Result = TypeVar("Result")

_WINDOW: Final = 2
"""Tasks handed out per process beyond the oldest unfinished one; bounds the results that wait for their turn."""

_stopping: Event | None = None
"""In a child: set when nobody waits for its result any more."""


def default_processes() -> int:
    """One for each core that we may use, at most 8."""
    return min(8, len(os.sched_getaffinity(0)))


def stop_if_unwanted() -> None:
    """To be called often by a task: raises `Stopped` in a child process whose result nobody wants any more."""
    if _stopping is not None and _stopping.is_set():
        raise Stopped("reading the site", "it was stopped", "run it again")


def ordered_map(work: Callable[[Task], Result], tasks: Iterable[Task], processes: int) -> Generator[Result, None, None]:
    """`work` of each task in order, computed by child processes; an error of a task is raised in its turn.

    With one process it runs right here. `work` must be importable. Closing the iterator stops the children.
    """
    if processes <= 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    pool = ProcessPoolExecutor(processes, context, _start_child, (stopping, os.getpid()))
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) >= processes * _WINDOW:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as exc:
        raise Defect("reading the site", "a child process was killed", "check the memory and run it again") from exc
    finally:
        stopping.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _start_child(stopping: Event, parent: int) -> None:
    global _stopping
    _stopping = stopping
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; Ctrl-C reaches every process of a terminal
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
