"""Content identifiers as far as this migration needs them: version 1, SHA-256, three codecs.

A blob of at most one raw block has a CID that follows from its v1 hash alone; that is what makes the move to IPFS
provable offline. Formats: https://github.com/multiformats/cid and the multicodec table.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum

DIGEST_BYTES = 32
CID_BYTES = 36


class Codec(IntEnum):
    """How the bytes of a block are to be read (all below 128, so one byte each)."""

    RAW = 0x55
    DAG_PB = 0x70
    DAG_CBOR = 0x71


_SHA2_256 = bytes((0x12, DIGEST_BYTES))
_CODECS = frozenset(Codec)


def cid_prefix(codec: Codec) -> bytes:
    """The four bytes before the digest in a binary CID."""
    return bytes((1, codec)) + _SHA2_256


RAW_PREFIX = cid_prefix(Codec.RAW)


@dataclass(frozen=True, slots=True)
class Cid:
    """A CIDv1 of a block with this SHA-256 `digest` (32 bytes)."""

    codec: Codec
    digest: bytes

    def __post_init__(self) -> None:
        assert len(self.digest) == DIGEST_BYTES

    def __bytes__(self) -> bytes:
        return bytes((1, self.codec)) + _SHA2_256 + self.digest

    def __str__(self) -> str:
        """Base32, lower case, without padding, as servers write it: 59 characters."""
        return "b" + base64.b32encode(bytes(self)).decode("ascii").rstrip("=").lower()

    @classmethod
    def of(cls, codec: Codec, block: bytes) -> Cid:
        """The CID of a block's content."""
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def raw(cls, digest: bytes) -> Cid:
        """The CID of a blob that is one raw block, from its SHA-256."""
        return cls(Codec.RAW, digest)

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """Parses the binary form; raises ValueError for anything but a CIDv1 of these codecs with SHA-256."""
        if len(data) != CID_BYTES or data[0] != 1 or data[1] not in _CODECS or data[2:4] != _SHA2_256:
            raise ValueError(f"not a CIDv1 (raw, dag-pb or dag-cbor) with SHA-256: {data[:48].hex()}")
        return cls(Codec(data[1]), data[4:])

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Parses the text form; raises ValueError for any other form than base32 in lower case."""
        if not (text.startswith("b") and text.isascii() and text == text.lower()):
            raise ValueError(f"not a CID in base32: {text[:80]!r}")
        body = text[1:].upper()
        try:
            data = base64.b32decode(body + "=" * (-len(body) % 8))
        except binascii.Error as exc:
            raise ValueError(f"not a CID in base32: {text[:80]!r}") from exc
        cid = cls.from_bytes(data)
        if str(cid) != text:  # unused bits at the end that are not zero: a second spelling of the same CID
            raise ValueError(f"not a CID in canonical base32: {text[:80]!r}")
        return cid
