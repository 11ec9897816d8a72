"""Decision inputs for the tests of the policy engines."""

from __future__ import annotations

from canswarm_tui.engine.v2.policy.answer import Json, compact

FACTS: dict[str, Json] = {
    "signature_valid": True,
    "payload_hash_valid": True,
    "lamport_positive": True,
    "policy_hash_current": True,
    "payload_size_bytes": 100,
    "artifact_named": False,
    "artifact_present": False,
}
EVERY_REASON = (
    "artifact_not_found", "kind_not_allowed", "lamport_not_positive", "payload_hash_invalid", "payload_too_large",
    "policy_hash_not_current", "signature_invalid",
)  # fmt: skip
"""Of an empty input; a COMMIT can lack its artifact besides."""


def need(lamport: int = 1, **facts: Json) -> bytes:
    """A NEED that is allowed, unless a fact says otherwise."""
    return compact({"envelope": {"kind": "NEED", "lamport": lamport, "payload": {}}, "facts": FACTS | facts})
