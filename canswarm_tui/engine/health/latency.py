"""How long real questions take to be answered: as many as fit into a short time; the middle and the tail of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from canswarm_tui.engine.conformance import conformance_set
from canswarm_tui.engine.v2.policy.answer import MALFORMED, UNDEFINED, Answer, compact

QUESTIONS = 200
BUDGET_S = 1.0
"""Of asking: a slow server gets fewer questions, at least two."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of questions asked one after the other; the first, which warms caches, isn't counted."""

    questions: int
    p50_ms: float
    p95_ms: float
    unanswered: int
    """Answers that are none: no such rule, or no decision."""


def measure(decide: Callable[[bytes], Answer], at_most: int = QUESTIONS) -> Latency:
    """Ask for decisions about the first of the conformance set; what `decide` raises goes through."""
    questions = [compact(case.input) for case, _ in zip(conformance_set(), range(at_most), strict=False)]
    decide(questions[0])
    times_ms, unanswered, until = list[float](), 0, time.perf_counter() + BUDGET_S
    for question in questions:
        began = time.perf_counter()
        unanswered += decide(question) in (UNDEFINED, MALFORMED)
        times_ms.append((time.perf_counter() - began) * 1000)
        if time.perf_counter() > until and len(times_ms) > 1:
            break
    times_ms.sort()
    return Latency(len(times_ms), _share(times_ms, 0.5), _share(times_ms, 0.95), unanswered)


def _share(ordered_ms: list[float], part: float) -> float:
    """The nearest rank."""
    return round(ordered_ms[min(len(ordered_ms) - 1, int(part * len(ordered_ms)))], 3)
