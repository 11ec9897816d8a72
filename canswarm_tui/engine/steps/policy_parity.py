"""Parity of a policy engine with v1's rules: the same inputs, the same answers, reason for reason.

Streams: a few batches are in flight, only differences are kept, and of those the caller decides how many.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from canswarm_tui.engine.conformance import conformance_set
from canswarm_tui.engine.steps.policy_input import first_reason, v1_answer
from canswarm_tui.engine.v1.policy import Policy
from canswarm_tui.engine.v2.policy.answer import Answer, batches, compact

Decider = Callable[[Sequence[bytes]], list[Answer]]
"""An engine: one answer for each input, in order. Called from several threads."""

AT_ONCE: Final = 100
ALLOW: Final = "allow"


@dataclass(frozen=True, slots=True)
class Question:
    """An input and what v1's rules say to it."""

    name: str
    input: bytes
    expected: Answer
    times: int = 1
    """How many envelopes have exactly this input."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An engine that says something else than v1's rules."""

    question: Question
    answer: Answer

    @property
    def fails_open(self) -> bool:
        return self.answer.allow

    @property
    def first_differs(self) -> bool:
        return first_reason(self.answer) != first_reason(self.question.expected)


@dataclass
class Parity:
    """Counts of one comparison. `compared` and `equal` count every time, `inputs` each question once."""

    inputs: int = 0
    compared: int = 0
    equal: int = 0
    allowed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """How often v1's rules give each reason: every one of them must have been reached by a full set."""
    missed: Counter[str] = field(default_factory=Counter)
    """How often v1's rules give a reason, or `allow`, and the engine does not."""
    invented: Counter[str] = field(default_factory=Counter)
    """How often the engine gives a reason, or allows, and v1's rules do not."""

    @property
    def differences(self) -> int:
        return self.compared - self.equal

    def count(self, question: Question, answer: Answer) -> bool:
        """Takes one answer in; true where it is v1's."""
        equal = answer == question.expected
        self.inputs += 1
        self.compared += question.times
        self.equal += question.times * equal
        self.allowed += question.times * question.expected.allow
        for reason in question.expected.reasons:
            self.reasons[reason] += question.times
        if not equal:
            wanted, given = _words(question.expected), _words(answer)
            for word in wanted - given:
                self.missed[word] += question.times
            for word in given - wanted:
                self.invented[word] += question.times
        return equal


def compare(
    questions: Iterable[Question],
    decider: Decider,
    differs: Callable[[Difference], None],
    tick: Callable[[int], None] = lambda _done: None,
    threads: int = 1,
) -> Parity:
    """Ask the engine every question; `differs` hears of each difference, `tick` how many are answered.

    Raises what the decider raises. Memory: some batches per thread.
    """
    parity = Parity()
    for part, answers in _asked(questions, decider, threads):
        for question, answer in zip(part, answers, strict=True):
            if not parity.count(question, answer):
                differs(Difference(question, answer))
        tick(parity.compared)
    return parity


def _words(answer: Answer) -> set[str]:
    return {*answer.reasons, *((ALLOW,) if answer.allow else ())}


def conformance_questions(policy: Policy) -> Iterator[Question]:
    """The conformance set with the answers of v1's rules."""
    for case in conformance_set():
        yield Question(case.name, compact(case.input), v1_answer(case.input, policy))


def _asked(
    questions: Iterable[Question], decider: Decider, threads: int
) -> Iterator[tuple[list[Question], list[Answer]]]:
    if threads <= 1:
        for part in _parts(questions):
            yield part, decider([question.input for question in part])
        return
    flying: deque[tuple[list[Question], Future[list[Answer]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="policy") as pool:
        try:
            for part in _parts(questions):
                flying.append((part, pool.submit(decider, [question.input for question in part])))
                if len(flying) > threads * 2:
                    done, future = flying.popleft()
                    yield done, future.result()
            while flying:
                done, future = flying.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _parts(questions: Iterable[Question]) -> Iterator[list[Question]]:
    """Cut as the engines take them: see `answer.batches`."""
    part: list[Question] = []
    for question in questions:
        part.append(question)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def in_batches(decide_batch: Decider) -> Decider:
    """A decider that never sends more bytes at once than an engine takes."""
    return lambda inputs: [answer for part in batches(inputs) for answer in decide_batch(part)]
