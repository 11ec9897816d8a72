"""Which step compares what, the keys that a person can choose from, and the one call that compares."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

from canswarm_tui.engine.errors import Blocked, SettingsError
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding
from canswarm_tui.engine.three_ways.values import ThreeWays
from canswarm_tui.engine.three_ways.view import Sides

HINTS: Final[Mapping[str, str]] = {
    "blobs-minio": "the blob's SHA-256",
    "blobs-ipfs": "the blob's SHA-256",
    "decisions": "the need id",
    "plan-store": "an op id, a task id or a thread id",
    "policy-opa": "an envelope's id, or a document such as data/swarm/policy",
    "policy-wasm": "an envelope's id, or a file such as policy.wasm",
}
"""The steps that have records to compare, and what names one of them."""
_COMPARES: Final = {
    "blobs-minio": ("blobs", "in_minio"), "blobs-ipfs": ("blobs", "in_ipfs"), "decisions": ("decisions", "in_etcd"),
    "plan-store": ("plan", "in_automerge"), "policy-opa": ("policy", "in_opa"), "policy-wasm": ("policy", "in_wasm"),
}  # fmt: skip
_OF_NO_RECORD: Final = (
    "blob.manifest_lost", "blob.leftover", "blob.not_a_blob", "policy.opa_memory", "policy.opa_not_asked",
    "policy.not_formatted", "policy.refused_in_all", "policy.artifact_missing", "policy.artifacts_missing",
    "policy.opa_differs_widely", "policy.wasm_differs_widely", "policy.opa_wasm_differs_widely",
)  # fmt: skip
"""Findings whose subject is no record: an archive, a file that is no blob, a server, a whole log."""
_OF_PLAN_RECORDS: Final = ("plan.op", "plan.task", "plan.edge", "plan.order")
_Compare = Callable[[Settings, Journal, bytes], Sides]


def compare_three_ways(settings: Settings, step: str, key: bytes) -> ThreeWays:
    """Read one record from the site, the target and the journal, now, and compare each two of them.

    Writes to neither site nor target. Raises `SettingsError` for a step without records or a key that can't be one,
    `Blocked` where nothing has run for the site yet, and what the adapters raise: `Unreachable`, `Refused`, ….
    """
    if step not in _COMPARES:
        raise SettingsError(step, "it has no records to compare", f"name one of {', '.join(_COMPARES)}")
    path = place_of(settings).journal
    if not path.exists():
        raise Blocked(step, "nothing has run for this site yet", f"run it first: `canswarm-tui run {step}`")
    module, name = _COMPARES[step]
    compare = cast("_Compare", getattr(import_module(f"canswarm_tui.engine.three_ways.{module}"), name))
    journal = Journal.observe(path)
    try:
        sides = compare(settings, journal, key)
    finally:
        journal.close()
    return ThreeWays(
        step, sides.noun, key, sides.site, sides.target, sides.receipt, sides.pairs, time.time(), sides.notes
    )


def keys_from(settings: Settings, step: str, beginning: bytes, limit: int) -> list[bytes]:
    """The first keys of a step that begin like this, sorted as bytes: its receipts', or for the plan store op ids.

    Empty where nothing has run yet. Raises `EngineError`s of the journal and the plan store.
    """
    place = place_of(settings)
    if step not in _COMPARES or not place.journal.exists():
        return []
    if step == "plan-store":
        return _op_ids(settings, beginning, limit)
    journal = Journal.observe(place.journal)
    try:
        own = journal.step(step).receipt(beginning) if beginning else None
        receipts = islice(journal.step(step).receipts(beginning), limit)
        found = [*([own.key] if own is not None else []), *(receipt.key for receipt in receipts)]
    finally:
        journal.close()
    return [key for key in found if key.startswith(beginning)][:limit]


def _op_ids(settings: Settings, beginning: bytes, limit: int) -> list[bytes]:
    from canswarm_tui.engine.v1.plan_db import PlanDb
    from canswarm_tui.engine.v1.plan_lookup import op_ids_from

    with TemporaryDirectory(prefix="compare-", dir=place_of(settings).folder) as scratch:
        db = PlanDb.open(settings.site.plan_db, Path(scratch))
        found = [name.encode("utf-8", "backslashreplace") for name in op_ids_from(db, beginning, limit)]
    return [key for key in found if key.startswith(beginning)]


def key_of(step: str, finding: Finding) -> bytes | None:
    """The key of the record that a finding is about; None where it is about something else."""
    subject = finding.subject
    if step not in _COMPARES or finding.code in _OF_NO_RECORD:
        return None
    if step == "plan-store":
        if not finding.code.startswith(_OF_PLAN_RECORDS):
            return None
        return (subject.partition(" → ")[0] if finding.code.startswith("plan.edge") else subject).encode()
    if "key" in finding.details:
        return bytes.fromhex(finding.details["key"])
    if step == "decisions":
        return subject.removeprefix("decide:").encode()
    return (subject.rpartition("/")[2] if step.startswith("blobs-") else subject).encode()
