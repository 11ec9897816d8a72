"""A close look at OPA: version, bundles, what of our policy it holds, how long real decisions take. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from canswarm_tui.engine.errors import EngineError, WrongAnswer
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, Reading, looked, section, worry
from canswarm_tui.engine.health.facts import Look, Section
from canswarm_tui.engine.health.latency import Latency, measure
from canswarm_tui.engine.settings import OpaSettings, Settings
from canswarm_tui.engine.step import Finding, Level
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v2.policy.opa_client import Module, OpaClient
from canswarm_tui.engine.v2.policy.policy_opa import DATA, OpaSink, records_of
from canswarm_tui.engine.v2.policy.source import PolicySource, load_source

MODULES_SHOWN = 50
SLOW_MS = 50.0
"""Of the 95th in a hundred: from here on it is told."""


@dataclass(frozen=True, slots=True)
class _Seen:
    version: str
    ready: str
    modules: list[Module]
    bundles: list[tuple[str, str]]
    """Name and revision."""
    absent: list[str]
    changed: list[str]
    latency: Latency


def look(settings: Settings) -> Look:
    """The server, our policy's documents in it one by one, and measured decisions."""
    url = settings.opa.url
    return looked("opa", url, (url,), lambda: _read(settings))


def quick(settings: Settings) -> OpaSettings:
    """With a time-out that a person can wait for."""
    return settings.opa.model_copy(update={"timeout_s": min(settings.opa.timeout_s, LOOK_TIMEOUT_S)})


def _read(settings: Settings) -> Reading:
    source = load_source(settings.policy)
    opa = quick(settings)
    with OpaClient(opa) as client:
        absent, changed = published(client, source)
        seen = _Seen(
            client.version(), ready(client), client.modules(), _bundles(client), absent, changed,
            measure(client.decide),
        )  # fmt: skip
    return _sections(source, seen), _worries(opa.url, seen)


def ready(client: OpaClient) -> str:
    """`yes`, or what it says is not ready."""
    try:
        client.check_health()
    except WrongAnswer as exc:
        return f"no: {exc.happened}"
    return "yes"


def _bundles(client: OpaClient) -> list[tuple[str, str]]:
    try:
        found = client.data(("system", "bundles"))
    except EngineError:  # its own policy may forbid what is under `system`
        return []
    if not isinstance(found, dict):
        return []
    told = []
    for name, bundle in sorted(found.items()):
        manifest = bundle.get("manifest") if isinstance(bundle, dict) else None
        revision = manifest.get("revision") if isinstance(manifest, dict) else None
        told.append((name, str(revision) if revision else "no revision"))
    return told


def published(client: OpaClient, source: PolicySource) -> tuple[list[str], list[str]]:
    """Names of our documents that aren't there, and of those that are there and say something else."""
    records = records_of(source)
    held = OpaSink(client, [record.key for record in records]).held([record.key for record in records])
    absent = [record.key.decode() for record in records if record.key not in held]
    changed = [record.key.decode() for record in records if held.get(record.key, record.body) != record.body]
    return absent, changed


def _sections(source: PolicySource, seen: _Seen) -> list[Section]:
    records = records_of(source)
    states = {**dict.fromkeys(seen.absent, "not there"), **dict.fromkeys(seen.changed, "there, and DIFFERS from ours")}
    ours = tuple((key, states.get(key, "equal")) for key in (record.key.decode() for record in records))
    data = next(record for record in records if record.key.startswith(DATA))
    modules = tuple((shown(one.id), f"package {shown(one.package)}") for one in seen.modules[:MODULES_SHOWN])
    bundles = tuple((shown(name), shown(revision)) for name, revision in seen.bundles)
    return [
        section("server", version=seen.version, ready=seen.ready, modules=len(seen.modules), bundles=len(bundles)),
        Section("our policy", (
            ("version", source.version), ("Rego SHA-256", source.rego_sha256), ("data SHA-256", data.digest.hex()),
            *ours,
        )),
        section(
            "decisions", measured=seen.latency.questions, p50_ms=seen.latency.p50_ms, p95_ms=seen.latency.p95_ms,
            without_an_answer=seen.latency.unanswered,
        ),
        *([Section("modules", modules)] if modules else []),
        *([Section("bundles and their revision", bundles)] if bundles else []),
    ]  # fmt: skip


def _worries(url: str, seen: _Seen) -> list[Finding]:
    found = []
    if seen.absent:
        remedy = "run the step policy-opa; after a restart of OPA without a disk this is what is left"
        found.append(worry("opa.no_policy", url, f"of our policy it lacks {', '.join(seen.absent)}", remedy))
    if seen.changed:
        happened = f"{', '.join(seen.changed)} is not what this run publishes"
        found.append(worry("opa.other_policy", url, happened, "find out who published it; run the step policy-opa"))
    if seen.latency.unanswered and not seen.absent:
        happened = f"{seen.latency.unanswered} of {seen.latency.questions} questions got no decision"
        found.append(worry("opa.no_answer", url, happened, "verify the step policy-opa", Level.BLOCKER))
    if seen.latency.p95_ms > SLOW_MS:
        happened = f"five decisions in a hundred take {seen.latency.p95_ms:,.0f} ms or longer"
        found.append(worry("opa.slow", url, happened, "see what else the machine does, or decide by the WASM"))
    if seen.ready != "yes":
        found.append(worry("opa.not_ready", url, "it says that a bundle or plugin isn't ready", "look into its log"))
    return found
