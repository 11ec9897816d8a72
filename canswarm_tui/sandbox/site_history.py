"""The oldest lines of the audit log: what earlier versions of v1 wrote, and what v1 would refuse today.

Plain messages that are no envelopes, envelopes of policy `v0` and of a policy since replaced, and a COMMIT whose
artifact nobody has any more. All are sound lines: history, not damage.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from typing import Final

from canswarm_tui.engine.v1.envelope import Json
from canswarm_tui.sandbox.site_seal import OLD_POLICY, Parcel, Signer, envelope, line, parcel

THREAD: Final = "demo-thread"
_START_NS: Final = 1_761_742_380_738_047_000
_GAP_NS: Final = 7_200_000_000_000
_REPLACED_POLICY: Final = hashlib.sha256(b"the policy before this one").hexdigest()


def lost_artifact(seed: int) -> str:
    """The hash that the old COMMIT names, and that no blob has."""
    return hashlib.sha256(f"canswarm site {seed} lost artifact".encode()).hexdigest()


def lines(signer: Signer, seed: int) -> list[str]:
    """In the log's order, each message published and delivered; signed by an older key."""
    rng = random.Random(f"canswarm site {seed} history")
    found: list[str] = []
    for at, (role, carried) in enumerate(_messages(signer, seed, rng)):
        stamp = _START_NS + at * _GAP_NS
        subject = f"thread.{THREAD}.{role}"
        found.append(line(signer, carried, "BUS.PUBLISH", THREAD, subject, stamp))
        found.append(line(signer, carried, "BUS.DELIVER", THREAD, subject, stamp + 4_425_000))
    return found


def _messages(signer: Signer, seed: int, rng: random.Random) -> list[tuple[str, Parcel]]:
    plain: list[Json] = [{"hello": "world", "n": 1}, {"hello": "größe 要", "n": 1.5}, {"hello": None, "n": []}]
    lost: Json = {"artifact_hash": lost_artifact(seed), "artifact_kind": "classification_v1", "algo": "sha256"}
    envelopes: list[tuple[str, str, Json, str]] = [
        ("planner", "NEED", {"hello": "swarm", "n": 2}, OLD_POLICY),
        ("worker", "COMMIT", lost, OLD_POLICY),
        ("planner", "NEED", {"task": "classify", "data": "sample input"}, _REPLACED_POLICY),
    ]
    sealed = [
        (role, envelope(signer, THREAD, kind, payload, 2 * at + 1, _START_NS + at, (_uuid(rng), _uuid(rng)), policy))
        for at, (role, kind, payload, policy) in enumerate(envelopes)
    ]
    return [("planner", parcel(value)) for value in plain] + [(role, parcel(value)) for role, value in sealed]


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
