"""The guide's checklist as data: its four groups, their items, which step does each, and what must come before."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from canswarm_tui.engine.errors import SettingsError


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A step's name on the command line and on screens, in the order of a run."""

    name: str
    title: str
    phase: str
    needs: tuple[str, ...] = ()
    """Steps that must be done (or proved) before this one may run."""
    targets: tuple[str, ...] = ()
    """Names of the targets that it writes to or reads back, see `place.target_locks`: locked while it works."""
    writes_target: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the guide's checklist; `steps` is empty where nothing does it yet."""

    title: str
    steps: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    items: tuple[Item, ...]


FINAL = "verification"
"""The step that answers for all targets."""
ONLY_LOOK = frozenset({"preflight", FINAL})
"""Steps that write nothing anywhere, so that nothing of them can be undone."""

STEPS: tuple[StepInfo, ...] = (
    StepInfo("preflight", "Preflight", "Pre-migration"),
    StepInfo("documentation", "Document threads, tasks and audit log", "Pre-migration", ("preflight",)),
    StepInfo("v1-tests", "v1 test suite", "Pre-migration", ("preflight",)),
    StepInfo("backup", "Backup", "Pre-migration", ("preflight",)),
    StepInfo("blobs-minio", "CAS: files → MinIO", "Infrastructure", ("backup",), ("s3",), writes_target=True),
    StepInfo(
        "blobs-ipfs",
        "CAS: MinIO → IPFS",
        "Infrastructure",
        ("blobs-minio",),
        ("s3", "ipfs", "etcd"),
        writes_target=True,
    ),
    StepInfo("decisions", "Consensus: Redis → etcd", "Infrastructure", ("backup",), ("etcd",), writes_target=True),
    StepInfo("plan-store", "Plan store: SQLite → Automerge", "Data layer", ("backup",), writes_target=True),
    StepInfo("policy-opa", "Policy: Python → OPA", "Policy", ("backup",), ("opa",), writes_target=True),
    StepInfo("policy-wasm", "Policy: OPA → WASM", "Policy", ("policy-opa",), ("opa",), writes_target=True),
    StepInfo(
        FINAL,
        "Verification",
        "Verification",
        ("blobs-minio", "blobs-ipfs", "decisions", "plan-store", "policy-opa", "policy-wasm"),
        ("etcd", "s3", "ipfs", "opa"),
    ),
)

CHECKLIST: tuple[Group, ...] = (
    Group(
        "Pre-migration",
        (
            Item("Preflight: the site, this machine and every target", ("preflight",)),
            Item("Backup all v1 data (.state/, .cas/, logs/, keys, Redis)", ("backup",)),
            Item("Document current thread IDs and tasks; export critical audit logs", ("documentation",)),
            Item("Run full test suite on v1", ("v1-tests",)),
        ),
    ),
    Group(
        "During migration",
        (
            Item("Plan store: SQLite → Automerge", ("plan-store",)),
            Item("Consensus: Redis → etcd", ("decisions",)),
            Item("CAS: files → MinIO", ("blobs-minio",)),
            Item("CAS: MinIO → IPFS", ("blobs-ipfs",)),
            Item("Policy: Python → OPA", ("policy-opa",)),
            Item("Policy: OPA → WASM", ("policy-wasm",)),
            Item("Deploy: single → multi-node", note="not available yet: this version does not deploy"),
        ),
    ),
    Group(
        "Post-migration",
        (
            Item("Verify everything, in full", (FINAL,)),
            Item("Run E2E demo on v2", note="not available yet: needs the cutover"),
            Item("Verify deterministic replay on v2", note="not available yet: needs the cutover"),
            Item("Run property tests (P1-P4) on v2", note="not available yet: needs the cutover"),
            Item("Performance benchmarks of v2", note="not available yet: needs the cutover"),
            Item("Monitor distributed traces", note="not available yet: needs the deployment"),
        ),
    ),
    Group(
        "Rollback readiness",
        (
            Item("Keep v1 backups for 30 days", ("backup",)),
            Item("Test the restore from backup", ("backup",)),
            Item("v2 → v1 downgrade path (reverse migration)", note="not available yet: needs the cutover"),
        ),
    ),
)

STEP_NAMES: tuple[str, ...] = tuple(step.name for step in STEPS)
BY_NAME: dict[str, StepInfo] = {step.name: step for step in STEPS}
WRITERS: frozenset[str] = frozenset(step.name for step in STEPS if step.writes_target)


def in_order(names: Sequence[str]) -> list[StepInfo]:
    """The named steps in the checklist's order; raises `SettingsError` for an unknown one."""
    for name in names:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, STEP_NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else f"the steps are {', '.join(STEP_NAMES)}"
            raise SettingsError(name, "there is no such step", hint)
    return [info for info in STEPS if info.name in names]
