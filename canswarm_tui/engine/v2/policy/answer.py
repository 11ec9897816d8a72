"""What a policy engine answers about one input, made safe: whatever is not exactly an answer is a denial.

Stands apart because OPA and WASM give the same JSON, and neither may be believed further than the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

PACKAGE: Final = "swarm.envelope"
DECISION: Final = "swarm/envelope/decision"
DECISIONS: Final = "swarm/envelope/decisions"
ALLOW: Final = "swarm/envelope/allow"
ENTRYPOINTS: Final = (DECISION, DECISIONS, ALLOW)
DATA_PATH: Final = ("swarm", "policy")
"""Where the rules look for the version's data."""

BATCH_RECORDS: Final = 100
"""Inputs in one call; past a few hundred neither engine gets faster."""
BATCH_BYTES: Final = 900_000
"""Of inputs in one call; the WASM runtime takes 1,000,000 bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision. `reasons` is sorted; empty exactly when allowed."""

    allow: bool
    reasons: tuple[str, ...]


ALLOWED: Final = Answer(allow=True, reasons=())
UNDEFINED: Final = Answer(allow=False, reasons=("no_answer",))
"""The engine had no result: no such rule, or no policy at all."""
MALFORMED: Final = Answer(allow=False, reasons=("malformed_answer",))
"""The engine's result is no decision, or contradicts itself."""


def read_answer(value: object) -> Answer:
    """The answer in a `decision` result; `MALFORMED` for anything but {allow, reasons} that agree with each other."""
    if not isinstance(value, dict) or not isinstance(value.get("reasons"), list):
        return MALFORMED
    reasons = value["reasons"]
    if not all(isinstance(reason, str) for reason in reasons) or value.get("allow") is not (not reasons):
        return MALFORMED
    return Answer(allow=not reasons, reasons=tuple(sorted(set(reasons)))) if reasons else ALLOWED


def read_answers(value: object, count: int) -> list[Answer]:
    """The answers in a `decisions` result over `count` inputs; all `MALFORMED` where their number is another."""
    if not isinstance(value, list) or len(value) != count:
        return [MALFORMED] * count
    return [read_answer(one) for one in value]


def batches(inputs: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The inputs in order, cut to what one call takes; one that is larger travels alone."""
    part: list[bytes] = []
    size = 0
    for one in inputs:
        if part and (len(part) >= BATCH_RECORDS or size + len(one) > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one) + 1
    if part:
        yield part


def batch_input(inputs: list[bytes]) -> bytes:
    """One input document with the inputs (JSON texts) as its batch."""
    return b'{"batch":[' + b",".join(inputs) + b"]}"


def compact(value: Json) -> bytes:
    """JSON as the engines are sent it: sorted, compact, ASCII; raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
