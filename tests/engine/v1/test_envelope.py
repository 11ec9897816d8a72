from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v1.envelope import (
    UNKNOWN_SIZE,
    Facts,
    Json,
    Uncanonical,
    canonical_json,
    claims_envelope,
    facts,
    is_envelope,
    parse_json,
    payload_hash,
    public_key,
    sign,
    verify_signature,
)
from canswarm_tui.engine.v1.policy import V1

SEED = bytes(range(32))

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**60, max_value=2**70)
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]), max_size=3)
)
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
NAMES = [
    "v", "id", "thread_id", "kind", "lamport", "ts_ns", "sender_pk_b64", "payload_hash", "payload",
    "policy_engine_hash", "nonce", "sig_pk_b64", "sig_b64", "artifact_hash",
]  # fmt: skip


def envelope(**changes: Json) -> dict[str, Json]:
    payload: Json = changes.pop("payload", {"hello": "wörld"})
    fields: dict[str, Json] = {
        "v": 1,
        "id": "e1",
        "thread_id": "t1",
        "kind": "NEED",
        "lamport": 1,
        "ts_ns": 2**60,
        "sender_pk_b64": "x",
        "payload_hash": payload_hash(payload),
        "payload": payload,
        "policy_engine_hash": V1.engine_hash,
        "nonce": "n",
    }
    return sign(fields | changes, SEED)


def facts_of(value: object) -> Facts:
    return facts(value, lambda _: False, V1.current_hashes)


def test_canonical_json_is_sorted_compact_and_ascii() -> None:
    assert canonical_json({"b": [1, None, 1.5], "a": "ä\ud800"}) == b'{"a":"\\u00e4\\ud800","b":[1,null,1.5]}'


@given(any_json)
def test_canonical_json_survives_being_read_again(value: Json) -> None:
    text = canonical_json(value)
    assert canonical_json(parse_json(text)) == text
    assert text == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_what_v1_could_not_write_is_uncanonical_and_not_a_crash() -> None:
    deep: Json = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Uncanonical):
        canonical_json(deep)
    with pytest.raises(Uncanonical):
        canonical_json(10**5000)


def test_utf16_is_no_json_of_v1() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        parse_json('{"a": 1}'.encode("utf-16"))


@given(st.dictionaries(st.text(), any_json, max_size=5))
def test_what_is_signed_verifies_and_any_change_does_not(fields: dict[str, Json]) -> None:
    signed = sign(fields, SEED)
    assert verify_signature(signed)
    assert not verify_signature(signed | {"one more field": 1})
    assert not verify_signature(signed | {"sig_pk_b64": sign({}, bytes(32))["sig_pk_b64"]})


def test_the_public_key_of_a_seed_is_the_one_in_a_signature() -> None:
    assert sign({}, SEED)["sig_pk_b64"] == base64.b64encode(public_key(SEED)).decode()


@pytest.mark.parametrize("value", [None, "", "AAAA", "not base64!", 5, [], "é", "A" * 88])
def test_a_malformed_signature_is_invalid(value: Json) -> None:
    assert not verify_signature(envelope() | {"sig_b64": value})
    assert not verify_signature(envelope() | {"sig_pk_b64": value})


@given(any_json | st.dictionaries(st.sampled_from(NAMES), any_json))
def test_any_json_value_has_facts(value: Json) -> None:
    found = facts_of(value)
    json.dumps(found.as_input(), allow_nan=False).encode()
    assert found.kind is None or found.kind.encode() is not None
    assert not found.signature_valid


@given(st.sampled_from(NAMES), any_json)
def test_an_envelope_with_a_replaced_field_has_facts(name: str, value: Json) -> None:
    assert facts_of(envelope() | {name: value}).payload_size_bytes >= UNKNOWN_SIZE


def test_facts_of_a_sound_envelope() -> None:
    blob = hashlib.sha256(b"blob").hexdigest()
    sealed = envelope(kind="COMMIT", payload={"artifact_hash": blob})
    assert facts(sealed, lambda name: name == blob, V1.current_hashes) == Facts(
        True, True, True, True, "COMMIT", len(canonical_json({"artifact_hash": blob})), True, True
    )


@pytest.mark.parametrize("artifact", ["", "x", "../../../etc/passwd", "A" * 64, 5, ["a"], {"a": 1}, "a" * 63])
def test_a_malformed_artifact_hash_is_named_but_never_looked_up(artifact: Json) -> None:
    def never(_: str) -> bool:
        raise AssertionError

    found = facts(envelope(payload={"artifact_hash": artifact}), never, V1.current_hashes)
    assert found.artifact_named
    assert not found.artifact_present


@pytest.mark.parametrize("lamport", [0, -1, True, 1.0, "1", None, float("nan")])
def test_only_a_whole_number_above_zero_is_a_lamport(lamport: Json) -> None:
    assert not facts_of(envelope(lamport=lamport)).lamport_positive


def test_a_payload_without_canonical_form_has_no_size_and_no_valid_hash() -> None:
    found = facts_of(envelope() | {"payload": 10**5000})
    assert (found.payload_size_bytes, found.payload_hash_valid, found.signature_valid) == (UNKNOWN_SIZE, False, False)


def test_a_plain_message_claims_nothing_and_a_cut_envelope_does() -> None:
    whole = envelope()
    assert is_envelope(whole)
    assert not claims_envelope({"hello": "world", "n": 1})
    for name in whole:
        cut = {key: value for key, value in whole.items() if key != name}
        assert claims_envelope(cut)
        assert not is_envelope(cut)


def test_every_line_that_the_real_v1_wrote_verifies(v1_site: Path) -> None:
    lines = [parse_json(line) for line in (v1_site / "logs" / "swarm.jsonl").read_bytes().splitlines()]
    assert len(lines) == 1801
    for line in lines:
        assert isinstance(line, dict)
        assert verify_signature(line)
        assert payload_hash(line["payload"]) == line["payload_hash"]
        assert not claims_envelope(line["payload"]) or verify_signature(line["payload"])
