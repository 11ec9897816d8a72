"""Which blocks a blob becomes in IPFS, told without a server. The layout is part of v2's contract:

- up to `RAW_LIMIT` bytes: one raw block, whose CID follows from the SHA-256 alone;
- more: a balanced UnixFS tree of raw leaves of `CHUNK_BYTES` and dag-pb nodes of at most `MAX_LINKS` links, which is
  what `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024` makes.

Formats: https://ipld.io/specs/codecs/dag-pb/spec/ and https://specs.ipfs.tech/unixfs/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from canswarm_tui.engine.v2.cid import CID_BYTES, Cid, Codec
from canswarm_tui.engine.v2.varint import decode_varint, encode_varint

RAW_LIMIT = 2 * 1024 * 1024
"""The largest block that Kubo takes and peers exchange."""
CHUNK_BYTES = 1024 * 1024
MAX_LINKS = 1024

_FILE_TYPE = b"\x08\x02"


@dataclass(frozen=True, slots=True)
class Link:
    """An edge from a node: the child, the bytes of all blocks below and including it, the file bytes it stands for."""

    cid: Cid
    total_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """The blocks of one large blob. Memory: about 150 bytes for each chunk."""

    root: Cid
    size: int
    sha256: bytes
    leaves: tuple[Link, ...]
    """In the file's order; the same chunk may come more than once."""
    nodes: tuple[tuple[Cid, bytes], ...]
    """The dag-pb blocks, root first, parents before children."""

    @property
    def blocks(self) -> int:
        """How many different blocks the blob is."""
        return len({link.cid for link in self.leaves}) + len({cid for cid, _ in self.nodes})


def chunks(file: BinaryIO, chunk_bytes: int = CHUNK_BYTES) -> Iterable[bytes]:
    """The file's content from here on in the pieces that become its leaves."""
    while piece := file.read(chunk_bytes):
        yield piece


def grow_tree(pieces: Iterable[bytes], max_links: int = MAX_LINKS) -> Tree:
    """The tree over these pieces; reads them once and keeps none. Raises ValueError for fewer than two."""
    sha256 = hashlib.sha256()
    leaves = []
    for piece in pieces:
        sha256.update(piece)
        leaves.append(Link(Cid.of(Codec.RAW, piece), len(piece), len(piece)))
    if len(leaves) < 2:
        raise ValueError("a single piece is a raw block and has no tree")
    level: list[Link] = leaves
    nodes: list[tuple[Cid, bytes]] = []
    while len(level) > 1:
        made = [_node(level[at : at + max_links]) for at in range(0, len(level), max_links)]
        nodes = [(link.cid, block) for link, block in made] + nodes
        level = [link for link, _ in made]
    return Tree(level[0].cid, level[0].file_bytes, sha256.digest(), tuple(leaves), tuple(nodes))


def parse_node(block: bytes) -> list[Link]:
    """The links of a dag-pb node of a file, in order; raises ValueError for anything else."""
    fields = _fields(block)
    (data,) = [value for number, value in fields if number == 1] or [b""]
    if not isinstance(data, bytes) or not data.startswith(_FILE_TYPE):
        raise ValueError("a dag-pb node that is no file")
    sizes = [value for number, value in _fields(data) if number == 4 and isinstance(value, int)]
    links = [value for number, value in fields if number == 2 and isinstance(value, bytes)]
    if len(sizes) != len(links):
        raise ValueError("a file node with other sizes than links")
    return [_parse_link(link, size) for link, size in zip(links, sizes, strict=True)]


def _node(children: list[Link]) -> tuple[Link, bytes]:
    file_bytes = sum(child.file_bytes for child in children)
    data = _FILE_TYPE + b"\x18" + encode_varint(file_bytes)
    data += b"".join(b"\x20" + encode_varint(child.file_bytes) for child in children)
    block = b"".join(_link(child) for child in children) + b"\x0a" + encode_varint(len(data)) + data
    total = len(block) + sum(child.total_bytes for child in children)
    return Link(Cid.of(Codec.DAG_PB, block), total, file_bytes), block


def _link(child: Link) -> bytes:
    body = b"\x0a" + bytes((CID_BYTES,)) + bytes(child.cid) + b"\x12\x00\x18" + encode_varint(child.total_bytes)
    return b"\x12" + encode_varint(len(body)) + body


def _parse_link(data: bytes, file_bytes: int) -> Link:
    values = dict(_fields(data))
    cid, total = values.get(1), values.get(3)
    if not isinstance(cid, bytes) or not isinstance(total, int):
        raise ValueError("a dag-pb link without a CID or a size")
    return Link(Cid.from_bytes(cid), total, file_bytes)


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a protobuf message by number, in order: numbers as int, everything with a length as bytes."""
    fields: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == 0:
            fields.append((key >> 3, value))
        elif key & 7 == 2 and at + value <= len(data):
            fields.append((key >> 3, data[at : at + value]))
            at += value
        else:
            raise ValueError("a protobuf message that can't be read")
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    found = decode_varint(data, at)
    if found is None:
        raise ValueError("a protobuf message that ends too early")
    return found
