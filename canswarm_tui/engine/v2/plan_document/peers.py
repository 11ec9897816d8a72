"""The proof that a plan document does what it is there for: it forks, merges and syncs with a peer. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from automerge.core import ROOT, Document, Message, ScalarType, SyncState

from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.v2.plan_document.document import heads

_MAX_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class MergeProof:
    merged_heads: list[str]
    rounds: int
    message_bytes: int
    lost_message_stalls: bool


def prove_merge(doc: Document, peer: Document) -> MergeProof:
    """Both sides write something, sync by messages until their heads are equal, and so does a merge.

    Then the same with the first message lost: whether that stalls is told, and fresh sync states must settle it.
    Raises `WrongAnswer` where the heads do not become equal.
    """
    ours, theirs = doc.fork(), peer.fork()
    _write(ours, "ours")
    _write(theirs, "theirs")
    merged = ours.fork()
    merged.merge(theirs)
    lossy, lossy_peer = ours.fork(), theirs.fork()
    rounds, largest = _sync(ours, theirs, SyncState(), SyncState())
    if not heads(ours) == heads(theirs) == heads(merged):
        raise WrongAnswer(
            "plan document", "two synced peers have different heads", "keep the file and report this as a defect"
        )
    stalls = _sync_with_loss(lossy, lossy_peer)
    return MergeProof(heads(merged), rounds, largest, stalls)


def _write(doc: Document, name: str) -> None:
    with doc.transaction() as tx:
        tx.put(ROOT, f"proof of {name}", ScalarType.Boolean, True)


def _sync(a: Document, b: Document, from_a: SyncState, from_b: SyncState) -> tuple[int, int]:
    """Exchange until nobody has anything to say; messages travel encoded, as on the bus."""
    largest = 0
    for rounds in range(_MAX_ROUNDS):
        to_b, to_a = _said(a, from_a), _said(b, from_b)
        if to_b is None and to_a is None:
            return rounds, largest
        largest = max(largest, len(to_b or b""), len(to_a or b""))
        _hear(b, from_b, to_b)
        _hear(a, from_a, to_a)
    raise WrongAnswer(
        "plan document", f"a sync did not settle in {_MAX_ROUNDS} rounds", "keep the file and report this as a defect"
    )


def _said(doc: Document, state: SyncState) -> bytes | None:
    # The binding's types leave out that there may be nothing to say.
    message = cast("Message | None", doc.generate_sync_message(state))
    return None if message is None else message.encode()


def _hear(doc: Document, state: SyncState, wire: bytes | None) -> None:
    if wire is not None:
        doc.receive_sync_message(state, Message.decode(wire))


def _sync_with_loss(a: Document, b: Document) -> bool:
    """Greet, then lose the message that carries the changes; True when the old states stall with unequal heads."""
    from_a, from_b = SyncState(), SyncState()
    hello_b, hello_a = _said(a, from_a), _said(b, from_b)
    _hear(b, from_b, hello_b)
    _hear(a, from_a, hello_a)
    _said(a, from_a)  # the changes: never delivered
    _sync(a, b, from_a, from_b)
    stalled = heads(a) != heads(b)
    _sync(a, b, SyncState(), SyncState())
    if heads(a) != heads(b):
        raise WrongAnswer(
            "plan document", "fresh sync states did not settle a lost message", "keep the file and report this"
        )
    return stalled
