"""OPA: the policy is gone after a restart, is another one, or gives no decision."""

from __future__ import annotations

from dataclasses import dataclass

from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import BAD, FINE, UNKNOWN, WORRY, Answer, Question, ask, not_yet
from canswarm_tui.engine.health.latency import Latency, measure
from canswarm_tui.engine.health.opa import SLOW_MS, published, quick, ready
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.engine.v2.policy.answer import DECISION
from canswarm_tui.engine.v2.policy.opa_client import Module, OpaClient
from canswarm_tui.engine.v2.policy.source import load_source

_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class _Seen:
    version: str
    ready: str
    modules: list[Module]
    absent: list[str]
    changed: list[str]
    latency: Latency
    copied: bool


def checks(settings: Settings) -> tuple[Check, ...]:
    opa = settings.opa
    empty_input = ("-X", "POST", "-H", "Content-Type: application/json", "-d", '{"input": {"envelope": {}}}')
    questions = (
        Question("opa.answers", "OPA does not answer, or is not ready",
                 shell.opa(opa, "/health?bundles&plugins", "-w", "%{http_code}\\n"), _answers),
        Question("opa.policy", "the policy is gone after a restart, or is another one",
                 shell.opa(opa, "/v1/policies") + " | jq -r '.result[].id'", _policy),
        Question("opa.decisions", "no decision, or a late one",
                 shell.opa(opa, f"/v1/data/{DECISION}", *empty_input), _decisions),
    )  # fmt: skip
    return ask("opa", (opa.url,), lambda: _read(settings), questions)


def _read(settings: Settings) -> _Seen:
    source = load_source(settings.policy)
    with OpaClient(quick(settings)) as client:
        absent, changed = published(client, source)
        return _Seen(
            client.version(), ready(client), client.modules(), absent, changed,
            measure(client.decide, _QUESTIONS), not not_yet(settings, "policy-opa"),
        )  # fmt: skip


def _answers(seen: _Seen) -> Answer:
    lines = (f"OPA {shown(seen.version, 40)}", f"ready: {seen.ready}")
    if seen.ready != "yes":
        return Answer(WORRY, "a bundle or plugin is not ready", lines, "look into its log")
    return Answer(FINE, "it answers, and is ready", lines)


def _policy(seen: _Seen) -> Answer:
    names = ", ".join(shown(one.id, 80) for one in seen.modules[:20]) or "none"
    lines: tuple[str, ...] = (f"{counted(len(seen.modules), 'module')}: {names}",)
    lines += (f"of our policy not there: {', '.join(seen.absent) or 'nothing'}",)
    if seen.changed:
        lines += (f"there, and not ours: {', '.join(seen.changed)}",)
    if seen.absent and not seen.copied:
        return Answer(UNKNOWN, "no run of this site has published the policy yet", lines, "run the step policy-opa")
    if seen.absent:
        remedy = "run the step policy-opa again; OPA keeps what it is sent in memory alone: start it with a bundle"
        return Answer(BAD, "the policy that a run has published is gone", lines, remedy)
    if seen.changed:
        remedy = "find out who published it; then run the step policy-opa"
        return Answer(BAD, "another policy is there under our names", lines, remedy)
    return Answer(FINE, "our policy is there, word for word", lines)


def _decisions(seen: _Seen) -> Answer:
    latency = seen.latency
    lines = (
        f"{latency.questions} envelopes of the conformance set asked: {latency.unanswered} without a decision",
        f"half of them within {latency.p50_ms} ms, 95 in a hundred within {latency.p95_ms} ms",
    )
    if latency.unanswered and seen.absent:
        return Answer(UNKNOWN, "the policy is not there, so nothing can be decided", lines, "run the step policy-opa")
    if latency.unanswered:
        return Answer(BAD, "some envelopes get no decision, and v2 must deny them", lines, "verify policy-opa")
    if latency.p95_ms > SLOW_MS:
        return Answer(WORRY, "decisions come late", lines, "see what else the machine does, or decide by the WASM")
    return Answer(FINE, "every envelope gets a decision in time", lines)
