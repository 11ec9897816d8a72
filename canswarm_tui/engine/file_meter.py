"""How far the reading of a file is: its lines by number and rate, its time left by bytes, as only its size is known."""

from __future__ import annotations

import time
from collections.abc import Callable

from canswarm_tui.engine.rate import Meter
from canswarm_tui.engine.step import Progress


class FileMeter:
    """Counts lines and bytes of one file from its beginning."""

    def __init__(self, doing: str, size_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._doing, self._size_bytes = doing, size_bytes
        self._lines, self._bytes = Meter(clock), Meter(clock)

    def at(self, lines: int, done_bytes: int) -> Progress:
        """The progress at this place; `lines` is 0 where they are not counted."""
        self._lines.count(lines)
        self._bytes.count(done_bytes)
        return Progress(
            self._doing, lines, None, done_bytes, self._size_bytes,
            rate=self._lines.rate() if lines else None, eta_s=self._bytes.eta_s(self._size_bytes),
        )  # fmt: skip
