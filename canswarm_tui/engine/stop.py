"""A stop that is asked for, not forced: looked at between batches and in every wait."""

from __future__ import annotations

import threading

from canswarm_tui.engine.errors import Stopped


class StopSignal:
    """Set once, by a signal, a request or a screen; everything that waits, waits on it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._why = ""

    def set(self, why: str) -> None:
        """`why` completes the sentence `stopped: …`; the first reason stays."""
        if not self._event.is_set():
            self._why = why
            self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most so long; True when a stop is asked for."""
        return self._event.wait(timeout_s)

    def check(self) -> None:
        """Raise `Stopped` when a stop is asked for."""
        if self._event.is_set():
            raise Stopped("run", f"stopped: {self._why}", "the same command goes on where it stopped")
