"""The policy as WASM: damaged, without its entrypoint, or without a decision."""

from __future__ import annotations

from importlib.resources import files

from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import BAD, FINE, Answer, Question, ask
from canswarm_tui.engine.health.latency import measure
from canswarm_tui.engine.health.wasm import Policy, policy_of, written_folder
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.steps.policy_wasm import WASM
from canswarm_tui.engine.text import bytes_text
from canswarm_tui.engine.v2.policy import source
from canswarm_tui.engine.v2.policy.answer import ENTRYPOINTS
from canswarm_tui.engine.v2.policy.policy_wasm import WasmPolicy

_QUESTIONS = 20
_ENTRYPOINTS_OF = (
    'import sys, opapywasm; print(opapywasm.OpaWasmPolicy.from_wasm_bytes(open(sys.argv[1], "rb").read()).entrypoints)'
)


def checks(settings: Settings) -> tuple[Check, ...]:
    folder = written_folder(settings)
    path = str(folder / WASM.decode() if folder else files(source.__package__) / source.WASM)
    questions = (
        Question("wasm.file", "the WASM is missing, damaged or not ours",
                 shell.plain("sha256sum", path), _file),
        Question("wasm.entrypoints", "entrypoint missing: nothing can be evaluated",
                 shell.python(_ENTRYPOINTS_OF, path), _entrypoints),
        Question("wasm.decisions", "no decision, or past the deadline",
                 shell.ourselves(settings, "diagnose", "wasm"), _decisions),
    )  # fmt: skip
    return ask("wasm", (), lambda: policy_of(settings), questions)


def _file(seen: Policy) -> Answer:
    lines = (f"{seen.origin}: {bytes_text(len(seen.wasm))}, SHA-256 {seen.sha256}", f"built by OPA {seen.opa_version}")
    return Answer(FINE, "its SHA-256 is the one that was recorded", lines)


def _entrypoints(seen: Policy) -> Answer:
    try:
        with WasmPolicy(seen.wasm, seen.sha256, seen.document) as engine:
            found = tuple(name for name, _ in engine.entrypoints)
    except WrongAnswer as exc:
        return Answer(BAD, exc.happened, (f"wanted: {', '.join(ENTRYPOINTS)}",), exc.remedy)
    lines = (f"entrypoints: {', '.join(found)}", f"wanted: {', '.join(ENTRYPOINTS)}")
    return Answer(FINE, "every entrypoint that v2 calls is there", lines)


def _decisions(seen: Policy) -> Answer:
    with WasmPolicy(seen.wasm, seen.sha256, seen.document) as engine:
        latency = measure(engine.decide, _QUESTIONS)
    lines = (
        f"{latency.questions} envelopes of the conformance set asked: {latency.unanswered} without a decision",
        f"half of them within {latency.p50_ms} ms, 95 in a hundred within {latency.p95_ms} ms",
    )
    if latency.unanswered:
        return Answer(BAD, "some envelopes get no decision, and v2 must deny them", lines, "verify policy-wasm")
    return Answer(FINE, "every envelope gets a decision in time", lines)
