"""Policy: OPA → WASM. The same rules compiled, kept in the run's folder, and held against v1's rules and OPA's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked, Defect, Refused, Unreachable, WrongAnswer
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Verdict
from canswarm_tui.engine.steps.keyed import SetName, compare_keyed
from canswarm_tui.engine.steps.policy_envelopes import open_envelopes
from canswarm_tui.engine.steps.policy_parity import Question, conformance_questions, in_batches
from canswarm_tui.engine.steps.policy_publish import as_record, copy_policy, described, opa_for, set_digest, source_of
from canswarm_tui.engine.steps.policy_verdict import Engine, conformance, history, verdict_of
from canswarm_tui.engine.transfer import CopyPlan, undo
from canswarm_tui.engine.v1.policy import POLICIES
from canswarm_tui.engine.v2.policy.answer import ENTRYPOINTS, Json
from canswarm_tui.engine.v2.policy.opa_cli import BUILD_COMMAND, Complaint
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.policy_wasm import PolicyFolder, WasmPolicy
from canswarm_tui.engine.v2.policy.source import PolicySource, shipped_wasm

FOLDER: Final = "policy"
WASM: Final = b"policy.wasm"
DATA: Final = b"data.json"
MANIFEST: Final = b"manifest.json"
NAME: Final = SetName("policy files", "policy_file", "the run's folder", "by content")
PLAN: Final = CopyPlan("policy files", "policy_file", "the run's folder", window=1)
OPA_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Built:
    """The WASM of a source, and how it came to be, in a sentence."""

    wasm: bytes
    opa_version: str
    words: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.wasm).hexdigest()


class PolicyToWasm:
    """Source: the Rego that OPA was given; target: `policy/` in the run's folder: WASM, data and manifest."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        source = source_of(ctx)
        built = build(ctx, source)
        folder = PolicyFolder(ctx.folder / FOLDER)
        records = files_of(source, built)
        pending = sum(folder.held(record.key) != record.body for record in records)
        return (
            f"write {pending} of {len(records)} policy files to {ctx.folder / FOLDER}: {described(source)}",
            f"{built.words}; the set of policy files has digest {set_digest(records)}",
        )

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """The Rego can be read, and where it needs the opa program there is one."""
        opa_for(ctx, source_of(ctx))
        return ()

    def run(self, ctx: StepContext) -> Outcome:
        source = source_of(ctx)
        built = build(ctx, source)
        folder = PolicyFolder(ctx.folder / FOLDER)
        records = files_of(source, built)
        keys = {record.key for record in records} | {receipt.key for receipt in ctx.journal.receipts()}
        here = {key for key in keys if folder.held(key) is not None}
        outcome = copy_policy(ctx, folder, records, PLAN, here)
        summary = f"{outcome.summary}; {built.words}; policy.wasm has SHA-256 {built.sha256}"
        return Outcome(
            created=outcome.created, present=outcome.present, unchanged=outcome.unchanged,
            conflicts=outcome.conflicts, size_bytes=outcome.size_bytes, summary=summary,
        )  # fmt: skip

    def verify(self, ctx: StepContext) -> Verdict:
        """The files byte for byte, and what the WASM in them answers: the conformance set and every envelope."""
        source, policy = source_of(ctx), POLICIES[ctx.settings.policy.version]
        built = build(ctx, source)
        written = _written(ctx, files_of(source, built))
        with open_envelopes(ctx) as envelopes:
            if written.differences:
                return verdict_of(_none(), written, (), envelopes, ": the files are not the ones")
            with _loaded(ctx, built) as wasm:
                engine = Engine("WASM", "wasm", wasm.decide_batch, 1)
                single = Engine("WASM", "wasm", lambda some: [wasm.decide(one) for one in some], 1, engine.tally)
                comparisons = [
                    conformance(ctx, engine, conformance_questions(policy)),
                    conformance(ctx, single, conformance_questions(policy), " one by one"),
                ]
                comparison, _ = history(ctx, engine, envelopes)
                third, words = _with_opa(ctx, wasm, conformance_questions(policy))
            return verdict_of(engine, written, [*comparisons, comparison, *third], envelopes, f"; {words}")

    def undo(self, ctx: StepContext) -> Outcome:
        """Remove the files that this run wrote and that are still the same."""
        return undo(PolicyFolder(ctx.folder / FOLDER), ctx, PLAN)


def build(ctx: StepContext, source: PolicySource) -> Built:
    """The WASM of the source: built here where the opa program is at hand, else the one that we ship.

    Raises `SettingsError` where the operator's Rego needs the program, `Blocked` where it does not compile to WASM,
    `Defect` where what we ship is not what was recorded, or the same opa builds something else from our Rego.
    """
    opa = opa_for(ctx, source)
    if opa is None:
        shipped = shipped_wasm()
        words = f"the shipped WASM (opa {shipped.opa_version}), its SHA-256 as recorded; not built here without opa"
        return Built(shipped.wasm, shipped.opa_version, words)
    version = opa.version()
    wasm = opa.build(source)
    if isinstance(wasm, Complaint):
        raise Blocked("the Rego", f"opa build says: {wasm.text}", "mend it and run the step again")
    if not source.shipped:
        return Built(wasm, version, f"built by opa {version} from your Rego")
    shipped = shipped_wasm()
    if version == shipped.opa_version:
        if wasm != shipped.wasm:
            raise Defect("policy.wasm", f"opa {version} builds other bytes from our Rego than we ship", "report this")
        return Built(wasm, version, f"built by opa {version} from our Rego, byte for byte the shipped one")
    words = f"the shipped WASM (opa {shipped.opa_version}); opa {version} here builds other bytes from the same Rego"
    return Built(shipped.wasm, shipped.opa_version, words)


def files_of(source: PolicySource, built: Built) -> list[Record]:
    """What is written, sorted by name; always the same bytes for the same policy."""
    data = json.dumps(source.document, indent=2, sort_keys=True).encode() + b"\n"
    manifest: dict[str, Json] = {
        "version": source.version,
        "rego": {name: hashlib.sha256(text).hexdigest() for name, text in source.modules},
        "rego_sha256": source.rego_sha256,
        "wasm_sha256": built.sha256,
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "entrypoints": list(ENTRYPOINTS),
        "opa_version": built.opa_version,
        "command": list(BUILD_COMMAND),
    }
    told = json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n"
    return [as_record(key, body) for key, body in sorted([(WASM, built.wasm), (DATA, data), (MANIFEST, told)])]


def _written(ctx: StepContext, records: list[Record]) -> Verdict:
    folder = PolicyFolder(ctx.folder / FOLDER)
    held = [(record.key, body) for record in records if (body := folder.held(record.key)) is not None]
    return compare_keyed(
        ctx, ((record.key, record.digest) for record in records),
        ((key, hashlib.sha256(body).digest()) for key, body in held), NAME, total=len(records),
        size_bytes=lambda: sum(len(body) for _, body in held),
    )  # fmt: skip


@contextmanager
def _loaded(ctx: StepContext, built: Built) -> Iterator[WasmPolicy]:
    """The policy as a v2 process would load it: from the files."""
    folder = PolicyFolder(ctx.folder / FOLDER)
    wasm, data = folder.held(WASM), folder.held(DATA)
    if wasm is None or data is None:
        raise WrongAnswer(str(ctx.folder / FOLDER), "its files are gone", "run the step again")
    with WasmPolicy(wasm, built.sha256, json.loads(data)) as policy:
        yield policy


def _with_opa(ctx: StepContext, wasm: WasmPolicy, questions: Iterator[Question]) -> tuple[list[Comparison], str]:
    """The third side: WASM's own answers to the conformance set, asked of OPA."""
    asked = list(questions)
    told = wasm.decide_batch([question.input for question in asked])
    by_wasm = [Question(q.name, q.input, answer) for q, answer in zip(asked, told, strict=True)]
    try:
        with OpaClient(ctx.settings.opa) as client:
            client.check_health()
            engine = Engine("OPA beside WASM", "opa_wasm", in_batches(client.decide_batch), OPA_THREADS)
            return [conformance(ctx, engine, by_wasm)], "OPA gives WASM's answers to the conformance set"
    except (Unreachable, Refused, WrongAnswer) as exc:
        ctx.found(
            Finding(
                "policy.opa_not_asked", Level.NOTE, Kind.CONDITION, ctx.settings.opa.url,
                f"OPA could not be asked beside WASM: {exc.happened}",
                "nothing, if it has been taken out of use: WASM was held against v1's rules",
            )
        )  # fmt: skip
        return [], "OPA could not be asked"


def _none() -> Engine:
    return Engine("WASM", "wasm", lambda _some: [], 1)
