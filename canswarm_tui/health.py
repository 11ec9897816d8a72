"""The health of each server, looked at every few seconds by a thread of its own while the interface is open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from textual.message import Message

from canswarm_tui.engine.probe import SERVERS, Probe, probe
from canswarm_tui.engine.settings import Settings

EVERY_S = 15.0


class HealthSeen(Message):
    """One look at one server."""

    def __init__(self, seen: Probe) -> None:
        super().__init__()
        self.seen = seen


@dataclass
class HealthWatch:
    """Posts a `HealthSeen` for each server in turn, until it is ended."""

    settings: Settings
    post: Callable[[Message], bool]
    look: Callable[[str, Settings], Probe] = probe
    _ended: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask it to end; a look that is under way is not waited for."""
        self._ended.set()
        self._wake.set()

    def look_now(self) -> None:
        """Begin the next round at once."""
        self._wake.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            for name in SERVERS:
                if self._ended.is_set():
                    return
                self.post(HealthSeen(self.look(name, self.settings)))
            self._wake.wait(EVERY_S)
            self._wake.clear()
