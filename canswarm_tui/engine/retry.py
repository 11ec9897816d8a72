"""Trying again after a transient failure: backing off with jitter, visibly, until too long without success."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TypeVar

import tenacity

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.stop import StopSignal

T = TypeVar("T")
K = TypeVar("K")
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

    def after(self, error: EngineError, attempt: Callable[[], T]) -> T:
        """As `call`, where a first attempt has failed with `error`: what never fails pays nothing for being retried."""
        failed = [error]

        def again() -> T:
            if failed:
                raise failed.pop()
            return attempt()

        return self.call(again)

    def resumed(self, scan: Callable[[K | None], Iterator[T]], key: Callable[[T], K]) -> Iterator[T]:
        """All of `scan(None)`; after a transient failure it goes on with `scan(KEY)`, behind the last one that came."""
        entries, last = scan(None), None
        while True:
            try:
                for entry in entries:
                    yield entry
                    last = key(entry)
                return
            except EngineError as exc:
                entries = self.after(exc, lambda after=last: _begun(scan(after)))  # type: ignore[misc]

    def _sleep(self, delay_s: float) -> None:
        self._stop.wait(delay_s)
        self._stop.check()

    def _tell(self, state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, EngineError)
        self._on_retry(error, state.attempt_number, state.upcoming_sleep)


def _begun(entries: Iterator[T]) -> Iterator[T]:
    """The same entries, once the first of them has come."""
    first = list(islice(entries, 1))
    return chain(first, entries)
