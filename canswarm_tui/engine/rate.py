"""A rate limit that can be turned while it runs, and the measured rate that progress shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from canswarm_tui.engine.stop import StopSignal


class RateLimit:
    """A token bucket for records and bytes a second; None means no bound. Thread-safe."""

    def __init__(self, records_s: float | None = None, bytes_s: float | None = None) -> None:
        self._mutex = threading.Lock()
        self._records_s = records_s
        self._bytes_s = bytes_s
        self._free_at = 0.0

    def turn(self, records_s: float | None, bytes_s: float | None) -> None:
        """Set new bounds from now on."""
        with self._mutex:
            self._records_s, self._bytes_s, self._free_at = records_s, bytes_s, 0.0

    def pause(self, records: int, size_bytes: int, stop: StopSignal) -> None:
        """Wait until so much more may be sent; returns early when a stop is asked for."""
        with self._mutex:
            cost_s = max(
                records / self._records_s if self._records_s else 0.0,
                size_bytes / self._bytes_s if self._bytes_s else 0.0,
            )
            now = time.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + cost_s
        if begin > now:
            stop.wait(begin - now)


class Meter:
    """Records a second over the last seconds, and from it the time to the end."""

    WINDOW_S = 5.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points: deque[tuple[float, int]] = deque([(clock(), 0)])

    def count(self, done: int) -> None:
        now = self._clock()
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[1][0] > self.WINDOW_S:
            self._points.popleft()

    def rate(self) -> float | None:
        (t0, n0), (t1, n1) = self._points[0], self._points[-1]
        return (n1 - n0) / (t1 - t0) if t1 - t0 >= 0.2 else None

    def eta_s(self, total: int | None) -> float | None:
        """Seconds to `total` at the present rate; None when it is not known."""
        rate = self.rate()
        if total is None or not rate or rate <= 0:
            return None
        return max(0.0, (total - self._points[-1][1]) / rate)
