"""A journal with verdicts of every step, and a record on its three sides, for the tests of the Verification screen."""

from __future__ import annotations

import hashlib
import time

from canswarm_tui.engine.journal import Journal, Receipt, ReceiptFate, StepState
from canswarm_tui.engine.place import Place
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Verb, Verdict
from canswarm_tui.engine.three_ways import Held, ThreeWays
from canswarm_tui.engine.three_ways.values import held, pairs_of, parted_at

BY_CONTENT, REASON_FOR_REASON = "by content", "decision by decision, reason for reason"
COMPARED = {
    "blobs-minio": (Comparison("blobs in MinIO", BY_CONTENT, 20_000, 20_000, 5 << 30),),
    "blobs-ipfs": (
        Comparison("blobs in IPFS", BY_CONTENT, 20_000, 20_000, 5 << 30),
        Comparison("large blobs in etcd's map of CIDs", BY_CONTENT, 41, 41),
    ),
    "decisions": (Comparison("decisions in etcd", BY_CONTENT, 10_000, 9_997, 2 << 20),),
    "plan-store": (
        Comparison("ops in Automerge, in v1's order", BY_CONTENT, 412, 412, 57_344),
        Comparison("tasks in Automerge", BY_CONTENT, 79, 79),
        Comparison("edges in Automerge", BY_CONTENT, 31, 31),
    ),
    "policy-opa": (
        Comparison("policy documents in OPA", BY_CONTENT, 2, 2),
        Comparison("conformance set in OPA", REASON_FOR_REASON, 2_205, 2_205),
        Comparison("envelopes of the audit log in OPA", REASON_FOR_REASON, 4_137, 4_137),
    ),
    "policy-wasm": (Comparison("envelopes of the audit log in WASM", REASON_FOR_REASON, 4_137, 4_137),),
}
SITE_VALUE = b'{"need_id": "need-7", "proposal_id": "p-17", "epoch": 3, "lamport": 7, "k_plan": 1}'
TARGET_VALUE = SITE_VALUE.replace(b"p-17", b"p-21")


def differing(subject: str, kind: Kind = Kind.DIFFERENCE, key: bytes | None = None) -> Finding:
    code, details = f"decision.{kind.value}", {"site": "a", "target": "b"}
    if key is not None:
        details["key"] = key.hex()
    return Finding(
        code, Level.WARNING, kind, subject, "etcd holds something else than the site, although this run had copied it",
        "find out who changed it, compare both values, then run the step again or accept this with a reason", details,
    )  # fmt: skip


def verified(place: Place, *findings: Finding, stale: str = "", only: tuple[str, ...] = tuple(COMPARED)) -> None:
    """Every step run and verified; `findings` stand under decisions; what `stale` names was written to afterwards."""
    journal = Journal.join(place.journal)
    for step, comparisons in COMPARED.items():
        if step not in only:
            continue
        differences = sum(c.different for c in comparisons)
        state = StepState.NEEDS_ATTENTION if differences and findings else StepState.PROVED
        if not findings:
            comparisons = tuple(Comparison(c.name, c.proof, c.compared, c.compared, c.size_bytes) for c in comparisons)
        total = sum(c.compared for c in comparisons)
        equal = sum(c.equal for c in comparisons)
        verdict = Verdict(comparisons, total - equal, f"{equal:,} of {total:,} equal", {"compared": total})
        one = journal.step(step)
        one.set_state(state, outcome=Outcome(created=total, summary=f"{total:,} copied"), verdict=verdict)
        if step == stale:
            one.mark_write()
    one = journal.step("decisions")
    for n, name in enumerate((b"need-7", b"need-70", b"other")):
        one.put_receipt(Receipt(name, hashlib.sha256(name).digest(), 7 + n, ReceiptFate.CREATED, "", 0))
    if findings:
        one.add_finding(Verb.VERIFY, one.note(Verb.VERIFY, "started"), findings)
    journal.close()


def three_ways(
    site: bytes = SITE_VALUE, target: bytes | None = TARGET_VALUE, key: bytes = b"need-7", note: str = ""
) -> ThreeWays:
    """A decision as the engine would give it back; the receipt is of the site's value."""
    ours = held("Redis 127.0.0.1:6379/0, key decide:need-7", site)
    where, written = "etcd http://127.0.0.1:2379, key /swarm/decide/need-7", "revision 7,431, written 2 times"
    theirs = Held(where) if target is None else held(where, target, f"{written} since it was created")
    receipt = Held("the journal, batch 12", hashlib.sha256(site).digest(), len(site), (), ("this run made it",))
    parted = parted_at(site, target) if target is not None else ""
    notes = tuple(n for n in (parted, note) if n)
    pairs = pairs_of(ours, theirs, receipt)
    return ThreeWays("decisions", "decision", key, ours, theirs, receipt, pairs, time.time(), notes)
