"""The rate limit: what it holds back, that it can be turned while somebody waits, and how it is written."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.file_meter import FileMeter
from canswarm_tui.engine.rate import RateLimit, limit_text, read_limit
from canswarm_tui.engine.stop import StopSignal


def waited_s(limit: RateLimit, records: int = 1, size_bytes: int = 0, stop: StopSignal | None = None) -> float:
    began = time.monotonic()
    limit.pause(records, size_bytes, stop or StopSignal())
    return time.monotonic() - began


def test_without_a_bound_nothing_waits() -> None:
    limit = RateLimit()
    assert waited_s(limit, 10**9, 10**12) + waited_s(limit, 10**9, 10**12) < 0.1


@pytest.mark.parametrize(("records_s", "bytes_s"), [(100.0, None), (None, 100.0)])
def test_what_was_sent_is_paid_off_before_more_goes(records_s: float | None, bytes_s: float | None) -> None:
    limit = RateLimit(records_s, bytes_s)
    assert waited_s(limit, 30, 30) < 0.1
    assert 0.25 <= waited_s(limit, 30, 30) < 0.6


def test_a_limit_turned_up_frees_the_one_that_waits_and_it_is_told_why_it_waited() -> None:
    limit, told = RateLimit(1.0), threading.Event()
    waited_s(limit, 1000)
    began = time.monotonic()
    waiter = threading.Thread(target=limit.pause, args=(1, 0, StopSignal(), told.set))
    waiter.start()
    assert told.wait(5)
    limit.turn(None, None)
    waiter.join(5)
    assert not waiter.is_alive()
    assert time.monotonic() - began < 2


def test_a_limit_turned_down_holds_what_was_sent_since_against_the_new_rate() -> None:
    limit = RateLimit(1000.0)
    waited_s(limit, 50)
    limit.turn(100.0, None)
    assert 0.3 <= waited_s(limit) < 0.9


def test_a_stop_ends_the_wait() -> None:
    limit, stop = RateLimit(1.0), StopSignal()
    waited_s(limit, 1000)
    stop.set("asked to")
    assert waited_s(limit, 1, 0, stop) < 0.2


@given(st.floats(0.001, 1e9))
def test_a_written_limit_reads_back(records_s: float) -> None:
    text = limit_text(records_s).removeprefix("limit ").removesuffix("/s")
    assert read_limit(text) == pytest.approx(records_s, rel=1e-6)


def test_off_is_no_limit() -> None:
    assert read_limit(" OFF ") is None
    assert limit_text(None) == "no limit"


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "fast", "5/s", "\x1b[31m"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="records a second"):
        read_limit(text)


def test_the_time_left_of_a_file_is_told_by_its_bytes_and_is_unknown_until_something_was_read() -> None:
    times = iter([0.0, 0.0, 0.1, 0.1, 2.0, 2.0])
    meter = FileMeter("reading", 1000, lambda: next(times))
    assert meter.at(1, 10).eta_s is None
    at = meter.at(40, 250)
    assert (at.total, at.done_bytes, at.total_bytes, at.rate, at.eta_s) == (None, 250, 1000, 20.0, 6.0)
