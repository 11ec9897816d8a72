"""The canonical form is the only form: what is decoded encodes to the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2 import dag_cbor
from canswarm_tui.engine.v2.cid import Cid, Codec

cids = st.builds(Cid, st.sampled_from(Codec), st.binary(min_size=32, max_size=32))
leaves = st.one_of(st.integers(-(2**64), 2**64 - 1), st.binary(), st.text(), cids)
values = st.recursive(
    leaves, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)), max_leaves=20
)


@given(values)
def test_a_value_survives_the_round_trip(value: dag_cbor.Value) -> None:
    assert dag_cbor.decode(dag_cbor.encode(value)) == value


@given(st.binary())
def test_bytes_are_either_canonical_or_refused(data: bytes) -> None:
    try:
        value = dag_cbor.decode(data)
    except ValueError:
        return
    assert dag_cbor.encode(value) == data


@given(values, st.data())
def test_a_value_that_was_cut_is_refused(value: dag_cbor.Value, data: st.DataObject) -> None:
    encoded = dag_cbor.encode(value)
    with pytest.raises(ValueError, match=r"early|canonical|CBOR|CID"):
        dag_cbor.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


def test_map_keys_are_ordered_by_length_first() -> None:
    assert dag_cbor.encode({"b": 1, "aa": 2, "a": 3}) == bytes.fromhex("a3616103616201626161 02".replace(" ", ""))
    with pytest.raises(ValueError, match="canonical"):
        dag_cbor.decode(bytes.fromhex("a2626161026162 01".replace(" ", "")))


def test_deep_nesting_is_refused_instead_of_overflowing() -> None:
    with pytest.raises(ValueError, match="deeply"):
        dag_cbor.decode(b"\x81" * 5000 + b"\x01")
