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

    Then the same with a message lost: whether that stalls is told, and fresh sync states must settle it.
    Raises `WrongAnswer` where the heads do not become equal.
    """
    ours, theirs = doc.fork(), peer.fork()
    _write(ours, "ours")
    _write(theirs, "theirs")
    merged, lossy, lossy_peer = ours.fork(), ours.fork(), theirs.fork()
    try:
        merged.merge(theirs)
    except Exception as exc:  # Automerge has no class of its own for it
        if "duplicate seq" not in str(exc):
            raise
        raise WrongAnswer(
            "the peer's document",
            "it was made apart from this one by the same migration, so the two can't be merged",
            "give the peer a copy of this document instead of migrating there a second time",
        ) from exc
    rounds, largest = _sync(ours, theirs, SyncState(), SyncState())
    _require(heads(ours) == heads(theirs) == heads(merged), "two synced peers and their merge have different heads")
    stalls = _sync_with_loss(lossy, lossy_peer)
    _require(heads(lossy) == heads(merged), "fresh sync states did not settle a lost message")
    return MergeProof(heads(merged), rounds, largest, stalls)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WrongAnswer("plan document", otherwise, "keep the file and report this as a defect")


def _write(doc: Document, name: str) -> None:
    with doc.transaction() as tx:
        tx.put(ROOT, f"proof of {name}", ScalarType.Boolean, True)


def _sync(a: Document, b: Document, from_a: SyncState, from_b: SyncState) -> tuple[int, int]:
    """Exchange in turns until the heads are equal or nobody has anything to say: (rounds, largest message in bytes).

    Messages travel encoded, as on the bus.
    """
    largest = 0
    for rounds in range(_MAX_ROUNDS):
        to_b = _said(a, from_a)
        _hear(b, from_b, to_b)
        to_a = _said(b, from_b)
        _hear(a, from_a, to_a)
        largest = max(largest, len(to_b or b""), len(to_a or b""))
        if heads(a) == heads(b) or (to_b is None and to_a is None):
            return rounds + 1, largest
    return _MAX_ROUNDS, largest


def _said(doc: Document, state: SyncState) -> bytes | None:
    # The binding's types leave out that there may be nothing to say.
    message = cast("Message | None", doc.generate_sync_message(state))
    return None if message is None else message.encode()


def _hear(doc: Document, state: SyncState, wire: bytes | None) -> None:
    if wire is not None:
        doc.receive_sync_message(state, Message.decode(wire))


def _sync_with_loss(a: Document, b: Document) -> bool:
    """Greet, lose the message that carries the changes, go on; True when that stalls. Then sync with fresh states."""
    from_a, from_b = SyncState(), SyncState()
    _hear(b, from_b, _said(a, from_a))
    _hear(a, from_a, _said(b, from_b))
    _said(a, from_a)  # the changes: never delivered
    _sync(a, b, from_a, from_b)
    stalled = heads(a) != heads(b)
    _sync(a, b, SyncState(), SyncState())
    return stalled
