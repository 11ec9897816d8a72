from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.steps.policy_parity import Difference, Question, compare, conformance_questions
from canswarm_tui.engine.v1.policy import GUIDE, V1
from canswarm_tui.engine.v2.policy.answer import ALLOWED, UNDEFINED, Answer

DENIED = Answer(allow=False, reasons=("kind_not_allowed",))


def questions(count: int) -> Iterator[Question]:
    for number in range(count):
        yield Question(str(number), str(number).encode(), DENIED if number % 10 == 3 else ALLOWED, times=2)


def engine(inputs: Sequence[bytes]) -> list[Answer]:
    """Right, but for 13 (allowed), 20 (undefined) and 33 (another reason)."""
    odd = {b"13": ALLOWED, b"20": UNDEFINED, b"33": Answer(allow=False, reasons=("signature_invalid",))}
    return [odd.get(one, DENIED if int(one) % 10 == 3 else ALLOWED) for one in inputs]


@pytest.mark.parametrize("threads", [1, 4])
def test_every_difference_is_told_by_name_and_everything_is_counted(threads: int) -> None:
    told: list[Difference] = []
    ticks: list[int] = []
    parity = compare(questions(1050), engine, told.append, ticks.append, threads)
    assert [difference.question.name for difference in told] == ["13", "20", "33"]
    assert [difference.fails_open for difference in told] == [True, False, False]
    assert all(difference.first_differs for difference in told)
    assert (parity.inputs, parity.compared, parity.equal, parity.differences) == (1050, 2100, 2094, 6)
    assert parity.reasons == {"kind_not_allowed": 210}
    assert parity.allowed == 1890
    assert parity.missed == {"kind_not_allowed": 4, "allow": 2}
    assert parity.invented == {"allow": 2, "signature_invalid": 2, "no_answer": 2}
    assert ticks == sorted(ticks)
    assert ticks[-1] == 2100


def test_few_batches_are_in_flight_however_long_the_stream() -> None:
    asked = 0
    lock = threading.Lock()
    most = 0

    def watched(inputs: Sequence[bytes]) -> list[Answer]:
        nonlocal asked
        with lock:
            asked += len(inputs)
        return engine(inputs)

    def stream() -> Iterator[Question]:
        nonlocal most
        for given, question in enumerate(questions(5000)):
            with lock:
                most = max(most, given - asked)
            yield question

    compare(stream(), watched, lambda _difference: None, threads=2)
    assert asked == 5000
    assert most <= 100 * (2 * 2 + 2)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_engine_that_fails_ends_the_comparison(threads: int) -> None:
    def broken(inputs: Sequence[bytes]) -> list[Answer]:
        raise Unreachable("engine", "gone", "start it")

    with pytest.raises(Unreachable):
        compare(questions(1000), broken, lambda _difference: None, threads=threads)


def test_an_engine_with_too_few_answers_is_no_engine() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare(questions(10), lambda inputs: engine(inputs)[1:], lambda _difference: None)


def test_the_conformance_set_tells_the_two_versions_apart() -> None:
    v1 = {question.name: question.expected for question in conformance_questions(V1)}
    guide = {question.name: question.expected for question in conformance_questions(GUIDE)}
    assert v1.keys() == guide.keys()
    assert v1["NEED of size 65537"].reasons == ("payload_too_large",)
    assert guide["NEED of size 65537"].allow
    assert v1["kind 'PLAN'"].allow
    assert guide["kind 'PLAN'"].reasons == ("kind_not_allowed",)
