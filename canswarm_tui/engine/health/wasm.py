"""A close look at the policy as WASM: which it is, its entrypoints and built-ins, and how long evaluations take.

The one that a run has written is looked at; before that, the one that we ship. Reads only.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.engine.conformance import conformance_set
from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.health.condition import Reading, looked, section
from canswarm_tui.engine.health.facts import Condition, Look, Section
from canswarm_tui.engine.health.latency import measure
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.steps.policy_wasm import DATA, FOLDER, MANIFEST, WASM
from canswarm_tui.engine.v2.policy.answer import BATCH_RECORDS, Json, compact
from canswarm_tui.engine.v2.policy.policy_wasm import PolicyFolder, WasmPolicy
from canswarm_tui.engine.v2.policy.source import load_source, shipped_wasm

_AGAIN = "if it is there, move it away; then run the step policy-wasm again"


@dataclass(frozen=True, slots=True)
class Policy:
    """The WASM that this site decides with, and what it must be."""

    wasm: bytes
    sha256: str
    """What it must have."""
    document: dict[str, Json]
    opa_version: str
    origin: str


def look(settings: Settings) -> Look:
    """`missing` where your own Rego has not been built by a run yet, `damaged` where a file is not what was written."""
    folder = written_folder(settings)
    address = str(folder) if folder else "the WASM that we ship"
    found = looked("wasm", address, (), lambda: _read(policy_of(settings)))
    if found.error is not None and folder is None and settings.policy.rego_dir is not None:
        return Look(found.name, found.address, found.took_ms, Condition.MISSING, error=found.error)
    return found


def written_folder(settings: Settings) -> Path | None:
    """Where a run has written the policy; None where none has."""
    folder = place_of(settings).folder / FOLDER if settings.site.root else None
    return folder if folder is not None and folder.is_dir() else None


def policy_of(settings: Settings) -> Policy:
    """The one that a run has written, else ours. Raises `SiteUnreadable` where a file is missing or damaged."""
    folder = written_folder(settings)
    return _kept(folder) if folder else _shipped(settings)


def _read(policy: Policy) -> Reading:
    began = time.perf_counter()
    with WasmPolicy(policy.wasm, policy.sha256, policy.document) as engine:
        load_ms = (time.perf_counter() - began) * 1000
        single = measure(engine.decide)
        batch_ms = _batch_ms(engine)
        entrypoints, builtins = engine.entrypoints, engine.builtins
    facts = section(
        "policy", origin=policy.origin, size_bytes=len(policy.wasm), SHA256=policy.sha256,
        built_by_opa=policy.opa_version, builtins_of_the_host=", ".join(builtins) or "none",
    )  # fmt: skip
    times = section(
        "evaluation", load_ms=round(load_ms, 1), measured=single.questions, p50_ms=single.p50_ms, p95_ms=single.p95_ms,
        without_an_answer=single.unanswered, **{f"batch_of_{BATCH_RECORDS}_ms": batch_ms},
    )  # fmt: skip
    return [facts, Section("entrypoints", tuple((name, number) for name, number in entrypoints)), times], []


def _batch_ms(engine: WasmPolicy) -> float:
    questions = [compact(case.input) for case, _ in zip(conformance_set(), range(BATCH_RECORDS), strict=False)]
    began = time.perf_counter()
    engine.decide_batch(questions)
    return round((time.perf_counter() - began) * 1000, 2)


def _shipped(settings: Settings) -> Policy:
    if settings.policy.rego_dir is not None:
        raise SiteUnreadable(
            str(settings.policy.rego_dir), "no run has built this Rego yet", "run the step policy-wasm"
        )
    ours = shipped_wasm()
    document = load_source(settings.policy).document
    return Policy(ours.wasm, ours.sha256, document, ours.opa_version, "shipped; no run has written it yet")


def _kept(folder: Path) -> Policy:
    """The three files that a run writes, each held against the manifest. Raises `SiteUnreadable`."""
    kept = PolicyFolder(folder)
    manifest = _json(folder / MANIFEST.decode(), kept.held(MANIFEST))
    wasm = _intact(folder / WASM.decode(), kept.held(WASM), manifest.get("wasm_sha256"))
    data = _intact(folder / DATA.decode(), kept.held(DATA), manifest.get("data_sha256"))
    document = _json(folder / DATA.decode(), data)
    version = manifest.get("opa_version")
    return Policy(wasm, hashlib.sha256(wasm).hexdigest(), document, str(version or "not told"), "written by a run")


def _intact(path: Path, content: bytes | None, sha256: Json) -> bytes:
    if content is None:
        raise SiteUnreadable(str(path), "it is not there, and the other files are", _AGAIN)
    if not content:
        raise SiteUnreadable(str(path), "it is empty", _AGAIN)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SiteUnreadable(str(path), "its SHA-256 is not the one in the manifest beside it", _AGAIN)
    return content


def _json(path: Path, content: bytes | None) -> dict[str, Json]:
    if content is None:
        raise SiteUnreadable(str(path), "it is not there, and the other files are", _AGAIN)
    try:
        found = json.loads(content)
    except ValueError as exc:
        raise SiteUnreadable(str(path), "it is no JSON", _AGAIN) from exc
    if not isinstance(found, dict):
        raise SiteUnreadable(str(path), "it is no JSON object", _AGAIN)
    return found
