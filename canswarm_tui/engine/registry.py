"""Which class does which step; imported when its step is, so that a command loads only the clients it needs."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from canswarm_tui.engine.step import Step

_CLASSES = {
    "preflight": ("preflight", "Preflight"),
    "documentation": ("documentation", "Documentation"),
    "v1-tests": ("v1_tests", "V1Tests"),
    "backup": ("backup", "Backup"),
    "blobs-minio": ("blobs_minio", "BlobsToMinio"),
    "blobs-ipfs": ("blobs_ipfs", "BlobsToIpfs"),
    "decisions": ("decisions", "Decisions"),
    "plan-store": ("plan_store", "PlanStore"),
    "policy-opa": ("policy_opa", "PolicyToOpa"),
    "policy-wasm": ("policy_wasm", "PolicyToWasm"),
    "verification": ("verification", "FinalVerification"),
}


def step(name: str) -> Step:
    """The step of that name (a key of `checklist.BY_NAME`), ready to use; steps have no memory."""
    module, cls = _CLASSES[name]
    return cast("Step", getattr(import_module(f"canswarm_tui.engine.steps.{module}"), cls)())
