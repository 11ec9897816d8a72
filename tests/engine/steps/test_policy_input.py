from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.steps.policy_input import decision_input, first_reason, from_mask, to_mask, v1_answer
from canswarm_tui.engine.v1.envelope import Json, facts
from canswarm_tui.engine.v1.policy import POLICIES, V1, Reason, decide
from canswarm_tui.engine.v2.policy.answer import ALLOWED, Answer
from canswarm_tui.engine.v2.policy.policy_wasm import WasmPolicy
from canswarm_tui.engine.v2.policy.source import load_source, shipped_wasm

ARTIFACT = "ab" * 32
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
ARTIFACTS = st.sampled_from([ARTIFACT, "cd" * 32, "", None]) | JSON
ENVELOPES = JSON | st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["NEED", "COMMIT", "FINAL", "GOSSIP", "COMM\ud800IT", "x" * 10_000]) | JSON,
        "lamport": st.sampled_from([0, 1, -1, 1.0, 2**63, 10**300, -(10**300), float("nan"), float("inf")]) | JSON,
        "payload": JSON | st.fixed_dictionaries({}, optional={"artifact_hash": ARTIFACTS, "more": JSON}),
        "policy_engine_hash": st.just(V1.engine_hash) | JSON,
        "payload_hash": JSON,
    },
)


@pytest.fixture(scope="module")
def wasm() -> WasmPolicy:
    shipped = shipped_wasm()
    return WasmPolicy(shipped.wasm, shipped.sha256, load_source(PolicySettings()).document)


@given(envelope=ENVELOPES, signature=st.booleans())
@example(envelope={"kind": "COMMIT", "lamport": 1, "payload": {"artifact_hash": [[0] * 99_999]}}, signature=True)
@example(envelope={"kind": "NEED", "lamport": True, "payload": None}, signature=True)
@example(envelope={"kind": "COMMIT", "lamport": 1, "payload": {"artifact_hash": float("nan")}}, signature=True)
def test_any_envelope_at_all_gets_v1s_answer_from_its_input_and_from_the_rego(
    wasm: WasmPolicy, envelope: Json, signature: bool
) -> None:
    found = facts(envelope, lambda name: name == ARTIFACT, V1.current_hashes, signature)
    body = decision_input(envelope, found)
    assert len(body) < 2500
    expected = tuple(sorted(reason.value for reason in decide(found, V1).reasons))
    assert v1_answer(json.loads(body), V1).reasons == expected
    assert wasm.decide(body) == Answer(allow=not expected, reasons=expected)


@given(JSON)
def test_v1s_rules_answer_any_value_and_allow_none_that_is_no_input(value: Json) -> None:
    for policy in POLICIES.values():
        assert not v1_answer(value, policy).allow


@given(st.sets(st.sampled_from(list(Reason))))
def test_reasons_survive_as_bits_and_the_first_is_v1s(reasons: set[Reason]) -> None:
    in_order = tuple(reason for reason in Reason if reason in reasons)
    answer = from_mask(to_mask(in_order))
    assert answer.reasons == tuple(sorted(reason.value for reason in reasons))
    assert first_reason(answer) == (in_order[0].value if in_order else "")
    assert answer.allow == (answer == ALLOWED) == (not reasons)
