"""v1's policy: the specification, its hash, and the ordered rules; the oracle that OPA and WASM are held against.

Judges facts only (see `envelope.facts`), as the other engines do, so that parity compares rules and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from canswarm_tui.engine.v1.envelope import Facts, Json, payload_hash


class Reason(StrEnum):
    """Why an envelope is denied, in the order in which v1 looks: the first that applies is v1's own answer."""

    SIGNATURE_INVALID = "signature_invalid"
    PAYLOAD_HASH_INVALID = "payload_hash_invalid"
    LAMPORT_NOT_POSITIVE = "lamport_not_positive"
    POLICY_HASH_NOT_CURRENT = "policy_hash_not_current"
    KIND_NOT_ALLOWED = "kind_not_allowed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    COMMIT_WITHOUT_ARTIFACT = "commit_without_artifact"
    ARTIFACT_NOT_FOUND = "artifact_not_found"


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy."""

    name: str
    version: int
    allowed_kinds: frozenset[str]
    max_payload_bytes: int
    also_current: frozenset[str] = frozenset()
    """Hashes of other policies whose envelopes are accepted as current."""

    @property
    def specification(self) -> dict[str, Json]:
        """The object whose hash envelopes carry as `policy_engine_hash`."""
        return {
            "allowed_kinds": list[Json](sorted(self.allowed_kinds)),
            "hash_algo": "sha256",
            "max_payload_bytes": self.max_payload_bytes,
            "require_artifact_for_commit": True,
            "version": self.version,
        }

    @property
    def engine_hash(self) -> str:
        """v1's `policy_engine_hash`: SHA-256 hex of the canonical specification."""
        return payload_hash(self.specification)

    @property
    def current_hashes(self) -> frozenset[str]:
        return self.also_current | {self.engine_hash}


_GUIDE_KINDS: Final = frozenset(
    {"NEED", "PROPOSE", "CLAIM", "COMMIT", "ATTEST", "DECIDE", "FINALIZE", "YIELD", "RELEASE"}
)

V1: Final = Policy("v1", 1, _GUIDE_KINDS | {"PLAN", "FINAL"}, 65536)

GUIDE: Final = Policy("guide", 2, _GUIDE_KINDS, 1048576, also_current=frozenset({V1.engine_hash}))
"""The guide's variant: nine kinds, 1 MiB. Envelopes that v1 sealed stay current, or a cutover would deny them all."""

POLICIES: Final = {policy.name: policy for policy in (V1, GUIDE)}


@dataclass(frozen=True, slots=True)
class Decision:
    """`reasons` is every denial that applies, in v1's order; empty when allowed."""

    reasons: tuple[Reason, ...]

    @property
    def allow(self) -> bool:
        return not self.reasons

    @property
    def first(self) -> Reason | None:
        """What v1 itself would answer: it stops at the first."""
        return self.reasons[0] if self.reasons else None


def decide(facts: Facts, policy: Policy = V1) -> Decision:
    """Every rule of `policy` over the facts, none short-circuited."""
    applies = {
        Reason.SIGNATURE_INVALID: not facts.signature_valid,
        Reason.PAYLOAD_HASH_INVALID: not facts.payload_hash_valid,
        Reason.LAMPORT_NOT_POSITIVE: not facts.lamport_positive,
        Reason.POLICY_HASH_NOT_CURRENT: not facts.policy_hash_current,
        Reason.KIND_NOT_ALLOWED: facts.kind not in policy.allowed_kinds,
        Reason.PAYLOAD_TOO_LARGE: not 0 <= facts.payload_size_bytes <= policy.max_payload_bytes,
        Reason.COMMIT_WITHOUT_ARTIFACT: facts.kind == "COMMIT" and not facts.artifact_named,
        Reason.ARTIFACT_NOT_FOUND: facts.artifact_named and not facts.artifact_present,
    }
    return Decision(tuple(reason for reason, holds in applies.items() if holds))
