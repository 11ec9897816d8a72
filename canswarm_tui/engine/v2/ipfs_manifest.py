"""The root block of one batch: names the batch and links everything in it, so that one pin holds it all.

A manifest tells the v1 hash of each blob under it: that of a raw block is in its CID, that of a larger one is written
down beside it. It contains the tag of its batch, so no two batches share a root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from canswarm_tui.engine.v2 import dag_cbor
from canswarm_tui.engine.v2.cid import Cid, Codec

_FORMAT = "canswarm-blobs-1"


@dataclass(frozen=True, slots=True)
class LargeBlob:
    """A blob of more than one block: its v1 hash does not show in its CID."""

    digest: bytes
    cid: Cid
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    tag: str
    raw: tuple[Cid, ...]
    """The blobs of one raw block, in the batch's order."""
    large: tuple[LargeBlob, ...]
    blocks: int
    """Different blocks in the whole graph, this one included."""
    size_bytes: int
    """Bytes in the different blocks, without this one."""

    def encode(self) -> tuple[Cid, bytes]:
        """The block and its CID; the same manifest always gives the same."""
        block = dag_cbor.encode(
            {
                "format": _FORMAT,
                "tag": self.tag,
                "raw": list(self.raw),
                "large": [[blob.cid, blob.digest, blob.size] for blob in self.large],
                "blocks": self.blocks,
                "bytes": self.size_bytes,
            }
        )
        return Cid.of(Codec.DAG_CBOR, block), block

    @classmethod
    def decode(cls, block: bytes) -> Manifest:
        """Raises ValueError for a block that is no manifest of ours."""
        match dag_cbor.decode(block):
            case {
                "format": str(form),
                "tag": str(tag),
                "raw": list(raw),
                "large": list(large),
                "blocks": int(blocks),
                "bytes": int(size_bytes),
            } if form == _FORMAT:
                return cls(tag, tuple(map(_raw, raw)), tuple(map(_large, large)), blocks, size_bytes)
            case _:
                raise ValueError("a block that is no manifest of blobs")

    def cids(self) -> Iterator[tuple[bytes, Cid]]:
        """The v1 hash (32 bytes) and CID of each blob."""
        for cid in self.raw:
            yield cid.digest, cid
        for blob in self.large:
            yield blob.digest, blob.cid


def _raw(value: dag_cbor.Value) -> Cid:
    if isinstance(value, Cid) and value.codec is Codec.RAW:
        return value
    raise ValueError("a manifest that lists something else than raw blocks")


def _large(value: dag_cbor.Value) -> LargeBlob:
    match value:
        case [Cid() as cid, bytes(digest), int(size)] if cid.codec is Codec.DAG_PB and len(digest) == 32:
            return LargeBlob(digest, cid, size)
        case _:
            raise ValueError("a manifest with a large blob that can't be read")
