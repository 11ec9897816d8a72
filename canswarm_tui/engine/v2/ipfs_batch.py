"""One batch of blobs as one archive: which blocks it has, how long it is, and the bytes themselves as they are sent.

The archive begins with its root, so large blobs are read twice: once to know their tree, once to send it. A block
that occurs twice in a batch travels once.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.v2.car import header, section_bytes, section_head
from canswarm_tui.engine.v2.cid import RAW_PREFIX, Cid
from canswarm_tui.engine.v2.ipfs_manifest import LargeBlob, Manifest
from canswarm_tui.engine.v2.unixfs import CHUNK_BYTES, RAW_LIMIT, Tree, chunks, grow_tree

PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a blob will be in IPFS, told without a server."""

    cid: Cid
    blocks: int
    """Different blocks."""
    size: int


def predict(record: Record) -> Prediction:
    """The CID of a record; reads its content only if it is larger than one raw block."""
    if record.size <= RAW_LIMIT:
        return Prediction(Cid.raw(record.digest), 1, record.size)
    tree = _tree(record)
    return Prediction(tree.root, tree.blocks, record.size)


@dataclass(frozen=True, slots=True)
class BatchArchive:
    """The archive of one batch; `pieces` may be called again for another attempt."""

    manifest: Manifest
    root: Cid
    root_block: bytes
    small: tuple[Record, ...]
    large: tuple[tuple[Record, Tree], ...]
    size_bytes: int
    """Length of the archive."""

    @classmethod
    def plan(cls, records: Sequence[Record], tag: str) -> BatchArchive:
        """Decide what travels; raises SiteUnreadable for a large blob whose content is not what its hash says."""
        small = tuple(record for record in records if record.size <= RAW_LIMIT)
        large = tuple((record, _tree(record)) for record in records if record.size > RAW_LIMIT)
        sizes = [record.size for record in small]
        sizes += [len(block) for _, block in _node_blocks(large)]
        sizes += [size for _, size, _ in _leaf_blocks(small, large)]
        manifest = Manifest(
            tag,
            tuple(Cid.raw(record.digest) for record in small),
            tuple(LargeBlob(record.digest, tree.root, record.size) for record, tree in large),
            len(sizes) + 1,
            sum(sizes),
        )
        root, block = manifest.encode()
        length = len(header([root])) + section_bytes(len(block)) + sum(map(section_bytes, sizes))
        return cls(manifest, root, block, small, large, length)

    def pieces(self) -> Iterator[bytes]:
        """The archive's bytes, in pieces that suit a socket; raises SiteUnreadable."""
        parts: list[bytes] = []
        size = 0
        for part in self._parts():
            parts.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                yield b"".join(parts)
                parts.clear()
                size = 0
        yield b"".join(parts)

    def where(self) -> dict[bytes, str]:
        """The CID as text by v1 hash (32 bytes)."""
        return {digest: str(cid) for digest, cid in self.manifest.cids()}

    def _parts(self) -> Iterator[bytes]:
        yield header([self.root])
        yield section_head(len(self.root_block)) + bytes(self.root) + self.root_block
        for record in self.small:
            yield section_head(record.size) + RAW_PREFIX + record.digest
            yield _body(record)
        for cid, block in _node_blocks(self.large):
            yield section_head(len(block)) + bytes(cid) + block
        first_uses = {place for _, _, place in _leaf_blocks(self.small, self.large)}
        for number, (record, tree) in enumerate(self.large):
            with _opened(record) as file:
                for index, leaf in enumerate(tree.leaves):
                    piece = _unchanged(record, file.read(CHUNK_BYTES), leaf.file_bytes)
                    if (number, index) in first_uses:
                        yield section_head(leaf.file_bytes) + bytes(leaf.cid)
                        yield piece


def _node_blocks(large: Sequence[tuple[Record, Tree]]) -> Iterator[tuple[Cid, bytes]]:
    seen: set[Cid] = set()
    for _, tree in large:
        for cid, block in tree.nodes:
            if cid not in seen:
                seen.add(cid)
                yield cid, block


def _leaf_blocks(
    small: Sequence[Record], large: Sequence[tuple[Record, Tree]]
) -> Iterator[tuple[Cid, int, tuple[int, int]]]:
    """Each different leaf that is no small blob too: CID, size, and where it comes first (which blob, which leaf)."""
    if not large:
        return
    seen = {Cid.raw(record.digest) for record in small}
    for number, (_, tree) in enumerate(large):
        for index, leaf in enumerate(tree.leaves):
            if leaf.cid not in seen:
                seen.add(leaf.cid)
                yield leaf.cid, leaf.file_bytes, (number, index)


def _tree(record: Record) -> Tree:
    with _opened(record) as file:
        try:
            tree = grow_tree(chunks(file))
        except ValueError as exc:
            raise _changed(record) from exc
    if tree.sha256 != record.digest or tree.size != record.size:
        raise _changed(record)
    return tree


def _body(record: Record) -> bytes:
    if isinstance(record.body, bytes):
        return _unchanged(record, record.body, record.size)
    with _opened(record) as file:
        return _unchanged(record, file.read(record.size + 1), record.size)


def _unchanged(record: Record, data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise _changed(record)
    return data


def _changed(record: Record) -> SiteUnreadable:
    name = record.key.decode("ascii", "replace")
    return SiteUnreadable(name, "its content changed after it was hashed", "run the step again")


@contextmanager
def _opened(record: Record) -> Iterator[BinaryIO]:
    if isinstance(record.body, bytes):
        yield io.BytesIO(record.body)
        return
    try:
        with record.body.open("rb") as file:
            yield file
    except OSError as exc:
        raise SiteUnreadable(str(record.body), f"it can't be read ({exc})", "run the step again") from exc
