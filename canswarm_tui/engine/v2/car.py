"""CARv1 archives, written and read as streams: a header that names the roots, then blocks, each with its CID.

Nothing is held but one block. Format: https://ipld.io/specs/transport/car/carv1/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from canswarm_tui.engine.v2 import dag_cbor
from canswarm_tui.engine.v2.cid import CID_BYTES, Cid
from canswarm_tui.engine.v2.varint import decode_varint, encode_varint

MAX_SECTION_BYTES = 4 * 1024 * 1024
"""Twice the largest block: more is a damaged length and not worth the memory."""


class CarDamaged(ValueError):
    """The stream is no CARv1, or ends in the middle of a block."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block; `intact` says that its content has the hash that its CID names."""

    cid: Cid
    data: bytes
    intact: bool


def header(roots: Sequence[Cid]) -> bytes:
    """The first bytes of an archive with these roots."""
    body = dag_cbor.encode({"roots": list(roots), "version": 1})
    return encode_varint(len(body)) + body


@lru_cache(maxsize=4096)
def section_head(size: int) -> bytes:
    """What stands before the binary CID of a block of `size` bytes."""
    return encode_varint(CID_BYTES + size)


def section_bytes(size: int) -> int:
    """How long a block of `size` bytes is in an archive."""
    return len(section_head(size)) + CID_BYTES + size


class CarReader:
    """Reads an archive from pieces of any size; iterate once, for its blocks in order.

    `roots` is known after the first block was asked for. Raises CarDamaged; whatever the pieces raise passes through.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.roots: tuple[Cid, ...] = ()
        self._pieces = iter(pieces)
        self._buffer = bytearray()
        self._at = 0

    def __iter__(self) -> Iterator[Block]:
        first = self._section()
        if first is None:
            raise CarDamaged("an empty stream")
        self.roots = _roots(first)
        while (section := self._section()) is not None:
            yield _block(section)

    def _section(self) -> bytes | None:
        """The next length-prefixed section, or None at the clean end."""
        while (found := self._length()) is None:
            if not self._fill():
                if self._at == len(self._buffer):
                    return None
                raise CarDamaged("it ends in the middle of a length")
        length, begin = found
        if not 0 < length <= MAX_SECTION_BYTES:
            raise CarDamaged(f"a block of {length} bytes")
        head = begin - self._at
        while len(self._buffer) < self._at + head + length:
            if not self._fill():
                raise CarDamaged("it ends in the middle of a block")
        begin = self._at + head
        self._at = begin + length
        return bytes(memoryview(self._buffer)[begin : begin + length])

    def _length(self) -> tuple[int, int] | None:
        try:
            return decode_varint(self._buffer, self._at)
        except ValueError as exc:
            raise CarDamaged(str(exc)) from exc

    def _fill(self) -> bool:
        """Drop what was read and take the next piece; False at the end."""
        del self._buffer[: self._at]
        self._at = 0
        for piece in self._pieces:
            if piece:
                self._buffer += piece
                return True
        return False


def _roots(section: bytes) -> tuple[Cid, ...]:
    try:
        head = dag_cbor.decode(section)
    except ValueError as exc:
        raise CarDamaged(f"its header can't be read: {exc}") from exc
    if not isinstance(head, dict) or head.get("version") != 1:
        raise CarDamaged("its header is not that of version 1")
    roots = head.get("roots")
    if not isinstance(roots, list):
        raise CarDamaged("its header names no roots")
    return tuple(root for root in roots if isinstance(root, Cid))


def _block(section: bytes) -> Block:
    try:
        cid = Cid.from_bytes(section[:CID_BYTES])
    except ValueError as exc:
        raise CarDamaged(str(exc)) from exc
    data = section[CID_BYTES:]
    return Block(cid, data, hashlib.sha256(data).digest() == cid.digest)
