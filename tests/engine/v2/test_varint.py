"""A number has one spelling, and a cut or overlong one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.varint import decode_varint, encode_varint

numbers = st.integers(0, 2**63 - 1)


@given(numbers, st.binary(max_size=4))
def test_a_number_comes_back_with_the_place_after_it(number: int, rest: bytes) -> None:
    encoded = encode_varint(number)
    assert decode_varint(b"\xff" + encoded + rest, 1) == (number, 1 + len(encoded))


@given(numbers, st.data())
def test_a_cut_number_is_not_a_number_yet(number: int, data: st.DataObject) -> None:
    encoded = encode_varint(number)
    assert decode_varint(encoded[: data.draw(st.integers(0, len(encoded) - 1))]) is None


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x80\x00", b"\xff" * 9 + b"\x01"])
def test_overlong_and_too_large_numbers_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="varint"):
        decode_varint(data)
