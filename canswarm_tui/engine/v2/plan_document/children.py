"""A crew of child processes that do Automerge's work, driven from one thread: jobs out, progress and results in.

No fork: a fresh interpreter each, so a threaded parent is safe. The crew must be left in the thread that entered it,
because a child is killed when the thread that started it ends.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, cast

import canswarm_tui
from canswarm_tui.engine import errors
from canswarm_tui.engine.errors import Defect, EngineError, NoSpace
from canswarm_tui.engine.v2.plan_document.files import DamagedDocument, file_errors
from canswarm_tui.engine.v2.plan_document.frames import read_frame, write_frame
from canswarm_tui.engine.v2.plan_document.jobs import RESULTS, Job, Result
from canswarm_tui.engine.v2.plan_document.rows import Conflict

_LOOK_EVERY_S: Final = 0.1
_LEAVE_WITHIN_S: Final = 5.0
_ERRORS: Final = {
    kind.__name__: kind
    for kind in (DamagedDocument, *vars(errors).values())
    if isinstance(kind, type) and issubclass(kind, EngineError)
}

Pulse = Callable[[], None]
"""Called about ten times a second; may raise to end the work."""


class Crew:
    """A context manager. `size` processes; each is given the next job when it has done one."""

    def __init__(self, size: int, scratch: Path, pulse: Pulse) -> None:
        self._size = size
        self._scratch = scratch
        self._pulse = pulse
        self._children: list[_Child] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.leave(at_once=error is not None)

    def work(
        self, jobs: Sequence[Job], progress: Callable[[int], None], conflict: Callable[[Conflict], None]
    ) -> Iterator[tuple[int, Result]]:
        """Yields (index of the job, its result) as they are done; raises the first error, after which all are ended."""
        waiting = deque(enumerate(jobs))
        with selectors.DefaultSelector() as selector:
            for _ in range(min(self._size, len(jobs)) - len(self._children)):
                self._children.append(_Child(self._scratch / f"automerge-{len(self._children)}.log"))
            busy = 0
            for child in self._children:
                selector.register(child.answers, selectors.EVENT_READ, child)
                busy += child.give(waiting)
            while busy:
                self._pulse()
                for key, _ in selector.select(_LOOK_EVERY_S):
                    ready = cast("_Child", key.data)
                    result = ready.hear(progress, conflict)
                    if result is not None:
                        yield ready.job, result
                        busy -= not ready.give(waiting)


class _Child:
    def __init__(self, log: Path) -> None:
        self._log = log
        self.job = -1
        with file_errors(log), log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "canswarm_tui.engine.v2.plan_document.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C at the terminal is for the parent, which ends its children
            )
        self.answers = cast("FileIO", self._process.stdout)
        self._requests = cast("BinaryIO", self._process.stdin)

    def give(self, waiting: deque[tuple[int, Job]]) -> bool:
        """Hand over the next job, if there is one."""
        if not waiting:
            return False
        self.job, job = waiting.popleft()
        try:
            write_frame(self._requests, (type(job).__name__, asdict(job)))
        except BrokenPipeError:
            raise self._died() from None
        return True

    def hear(self, progress: Callable[[int], None], conflict: Callable[[Conflict], None]) -> Result | None:
        """One frame: None unless it was a result; raises what the child reports, or that it died."""
        try:
            match read_frame(cast("BinaryIO", self.answers)):
                case ("progress", int(rows)):
                    progress(rows)
                case ("conflict", str(op_id), there, wanted):
                    conflict(Conflict(op_id, there, wanted))
                case ("done", str(kind), fields):
                    return RESULTS[kind](**fields)
                case ("error", str(kind), str(subject), str(happened), str(remedy)):
                    raise _ERRORS[kind](subject, happened, remedy)
        except EOFError:
            raise self._died() from None
        return None

    def leave(self, *, at_once: bool) -> None:
        if at_once:
            self._process.kill()
        self._requests.close()
        try:
            self._process.wait(_LEAVE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.answers.close()

    def _died(self) -> EngineError:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return NoSpace(
                "plan document",
                "its child process was killed, most likely for want of memory",
                "free memory or lower engine.memory_budget_mib, then run again: nothing is lost",
            )
        last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
        return Defect("plan document", f"its child process ended with {code}: {last}", "report this defect")


def _environment() -> dict[str, str]:
    """Ours without secrets and settings, which the child has no use for, and with the place of our own package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CANSWARM_", "SWARM_"))}
    package = str(Path(canswarm_tui.__file__).parent.parent)
    kept["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [kept.get("PYTHONPATH")])])
    return kept
