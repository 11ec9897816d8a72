from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Literal

import opapywasm
import pytest

from canswarm_tui.engine.errors import Defect, EngineError, WrongAnswer
from canswarm_tui.engine.records import Fate, Record, Removal, Wanted
from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.v2.policy.answer import ALLOWED, BATCH_BYTES, UNDEFINED, Answer, batches, compact
from canswarm_tui.engine.v2.policy.opa_cli import OpaCli
from canswarm_tui.engine.v2.policy.policy_wasm import PolicyFolder, WasmPolicy, translated
from canswarm_tui.engine.v2.policy.source import load_source, shipped_wasm
from canswarm_tui.sandbox.binaries import ensure
from tests.engine.v2.policy.inputs import EVERY_REASON, need


def shipped(version: Literal["v1", "guide"] = "v1") -> WasmPolicy:
    wasm = shipped_wasm()
    document = load_source(PolicySettings(version=version)).document
    return WasmPolicy(wasm.wasm, wasm.sha256, document)


def built(folder: Path, rego: str, deadline_s: float = 5.0) -> WasmPolicy:
    (folder / "own.rego").write_text(rego)
    source = load_source(PolicySettings(rego_dir=folder))
    wasm = OpaCli(ensure("opa")).build(source)
    assert isinstance(wasm, bytes), wasm
    return WasmPolicy(wasm, hashlib.sha256(wasm).hexdigest(), source.document, deadline_s)


def test_envelopes_are_decided_one_by_one_and_in_batches_alike() -> None:
    inputs = [need(n, payload_size_bytes=65_000 + n) for n in range(1000)] + [b"{}", b"null", b"[]"]
    with shipped() as policy:
        answers = policy.decide_batch(inputs)
        assert answers[1:537] == [ALLOWED] * 536
        assert answers[537:1000] == [Answer(allow=False, reasons=("payload_too_large",))] * 463
        assert answers[1000:] == [Answer(allow=False, reasons=EVERY_REASON)] * 3
        assert [policy.decide(one) for one in inputs[::50]] == answers[::50]


def test_the_version_is_data() -> None:
    big = need(1, payload_size_bytes=1_048_576)
    with shipped("v1") as v1, shipped("guide") as guide:
        assert v1.decide(big) == Answer(allow=False, reasons=("payload_too_large",))
        assert guide.decide(big) == ALLOWED


def test_without_data_everything_is_denied() -> None:
    wasm = shipped_wasm()
    with WasmPolicy(wasm.wasm, wasm.sha256, {}) as policy:
        assert policy.decide(need()) == Answer(allow=False, reasons=("kind_not_allowed", "payload_too_large"))


def test_a_flipped_byte_is_refused_before_anything_is_decided() -> None:
    wasm = shipped_wasm()
    damaged = wasm.wasm[:5000] + bytes([wasm.wasm[5000] ^ 1]) + wasm.wasm[5001:]
    with pytest.raises(WrongAnswer, match="SHA-256"):
        WasmPolicy(damaged, wasm.sha256, {})


def test_what_is_no_policy_or_has_other_entrypoints_is_refused(tmp_path: Path) -> None:
    for bad in (b"", b"\0asm\1\0\0\0", b"text"):
        with pytest.raises(WrongAnswer):
            WasmPolicy(bad, hashlib.sha256(bad).hexdigest(), {})


def test_an_undefined_result_is_no_allow(tmp_path: Path) -> None:
    rego = "package swarm.envelope\n\nallow := true\n\ndecision := 1 if input.never\n\ndecisions := 1 if input.never\n"
    with built(tmp_path, rego) as policy:
        assert policy.decide(need()) == UNDEFINED
        assert policy.decide_batch([need(), need()]) == [UNDEFINED, UNDEFINED]


@pytest.mark.parametrize(("deadline_s", "said"), [(0.1, "in time"), (60.0, "memory")])
def test_rules_that_take_too_long_or_too_much_memory_are_stopped_and_the_policy_goes_on(
    tmp_path: Path, deadline_s: float, said: str
) -> None:
    rego = (
        "package swarm.envelope\n\nallow := false\n\n"
        'decision := {"allow": false, "reasons": [sprintf("%d", [n])]} if {\n\tn := count([1 |\n'
        "\t\tsome a in numbers.range(1, input.n)\n\t\tsome b in numbers.range(1, input.n)\n\t\ta * b == 0\n\t])\n}\n\n"
        "decisions := [d | some e in input.batch; d := decision with input as e]\n"
    )
    with built(tmp_path, rego, deadline_s) as policy:
        with pytest.raises(WrongAnswer, match=said):
            policy.decide(b'{"n":100000}')
        assert policy.decide(b'{"n":2}') == Answer(allow=False, reasons=("0",))


def test_batches_are_cut_by_number_and_by_size() -> None:
    small, large = [b"1"] * 250, [b"x" * (BATCH_BYTES // 2)] * 3
    assert [len(part) for part in batches(small)] == [100, 100, 50]
    assert [len(part) for part in batches(large)] == [1, 1, 1]
    assert list(batches([])) == []
    with shipped() as policy:
        padded = [compact({**json.loads(need()), "padding": "x" * 400_000})] * 5
        assert policy.decide_batch(padded) == [ALLOWED] * 5


def test_every_exception_of_the_runtime_is_one_of_ours() -> None:
    classes = [
        cls for _, cls in inspect.getmembers(opapywasm, inspect.isclass) if issubclass(cls, opapywasm.OpaWasmError)
    ]
    assert len(classes) >= 12
    for cls in classes:
        error = translated(cls("words"))
        assert isinstance(error, EngineError)
        assert "words" in error.happened
        base = cls is opapywasm.OpaWasmError
        ours = (opapywasm.OpaInvalidInputError, opapywasm.OpaPolicyClosedError, opapywasm.OpaDataError)
        assert isinstance(error, Defect) == (base or issubclass(cls, ours)), cls


def test_a_closed_policy_says_so() -> None:
    policy = shipped()
    policy.close()
    with pytest.raises(Defect, match="closed"):
        policy.decide(need())


def record(name: bytes, body: bytes) -> Record:
    return Record(name, hashlib.sha256(body).digest(), len(body), body)


def wanted(one: Record) -> Wanted:
    return Wanted(one.key, one.digest, one.size)


def test_files_are_created_once_and_others_are_never_overwritten(tmp_path: Path) -> None:
    folder = PolicyFolder(tmp_path / "policy")
    one, other = record(b"policy.wasm", b"one"), record(b"policy.wasm", b"other")
    assert [landed.fate for landed in folder.settle([wanted(one)], "t")] == [Fate.ABSENT]
    assert [landed.fate for landed in folder.write([one], "t")] == [Fate.CREATED]
    assert [landed.fate for landed in folder.write([one], "t")] == [Fate.PRESENT]
    (conflict,) = folder.write([other], "t")
    assert conflict.fate is Fate.CONFLICT
    assert conflict.existing == b"one"
    assert folder.held(b"policy.wasm") == b"one"
    assert [path.name for path in (tmp_path / "policy").iterdir()] == ["policy.wasm"]
    assert [landed.fate for landed in folder.settle([wanted(one)], "t")] == [Fate.CREATED]


def test_files_are_removed_only_while_they_are_what_was_written(tmp_path: Path) -> None:
    folder = PolicyFolder(tmp_path / "policy")
    one, two = record(b"a", b"1"), record(b"b", b"2")
    folder.write([one, two], "t")
    (tmp_path / "policy" / "a").write_bytes(b"changed")
    assert folder.remove([wanted(one), wanted(two)], "t") == [Removal.KEPT, Removal.REMOVED]
    (tmp_path / "policy" / "a").unlink()
    assert folder.remove([wanted(one)], "t") == [Removal.GONE]


def test_a_folder_that_can_not_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("a file")
    with pytest.raises(EngineError, match="Check the folder"):
        PolicyFolder(tmp_path / "policy").write([record(b"a", b"1")], "t")
