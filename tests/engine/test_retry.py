"""Reads that go on after a failure: nothing is left out, nothing comes twice, and nothing else is tried again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.errors import EngineError, Refused, Stopped, Unreachable
from canswarm_tui.engine.retry import RetryPolicy
from canswarm_tui.engine.stop import StopSignal

AWAY = Unreachable("etcd", "no answer", "is it up?")


class Patient(RetryPolicy):
    """Waits for nothing, and notes what is told."""

    def __init__(self, give_up_after_s: float = 60.0) -> None:
        self.told: list[int] = []
        super().__init__(give_up_after_s, StopSignal(), lambda _error, attempt, _delay: self.told.append(attempt))

    def _sleep(self, _delay_s: float) -> None:
        self._stop.check()


@given(st.lists(st.integers(0, 1000), unique=True).map(sorted), st.lists(st.integers(0, 20), max_size=20))
def test_a_scan_that_fails_anywhere_any_number_of_times_gives_everything_once_in_order(
    keys: list[int], failures: list[int]
) -> None:
    """`failures`: after how many entries each scan in turn breaks off."""
    left = list(failures)

    def scan(after: int | None) -> Iterator[int]:
        breaks_after = left.pop(0) if left else None
        for number, key in enumerate(key for key in keys if after is None or key > after):
            if number == breaks_after:
                raise AWAY
            yield key
        if breaks_after is not None:
            raise AWAY

    retry = Patient()
    assert list(retry.resumed(scan, lambda key: key)) == keys
    assert len(retry.told) == len(failures)


def test_a_refusal_ends_a_scan_at_once_and_what_had_come_was_given_out() -> None:
    def scan(_after: int | None) -> Iterator[int]:
        yield 1
        raise Refused("etcd", "wrong password", "set it")

    retry, got = Patient(), list[int]()
    with pytest.raises(Refused):
        got.extend(retry.resumed(scan, lambda key: key))
    assert not retry.told


def test_an_attempt_that_has_failed_is_told_before_it_is_made_again() -> None:
    retry = Patient()
    assert retry.after(AWAY, lambda: 7) == 7
    assert retry.told == [1]


def test_what_stays_away_is_given_up_with_its_error() -> None:
    def fails() -> int:
        raise AWAY

    with pytest.raises(Unreachable):
        Patient(give_up_after_s=0).after(AWAY, fails)


def test_a_stop_ends_the_waiting() -> None:
    retry = Patient()

    def fails() -> int:
        retry._stop.set("asked to")
        raise AWAY

    with pytest.raises(Stopped) as ended:
        retry.after(AWAY, fails)
    assert isinstance(ended.value, EngineError)
