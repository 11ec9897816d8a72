"""One policy document, policy file or envelope three ways.

A document or file is compared byte for byte with the policy that the settings choose. An envelope is read from v1's
audit log now, and what v1's rules say to it is held against the engine's answer; it has no receipt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import SiteUnreadable, WrongAnswer
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.rate import RateLimit
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Verb
from canswarm_tui.engine.steps.policy_input import answer_of, decision_input
from canswarm_tui.engine.steps.policy_wasm import DATA, FOLDER, MANIFEST, WASM, build, files_of
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.three_ways.values import (
    Held,
    Likeness,
    Pair,
    held,
    held_receipt,
    likeness_of,
    pairs_of,
    parted_at,
)
from canswarm_tui.engine.three_ways.view import Sides
from canswarm_tui.engine.v1.audit_log import MAX_LINE_BYTES
from canswarm_tui.engine.v1.blobs import blob_exists
from canswarm_tui.engine.v1.envelope import Json, claims_envelope, facts, parse_json
from canswarm_tui.engine.v1.policy import POLICIES, decide
from canswarm_tui.engine.v1.site import log_file
from canswarm_tui.engine.v2.policy.answer import Answer
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.policy_opa import DATA as OPA_DATA
from canswarm_tui.engine.v2.policy.policy_opa import POLICIES as OPA_POLICIES
from canswarm_tui.engine.v2.policy.policy_opa import OpaSink, records_of
from canswarm_tui.engine.v2.policy.policy_wasm import PolicyFolder, WasmPolicy
from canswarm_tui.engine.v2.policy.source import load_source

_INPUT_CHARS: Final = 1000
_LINE: Final = "line "


def in_opa(settings: Settings, journal: Journal, key: bytes) -> Sides:
    """`key` is `data/…` or `policies/…` as the step names its documents, else the id of an envelope (or `line N`)."""
    with OpaClient(settings.opa) as client:
        if not key.startswith((OPA_DATA, OPA_POLICIES)):
            return _envelope(settings, key, f"OPA at {settings.opa.url}", client.decide)
        records = {record.key: record.body for record in records_of(load_source(settings.policy))}
        sink = OpaSink(client, records.keys())
        content = sink.held([key]).get(key)
    receipt = held_receipt(journal.step("policy-opa").receipt(key))
    return _document("policy document", f"OPA at {settings.opa.url}", key, records.get(key), content, receipt)


def in_wasm(settings: Settings, journal: Journal, key: bytes) -> Sides:
    """`key` is the name of a policy file, else the id of an envelope (or `line N`)."""
    folder = PolicyFolder(place_of(settings).folder / FOLDER)
    if key not in (WASM, DATA, MANIFEST):
        return _envelope(settings, key, f"{folder.path(WASM)}", partial(_wasm_answer, folder))
    source = load_source(settings.policy)
    records = {record.key: record.body for record in files_of(source, build(_context(settings, journal), source))}
    receipt = held_receipt(journal.step("policy-wasm").receipt(key))
    return _document("policy file", str(folder.path(key)), key, records[key], folder.held(key), receipt)


def _document(noun: str, where: str, key: bytes, ours: object, theirs: bytes | None, receipt: Held) -> Sides:
    origin = "the policy that the settings choose"
    site = held(origin, ours) if isinstance(ours, bytes) else Held(origin)
    target = held(f"{where}, {shown(key, 200)}", theirs) if theirs is not None else Held(f"{where}, {shown(key, 200)}")
    parted = parted_at(ours, theirs) if isinstance(ours, bytes) and theirs is not None else ""
    return Sides(noun, site, target, receipt, pairs_of(site, target, receipt), (parted,) if parted else ())


def _wasm_answer(folder: PolicyFolder, text: bytes) -> Answer | None:
    """The answer of the files as they lie there; None where they are gone."""
    wasm, data, manifest = (folder.held(name) for name in (WASM, DATA, MANIFEST))
    if wasm is None or data is None or manifest is None:
        return None
    try:
        sha256, document = str(json.loads(manifest)["wasm_sha256"]), json.loads(data)
    except (ValueError, KeyError, TypeError) as exc:
        raise WrongAnswer(
            str(folder.path(MANIFEST)), "it, or the data beside it, is damaged", "run the step again"
        ) from exc
    with WasmPolicy(wasm, sha256, document) as policy:
        return policy.decide(text)


@dataclass(frozen=True, slots=True)
class _Found:
    line: int
    expected: Answer
    input: bytes


def _envelope(settings: Settings, key: bytes, where: str, ask: Callable[[bytes], Answer | None]) -> Sides:
    policy = POLICIES[settings.policy.version]
    log = shown(str(log_file(settings.site)))
    found = _in_log(settings, key)
    if found is None:
        site, target = Held(log), Held(where)
    else:
        site = _answered(f"v1's rules ({policy.name}), {log} line {found.line:,}", found.expected)
        answer = ask(found.input)
        target = Held(where) if answer is None else _answered(where, answer)
    receipt = Held("the journal")
    why = "an envelope has no receipt: it is asked anew each time"
    pairs = (
        Pair("site", "target", likeness_of(site, target)),
        Pair("site", "receipt", Likeness.APART, why),
        Pair("target", "receipt", Likeness.APART, why),
    )
    notes = () if found is None else (f"asked was {shown(found.input, _INPUT_CHARS)}",)
    return Sides("envelope", site, target, receipt, pairs, notes)


def _answered(where: str, answer: Answer) -> Held:
    words = "allow" if answer.allow else f"deny: {', '.join(shown(reason, 80) for reason in answer.reasons)}"
    return held(where, words.encode())


def _in_log(settings: Settings, key: bytes) -> _Found | None:
    """The first line that carries the envelope; the log is read from its beginning."""
    name, policy = key.decode("utf-8", "backslashreplace"), POLICIES[settings.policy.version]
    wanted = name.removeprefix(_LINE).replace(",", "") if name.startswith(_LINE) else ""
    escaped = json.dumps(name)[1:-1].encode()
    for number, line in _lines(settings):
        if not (str(number) == wanted if wanted.isdigit() else key in line or escaped in line):
            continue
        envelope = _carried(line)
        if envelope is None or not (wanted.isdigit() or envelope.get("id") == name):
            continue
        told = facts(envelope, partial(blob_exists, settings.site.cas_folder), policy.current_hashes)
        return _Found(number, answer_of(decide(told, policy).reasons), decision_input(envelope, told))
    return None


def _carried(line: bytes) -> dict[str, Json] | None:
    try:
        value = parse_json(line)
    except ValueError:
        return None
    payload = value.get("payload") if isinstance(value, dict) else None
    return payload if isinstance(payload, dict) and claims_envelope(payload) else None


def _lines(settings: Settings) -> Iterator[tuple[int, bytes]]:
    """Number and text of each line; of one that is longer than v1 writes, only the beginning."""
    path, number, begins = log_file(settings.site), 0, True
    try:
        with path.open("rb") as file:
            while text := file.readline(MAX_LINE_BYTES):
                if begins:
                    number += 1
                    yield number, text
                begins = text.endswith(b"\n")
    except OSError as exc:
        raise SiteUnreadable(str(path), exc.strerror or str(exc), "check site.log_dir and its rights") from exc


def _context(settings: Settings, journal: Journal) -> StepContext:
    """For the step's own functions that only look; it says nothing and writes nothing."""
    folder = place_of(settings).folder
    return StepContext(
        settings, journal.step("policy-wasm"), Verb.VERIFY, 0, StopSignal(), lambda _event: None, RateLimit(), folder,
        folder,
    )  # fmt: skip
