"""One server process: started in a session of its own, known by pid and start time, stopped only if it is still it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.engine.errors import Unreachable


@dataclass(frozen=True, slots=True)
class Running:
    """A process that we started; `started` is its start time in clock ticks since boot, from /proc."""

    pid: int
    started: int
    log: Path


def start(command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None) -> Running:
    """Start a program that outlives us; its output goes to `log`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, env={**os.environ, **(environment or {})},
        )  # fmt: skip
    _children[child.pid] = child
    return Running(child.pid, start_time(child.pid) or 0, log)


def left_running(program: Path, folder: Path) -> list[Running]:
    """The processes that `start` made of this program in this folder and that still run, noted by us or not.

    Told by program, working folder and a session of its own, as nobody's shell or command has them.
    """
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        pid = int(one.name)
        try:
            is_it = (one / "exe").readlink() == program.resolve() and (one / "cwd").readlink() == folder.resolve()
            started = start_time(pid) if is_it and os.getsid(pid) == pid else None
        except OSError:
            continue
        if started is not None:
            found.append(Running(pid, started, folder / "server.log"))
    return found


def is_alive(process: Running) -> bool:
    """Whether that very process still runs; a reused pid does not count, nor does a zombie."""
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        return False
    alive = start_time(process.pid) == process.started
    if child is not None and not alive:
        child.wait()
    return alive


def stop(process: Running, timeout_s: float = 10.0) -> None:
    """Ask it to end, then make it; returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not send(process, number):
            return
        if number == signal.SIGTERM:
            send(process, signal.SIGCONT)
        deadline = time.monotonic() + timeout_s
        while is_alive(process) and time.monotonic() < deadline:
            time.sleep(0.02)
    if is_alive(process):
        raise Unreachable(f"process {process.pid}", "it does not end", "end it yourself")


def send(process: Running, number: signal.Signals) -> bool:
    """Send a signal to that very process; False when it is gone."""
    if not is_alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def start_time(pid: int) -> int | None:
    """A process's start time in clock ticks since boot (field 22 of /proc/PID/stat), or None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether nobody listens on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Our own children, so that they are reaped when they end."""
