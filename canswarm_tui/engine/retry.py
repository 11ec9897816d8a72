"""Trying again after a transient failure: backing off with jitter, visibly, until too long without success."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.stop import StopSignal

T = TypeVar("T")
OnRetry = Callable[[EngineError, int, float], None]


class RetryPolicy:
    """Shared by all calls of one verb: each success resets the clock that gives up."""

    def __init__(self, give_up_after_s: float, stop: StopSignal, on_retry: OnRetry) -> None:
        self._give_up_after_s = give_up_after_s
        self._stop = stop
        self._on_retry = on_retry
        self._last_success = time.monotonic()

    def call(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`; raises its last error, at once when it is permanent, and `Stopped` when asked to."""
        begun = time.monotonic()
        result = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, EngineError) and e.transient),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=10.0, jitter=0.3),
            stop=lambda _state: time.monotonic() - max(begun, self._last_success) > self._give_up_after_s,
            sleep=self._sleep,
            before_sleep=self._tell,
            reraise=True,
        )(attempt)
        self._last_success = time.monotonic()
        return result

    def _sleep(self, delay_s: float) -> None:
        self._stop.wait(delay_s)
        self._stop.check()

    def _tell(self, state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, EngineError)
        self._on_retry(error, state.attempt_number, state.upcoming_sleep)
