"""A rate limit that can be turned while it runs, and the measured rate that progress shows."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from canswarm_tui.engine.stop import StopSignal

if TYPE_CHECKING:
    from canswarm_tui.engine.settings import Settings

LOOK_AGAIN_S = 0.2
"""A wait is cut into pieces of this length, so that a limit turned meanwhile holds at once."""


class RateLimit:
    """A bound for records and bytes a second; None means none. Thread-safe.

    What was sent is a debt that is paid off at the rate that holds now; while there is one, nothing more is sent.
    """

    def __init__(self, records_s: float | None = None, bytes_s: float | None = None) -> None:
        self._mutex = threading.Lock()
        self._records_s = records_s
        self._bytes_s = bytes_s
        self._records = self._bytes = 0.0
        self._at = time.monotonic()

    @property
    def records_s(self) -> float | None:
        """Records a second at most, as it is now."""
        return self._records_s

    @property
    def bytes_s(self) -> float | None:
        return self._bytes_s

    def turn(self, records_s: float | None, bytes_s: float | None) -> None:
        """Set new bounds from now on, also for those that wait already."""
        with self._mutex:
            self._pay_off()
            self._records_s, self._bytes_s = records_s, bytes_s

    def pause(self, records: int, size_bytes: int, stop: StopSignal, told: Callable[[], None] = lambda: None) -> None:
        """Wait until so much more may be sent; returns early when a stop is asked for.

        `told` is called again and again while it waits.
        """
        while (left_s := self._left_s()) > 0:
            told()
            if stop.wait(min(left_s, LOOK_AGAIN_S)):
                return
        with self._mutex:
            self._records += records
            self._bytes += size_bytes

    def _left_s(self) -> float:
        """Seconds until the debt is paid off."""
        with self._mutex:
            self._pay_off()
            return max(
                self._records / self._records_s if self._records_s else 0.0,
                self._bytes / self._bytes_s if self._bytes_s else 0.0,
            )

    def _pay_off(self) -> None:
        now = time.monotonic()
        passed_s, self._at = now - self._at, now
        self._records = max(0.0, self._records - passed_s * self._records_s) if self._records_s else 0.0
        self._bytes = max(0.0, self._bytes - passed_s * self._bytes_s) if self._bytes_s else 0.0


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


def limit_text(records_s: float | None) -> str:
    """The limit as people read it: `limit 500/s`, `no limit`."""
    return "no limit" if records_s is None else f"limit {records_s:,.10g}/s"


def read_limit(text: str) -> float | None:
    """`500` or `1,000` records a second; `off` for none. Raises `ValueError` with what is wrong."""
    if text.strip().lower() in ("off", "none", "no"):
        return None
    try:
        records_s = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        records_s = math.nan
    if not math.isfinite(records_s) or records_s <= 0:
        raise ValueError("write records a second, such as 500, or off")
    return records_s


def limit_of(settings: Settings) -> RateLimit:
    """The rate limit that the settings ask for."""
    mib_s = settings.engine.rate_limit_mib_s
    return RateLimit(settings.engine.rate_limit_records_s, None if mib_s is None else mib_s * 2**20)
