"""Unsigned LEB128 numbers, as CAR, protobuf and CIDs frame everything with them."""

from __future__ import annotations

MAX_BYTES = 9
"""The multiformats limit: 63 bits."""


def encode_varint(value: int) -> bytes:
    """The shortest form of a number of at most 63 bits that is not negative."""
    assert 0 <= value < 1 << 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes | bytearray | memoryview, at: int = 0) -> tuple[int, int] | None:
    """The number at `at` and the offset after it; None where the data ends before it does.

    Raises ValueError for more than 63 bits or for a form that is not the shortest.
    """
    value = 0
    for index in range(MAX_BYTES):
        if at + index >= len(data):
            return None
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise ValueError("a varint that is longer than it has to be")
            return value, at + index + 1
    raise ValueError("a varint of more than 63 bits")
