"""The installed program in a pseudo-terminal, its screen kept by a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

PROGRAM = (sys.executable, "-m", "canswarm_tui")


class Terminal:
    """A child on a pty of so many columns and rows: the installed program, or another `command`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
        *arguments: str,
        command: Sequence[str] = PROGRAM,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.read_at = 0.0
        """When the latest bytes came, before the emulator had its turn; by `time.perf_counter`."""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            # Tests that run in the background have it ignored, which a child would inherit.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(command[0], [*command, *arguments], {**os.environ, "TERM": "xterm-256color", **environment})
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys: str) -> None:
        self.send_bytes(keys.encode())

    def send_bytes(self, data: bytes) -> None:
        os.write(self._fd, data)

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def until(self, holds: Callable[[str], bool], timeout_s: float = 60) -> str:
        """Read until the screen's text is as wanted; fails with the screen as it is."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if holds(self.text()):
                return self.text()
            if not self.read(0.2) and self._ended():
                break
        raise AssertionError(f"not on the screen in time:\n{self.text()}")

    def settle(self, quiet_s: float = 0.3) -> None:
        """Read until nothing has come for so long: keys pressed while a screen is being changed are dropped."""
        while self.read(quiet_s):
            pass

    def forget(self) -> None:
        """Empty the emulator's screen, so that only what is painted from now on stands on it."""
        self.screen.reset()

    def modes(self) -> list[object]:
        """The line discipline's state, as `stty -a` shows it; speeds left out."""
        attributes = termios.tcgetattr(self._fd)
        return [*attributes[:4], attributes[6]]

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """What a lost SSH connection does: the terminal goes away."""
        os.close(self._fd)
        self._fd = -1

    def wait(self, timeout_s: float = 30) -> int:
        """The exit code, negative for a signal."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            if self._fd >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        raise AssertionError(f"it does not end:\n{self.text()}")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._fd >= 0:
            os.close(self._fd)

    def read(self, wait_s: float) -> bool:
        """Take what comes within so long; whether anything did."""
        ready, _, _ = select.select([self._fd], [], [], wait_s)
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            return False
        self.read_at = time.perf_counter()
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def status(self) -> str:
        """The child's state as `ps` tells it: T is suspended, Z has ended and waits to be taken."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def _ended(self) -> bool:
        return not Path(f"/proc/{self.pid}").exists()
