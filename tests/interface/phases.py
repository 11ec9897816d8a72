"""A journal as each phase leaves it, with figures of the kind that its step writes, and words that must be shown."""

from __future__ import annotations

from collections.abc import Mapping

from canswarm_tui.engine.checks import FACT, TITLES, Checked
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.journal.schema import Json
from canswarm_tui.engine.place import Place
from canswarm_tui.engine.step import Comparison, Figure, Finding, Kind, Level, Outcome, Verb, Verdict
from canswarm_tui.engine.v1.policy import Reason

SITE_VALUE = '{"proposal_id": "p-17", "epoch": 3, "k_plan": 1, "decided_at_ns": 1700000000, "actor": "ed25519"}'
TARGET_VALUE = '{"proposal_id": "p-21", "epoch": 4, "k_plan": 1, "decided_at_ns": 1700000000, "actor": "ed25519"}'
CONFLICT = Finding(
    "decision.conflict", Level.WARNING, Kind.CONFLICT, "need-7",
    "etcd already holds something else under this name; it was not overwritten",
    "compare both values, then `canswarm-tui findings resolve ID --keep target` or `--keep site`",
    {"site": SITE_VALUE, "target": TARGET_VALUE, "key": b"need-7".hex()},
)  # fmt: skip
HEAD = "9f3c0d5e" * 8
RULES = ("allow", *(reason.value for reason in Reason))

PHASES: Mapping[str, tuple[str, ...]] = {
    "blobs-minio": ("up to 64 KiB", "18,204", "1.2 GiB"),
    "blobs-ipfs": ("pinned archives", "20,000 of 20,000 CIDs returned are as predicted", "hash to their names"),
    "decisions": ("created in etcd", "9,992", "already there and equal", "in conflict"),
    "plan-store": ("ops a second", "61,234", "56.0 KiB", HEAD, "derived tasks in Automerge: 79 of 79 equal"),
    "policy-opa": ("allow", "payload_too_large", "4,100", "Rego beside v1's rules"),
    "policy-wasm": ("allow", "payload_too_large", "4,100", "Rego beside v1's rules"),
    "documentation": ("threads.csv", "12 B", "exports"),
    "v1-tests": (".venv/bin/pytest -q", "31 passed in 2.41s", "v1-tests.log"),
}
"""Steps with a part of their own, and what must stand in it once `fill_journal` has filled the journal."""


def _trouble(code: str, kind: Kind, subject: str, happened: str, **details: str) -> Finding:
    return Finding(code, Level.WARNING, kind, subject, happened, "look at it, then run the step again", details)


TROUBLE: Mapping[str, Finding] = {
    "blobs-minio": _trouble(
        "blob.conflict", Kind.CONFLICT, HEAD, "MinIO already holds something else under this name",
        site="the blob", target="something else", key=HEAD.encode().hex(),
    ),
    "blobs-ipfs": _trouble("blob.unsound_in_minio", Kind.QUARANTINE, HEAD, "it is missing in MinIO"),
    "decisions": CONFLICT,
    "plan-store": _trouble(
        "plan.op_differs", Kind.DIFFERENCE, "op-17", "v1 and the plan document differ in lamport, timestamp_ns",
    ),
    "policy-opa": _trouble(
        "policy.opa_differs", Kind.DIFFERENCE, "commit-null-artifact", "OPA says allow where v1's rules say deny",
    ),
    "policy-wasm": _trouble(
        "policy.wasm_differs", Kind.DIFFERENCE, "commit-null-artifact", "WASM says allow where v1's rules say deny",
    ),
    "documentation": _trouble(
        "documentation.changed", Kind.DIFFERENCE, "exports/tasks.csv", "this export is missing or has changed",
    ),
    "v1-tests": _trouble(
        "v1_tests.failed", Kind.DIFFERENCE, ".venv/bin/pytest -q", "v1's own tests ended with 1",
    ),
}  # fmt: skip
"""What each phase may find that a person must decide about."""


def fill_journal(place: Place, step: str, *, state: StepState = StepState.PROVED, trouble: bool = False) -> None:
    """Bring the step there, as its own run and verify would; the steps before it are proved."""
    fill_before(place, step)
    journal = Journal.join(place.journal)
    one = journal.step(step)
    outcome, verdict = _OUTCOMES[step], _VERDICTS.get(step)
    if step == "decisions" and state is StepState.PROVED:
        outcome, verdict = _EVERY_DECISION, _EVERY_DECISION_EQUAL
    if step == "documentation":
        place.exports.mkdir(exist_ok=True)
        (place.exports / "threads.csv").write_text("thread_id\nt\n")
        one.set_fact("files", {"threads.csv": "", "tasks.csv": ""})
    if step == "v1-tests":
        (place.folder / "v1-tests.log").write_text("." * 31 + " [100%]\n31 passed in 2.41s\n")
    one.set_state(state, outcome=outcome, verdict=verdict)
    if trouble:
        one.add_finding(Verb.RUN, one.note(Verb.RUN, "started"), (TROUBLE[step],))
    journal.close()


def fill_before(place: Place, step: str) -> None:
    """The steps before this one are proved, and preflight has counted."""
    journal = Journal.join(place.journal)
    for name in ("preflight", "backup", "blobs-minio", "policy-opa"):
        if name != step:
            journal.step(name).set_state(StepState.PROVED, outcome=Outcome(created=1, summary="1 copied"))
    journal.step("preflight").set_fact("inventory", _INVENTORY)
    journal.close()


def fill_preparation(place: Place) -> None:
    """Preflight has counted and found one warning; the backup was made, read back and restored for proof."""
    journal = Journal.join(place.journal)
    preflight, backup = journal.step("preflight"), journal.step("backup")
    counted: dict[str, Json] = {
        "threads": 3, "tasks": 79, "edges": 12, "ops": 578, "plan store bytes": 196_608, "ops ADD_TASK": 79,
        "ops STATE": 316, "decisions": 21, "decision bytes": 4_620, "Redis version": "7.0.15", "blobs": 20_000,
        "blob bytes": 1_400_000_000, "odd files in the content store": 1, "audit lines": 602,
        "audit log bytes": 812_000, "envelopes NEED": 21, "etcd version": "3.6.16", "Kubo version": "0.43.0",
        "plan document memory estimate bytes": 2_023_000, "estimated seconds": 41,
    }  # fmt: skip
    preflight.set_fact("inventory", counted)
    summary = (
        "3 threads, 79 tasks, 578 ops, 21 decisions, 20,000 blobs (1.3 GiB), 602 audit lines; 0 blockers, 1 warnings"
    )
    preflight.set_state(StepState.DONE, outcome=Outcome(created=15, summary=summary))
    odd = Finding(
        "cas.odd", Level.WARNING, Kind.CONDITION, ".cas/sha256/ab/cd/tmpk2x9", "a file that is no blob",
        "nothing: v1 left it in a crash; it is not migrated", {"check": "content"},
    )  # fmt: skip
    preflight.add_finding(Verb.RUN, preflight.note(Verb.RUN, "started"), (odd,))
    preflight.set_fact(FACT, {n: Checked(n, 1e9, 0.4, 0, n == "content", 0).as_fact() for n in TITLES})
    backup.set_fact("last", {
        "folder": "backups/site-20261124-090000", "fingerprint": "f", "created": "2026-11-24T09:00:00+00:00",
        "keep_until": "2026-12-24T09:00:00+00:00", "proved_at": "2026-11-24T09:01:00+00:00",
    })  # fmt: skip
    made = Outcome(created=612, size_bytes=1_401_000_000, summary="612 files (1.3 GiB) and 24 Redis keys",
                   figures={"Redis keys": 24, "folders": 380})  # fmt: skip
    proof = Comparison("files and Redis keys restored", "by content", 636, 636, 1_401_000_000)
    verdict = Verdict((proof,), 0, "612 files and 24 Redis keys read back, 0 faults")
    backup.set_state(StepState.PROVED, outcome=made, verdict=verdict)
    journal.close()


def _parity(engine: str) -> dict[str, Figure]:
    counts = dict.fromkeys(RULES, 12) | {"allow": 4100, "payload_too_large": 37}
    return {f"{rule}, {who}": n for rule, n in counts.items() for who in ("v1", engine, "both")}


_INVENTORY: dict[str, Json] = {
    "blobs": 20000, "blobs empty": 1, "blobs up to 1 KiB": 1200, "blobs up to 64 KiB": 18204,
    "blobs up to 1 MiB": 590, "blobs larger": 5,
}  # fmt: skip
_OUTCOMES: Mapping[str, Outcome] = {
    "blobs-minio": Outcome(
        created=20000, size_bytes=1_400_000_000, summary="20,000 blobs created in MinIO",
        figures={
            "blobs empty": 1, "blobs empty, bytes": 0, "blobs up to 1 KiB": 1200, "blobs up to 1 KiB, bytes": 614_400,
            "blobs up to 64 KiB": 18204, "blobs up to 64 KiB, bytes": 1_288_490_189,
            "blobs up to 1 MiB": 590, "blobs up to 1 MiB, bytes": 309_329_920,
            "blobs larger": 5, "blobs larger, bytes": 15_728_640,
        },
    ),
    "blobs-ipfs": Outcome(
        created=20000, size_bytes=1_400_000_000, summary="20,000 blobs created in IPFS; 5 CIDs of large blobs in etcd",
        figures={
            "read from MinIO and hashed equal": 20000, "read from MinIO, bytes": 1_400_000_000,
            "CIDs predicted": 20000, "taken in and pinned by the node": 20000, "CIDs exported": 20000,
        },
    ),
    "decisions": Outcome(
        created=9990, present=8, conflicts=2, size_bytes=1_270_000,
        summary="9,990 decisions created in etcd, 8 were already there with equal content, 2 in conflict",
    ),
    "plan-store": Outcome(
        created=578, size_bytes=57_344, summary="578 ops were written into one document, 0 were there",
        figures={
            "ops a second": 61234, "document bytes": 57_344, "heads": HEAD, "ops": 578, "tasks": 79, "edges": 12,
            "documents": 1, "memory of the child processes": "48.0 MiB",
        },
    ),
    "policy-opa": Outcome(created=2, size_bytes=4096, summary="2 policy documents created in OPA; our Rego"),
    "policy-wasm": Outcome(created=3, size_bytes=9096, summary="3 policy files created in the run's folder"),
    "documentation": Outcome(
        created=2, summary="3 threads, 79 tasks and 602 audit lines (0 not sound) exported",
        figures={
            "threads": 3, "tasks": 79, "audit lines": 602, "audit lines not sound": 0, "exported files": 2,
            "folder": "state/exports",
        },
    ),
    "v1-tests": Outcome(
        created=1, summary="`.venv/bin/pytest -q` ended with 0 after 2.4 s",
        figures={
            "command": ".venv/bin/pytest -q", "folder": "v1", "exit code": 0, "seconds": 2.4, "lines of output": 2,
            "output": "state/v1-tests.log",
        },
    ),
}  # fmt: skip
_EVERY_DECISION = Outcome(
    created=9992, present=8, size_bytes=1_270_000,
    summary="9,992 decisions created in etcd, 8 were already there with equal content",
)  # fmt: skip
_EVERY_DECISION_EQUAL = Verdict(
    (Comparison("decisions in etcd", "by content", 10000, 10000),), 0,
    "10,000 of 10,000 decisions equal in etcd, by content", {"compared": 10000},
)  # fmt: skip
_VERDICTS: Mapping[str, Verdict] = {
    "blobs-minio": Verdict(
        (Comparison("blobs in MinIO", "by content", 20000, 20000, 1_400_000_000),), 0,
        "20,000 of 20,000 blobs equal in MinIO, by content", {"compared": 20000},
    ),
    "blobs-ipfs": Verdict(
        (Comparison("blobs in IPFS", "by content", 20000, 20000), Comparison("large CIDs in etcd", "by content", 5, 5)),
        0, "20,000 of 20,000 blobs equal in IPFS, by content",
        {"compared": 20000, "pinned archives": 4, "CIDs returned": 20000, "CIDs as predicted": 20000},
    ),
    "decisions": Verdict(
        (Comparison("decisions in etcd", "by content", 10000, 9998),), 2,
        "9,998 of 10,000 decisions equal in etcd, by content; 2 differences", {"compared": 10000},
    ),
    "plan-store": Verdict(
        (
            Comparison("ops in Automerge, in v1's order", "by content", 578, 578),
            Comparison("tasks in Automerge", "by content", 79, 79),
            Comparison("edges in Automerge", "by content", 12, 12),
        ),
        0, "578 of 578 ops, 79 of 79 tasks, 12 of 12 edges equal in Automerge, by content and in v1's order",
        {"document bytes": 57_344, "heads": HEAD, "documents": 1},
    ),
    "policy-opa": Verdict(
        (Comparison("envelopes of the audit log in OPA", "decision by decision, reason for reason", 602, 602),), 0,
        "v1's rules and OPA agree on 602 envelopes, reason for reason; 0 differences", _parity("OPA"),
    ),
    "policy-wasm": Verdict(
        (Comparison("envelopes of the audit log in WASM", "decision by decision, reason for reason", 602, 602),), 0,
        "v1's rules and WASM agree on 602 envelopes, reason for reason; 0 differences", _parity("WASM"),
    ),
}  # fmt: skip
