"""SIGSTOP promises nothing yet when it returns: waiting until a process really stands still."""

from __future__ import annotations

import time
from pathlib import Path


def wait_frozen(pid: int) -> None:
    """Return when every thread of the process has stopped: the signal alone promises nothing yet."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        states = [p.read_text().rpartition(")")[2].split()[0] for p in Path(f"/proc/{pid}/task").glob("*/stat")]
        if set(states) == {"T"}:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} does not stop")
