"""Archives survive the round trip in pieces of any size; a cut or changed one is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.car import (
    MAX_SECTION_BYTES,
    Block,
    CarDamaged,
    CarReader,
    header,
    section_bytes,
    section_head,
)
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.varint import encode_varint

contents = st.lists(st.binary(max_size=300), max_size=12)


def archive(blocks: list[bytes]) -> bytes:
    root = Cid.of(Codec.RAW, b"root")
    parts = [header([root])]
    parts += [section_head(len(b)) + bytes(Cid.of(Codec.RAW, b)) + b for b in blocks]
    return b"".join(parts)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    yield b""
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(data: bytes, size: int = 64) -> list[Block]:
    return list(CarReader(pieces(data, size)))


@given(contents, st.integers(1, 400))
def test_blocks_come_back_whole_and_in_order_whatever_the_pieces(blocks: list[bytes], size: int) -> None:
    reader = CarReader(pieces(archive(blocks), size))
    back = list(reader)
    assert [b.data for b in back] == blocks
    assert all(b.intact for b in back)
    assert reader.roots == (Cid.of(Codec.RAW, b"root"),)


@given(contents)
def test_the_length_of_an_archive_is_known_before_it_is_made(blocks: list[bytes]) -> None:
    expected = len(header([Cid.of(Codec.RAW, b"root")])) + sum(section_bytes(len(b)) for b in blocks)
    assert len(archive(blocks)) == expected


@given(contents, st.data())
def test_an_archive_cut_anywhere_is_damaged_or_at_a_block_boundary_shorter(
    blocks: list[bytes], data: st.DataObject
) -> None:
    whole = archive(blocks)
    cut = data.draw(st.integers(0, len(whole) - 1))
    boundaries = [len(archive(blocks[:count])) for count in range(len(blocks) + 1)]
    if cut in boundaries:
        assert [b.data for b in read(whole[:cut])] == blocks[: boundaries.index(cut)]
    else:
        with pytest.raises(CarDamaged):
            read(whole[:cut])


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_block_whose_content_changed_is_not_intact(content: bytes, data: st.DataObject) -> None:
    whole = bytearray(archive([b"before", content]))
    at = data.draw(st.integers(len(whole) - len(content), len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    first, second = read(bytes(whole))
    assert first.intact
    assert not second.intact
    assert second.cid.digest == hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x80" * 12,
        encode_varint(MAX_SECTION_BYTES + 1),
        b"\x05hello",
        encode_varint(len(b"\xa1gversion\x02")) + b"\xa1gversion\x02",
        header([]) + encode_varint(40) + bytes(40),
        header([]) + encode_varint(3) + b"abc",
    ],
)
def test_what_is_no_archive_is_damaged(data: bytes) -> None:
    with pytest.raises(CarDamaged):
        read(data)


def test_a_damaged_length_does_not_take_memory() -> None:
    def endless() -> Iterator[bytes]:
        yield header([]) + encode_varint(1 << 40)
        raise AssertionError("it went on reading")

    with pytest.raises(CarDamaged):
        list(CarReader(endless()))
