"""What every policy engine is given about an envelope, and what v1's rules say to it.

An input carries only what a rule looks at: `kind`, `lamport` and, of the payload, `artifact_hash`; the facts say the
rest. Values that no rule tells apart are made short (a text longer than any kind or hash is cut, an integer past 64
bits becomes 2^63 of its sign, lists and objects become empty ones), so that an envelope can't be too large to judge.
"""

from __future__ import annotations

import math
from typing import Final

from canswarm_tui.engine.v1.envelope import UNKNOWN_SIZE, Facts, Json
from canswarm_tui.engine.v1.policy import Policy, Reason, decide
from canswarm_tui.engine.v2.policy.answer import ALLOWED, Answer, compact

_TEXT_CHARS: Final = 128
_LARGEST: Final = 2**63
_ORDER: Final = tuple(Reason)
_RANK: Final = {reason.value: rank for rank, reason in enumerate(Reason)}


def decision_input(envelope: Json, facts: Facts) -> bytes:
    """The input for one envelope, as compact JSON; any JSON value at all gives one."""
    fields = envelope if isinstance(envelope, dict) else {}
    inner: dict[str, Json] = {name: _short(fields[name]) for name in ("kind", "lamport") if name in fields}
    # Always there: a missing payload is told by its facts, and a missing field is a fault of the input.
    inner["payload"] = _payload(fields.get("payload"))
    told = facts.as_input()
    del told["kind"]
    return compact({"envelope": inner, "facts": told})


def v1_answer(value: Json, policy: Policy) -> Answer:
    """What v1's rules say to an input of any shape: what is missing, mistyped or contradicts itself counts as bad."""
    root = value if isinstance(value, dict) else {}
    envelope, told = _object(root.get("envelope")), _object(root.get("facts"))
    payload = envelope.get("payload")
    in_payload = isinstance(payload, dict) and payload.get("artifact_hash") is not None
    by_fact, present = told.get("artifact_named"), told.get("artifact_present")
    named = by_fact is True and in_payload
    unnamed = by_fact is False and not in_payload and "payload" in envelope
    kind = envelope.get("kind")
    facts = Facts(
        signature_valid=told.get("signature_valid") is True,
        payload_hash_valid=told.get("payload_hash_valid") is True,
        lamport_positive=told.get("lamport_positive") is True and (_whole(envelope.get("lamport")) or 0) > 0,
        policy_hash_current=told.get("policy_hash_current") is True,
        kind=kind if isinstance(kind, str) else None,
        payload_size_bytes=_size(told.get("payload_size_bytes")),
        artifact_named=named,
        artifact_present=present is True,
    )
    reasons = set(decide(facts, policy).reasons)
    if not (named or (unnamed and isinstance(present, bool))):
        reasons.add(Reason.ARTIFACT_NOT_FOUND)
    return answer_of(reasons)


def answer_of(reasons: set[Reason] | tuple[Reason, ...]) -> Answer:
    """v1's reasons as the engines give them: by name, sorted."""
    if not reasons:
        return ALLOWED
    return Answer(allow=False, reasons=tuple(sorted(reason.value for reason in reasons)))


def first_reason(answer: Answer) -> str:
    """What v1 itself would say, which stops at the first; empty for an allowed envelope."""
    return min(answer.reasons, key=lambda name: _RANK.get(name, len(_RANK)), default="")


def to_mask(reasons: tuple[Reason, ...]) -> int:
    """The reasons as bits, in v1's order."""
    return sum(1 << _RANK[reason.value] for reason in reasons)


def from_mask(mask: int) -> Answer:
    """The answer that `to_mask` has packed."""
    return answer_of(tuple(reason for rank, reason in enumerate(_ORDER) if mask >> rank & 1))


def _payload(payload: Json) -> Json:
    if not isinstance(payload, dict):
        return None
    artifact = payload.get("artifact_hash")
    return {} if artifact is None else {"artifact_hash": _short(artifact)}


def _short(value: Json) -> Json:
    match value:
        case bool() | None:
            return value
        case int():
            return max(-_LARGEST, min(_LARGEST, value))
        case float():
            return value if math.isfinite(value) else 0.5  # v1 writes NaN, JSON has none; null would unname an artifact
        case str():
            return value[:_TEXT_CHARS].encode("utf-8", "replace").decode()
        case list():
            return []
        case _:
            return {}


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _whole(value: Json) -> int | None:
    """A number without a fraction: JSON and Rego don't tell 1 from 1.0; the fact `lamport_positive` does."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != math.floor(value):
        return None
    return int(value)


def _size(value: Json) -> int:
    whole = _whole(value)
    return UNKNOWN_SIZE if whole is None else whole
