"""Blobs back out of IPFS: every byte of a batch is hashed again, from what the node returns and nothing else.

An export that lacks a block ends early without saying so. So what did not come is asked for one by one, and what is
really missing is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.v2.blobs_ipfs import read_manifest
from canswarm_tui.engine.v2.car import Block, CarDamaged, CarReader
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.ipfs_manifest import LargeBlob, Manifest
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.kubo_errors import SUBJECT, BlockDamaged, BlockMissing, missing_block
from canswarm_tui.engine.v2.unixfs import parse_node


class ManifestLost(WrongAnswer):
    """The root of a batch is missing, damaged or no manifest: what it held can only be read blob by blob."""


@dataclass(frozen=True, slots=True)
class BlobRead:
    """What came back for one blob."""

    digest: bytes
    """The v1 hash that it should have (32 bytes)."""
    cid: Cid
    size: int
    """Bytes that came back."""
    problem: str = ""
    """What is wrong with it: a block that is missing, by its CID, or content that hashes to something else."""

    @property
    def intact(self) -> bool:
        return not self.problem


def read_back(api: KuboApi, root: Cid) -> Iterator[BlobRead]:
    """Every blob of the batch under `root`, each once, in no particular order; memory for one block and the list.

    Raises ManifestLost.
    """
    manifest = read_manifest(api, root)
    if manifest is None:
        raise ManifestLost(SUBJECT, f"the manifest {root} is missing or damaged", "undo the step and run it again")
    expected = {cid: cid.digest for cid in manifest.raw}
    walk = _LargeWalk(manifest)
    for block in _exported(api, root):
        if expected.pop(block.cid, None) is not None:
            found = block.cid.digest if block.intact else hashlib.sha256(block.data).digest()
            yield _judged(block.cid.digest, block.cid, len(block.data), found)
        yield from walk.take(block)
    for cid in expected:
        yield read_blob(api, cid.digest, cid)
    for blob in walk.rest():
        yield read_blob(api, blob.digest, blob.cid)


def read_blob(api: KuboApi, digest: bytes, cid: Cid | None = None) -> BlobRead:
    """One blob by itself; without `cid` it is taken for one raw block. Streams, whatever its size."""
    cid = Cid.raw(digest) if cid is None else cid
    sha256, size = hashlib.sha256(), 0
    try:
        if cid.codec is Codec.RAW:
            pieces: Iterable[bytes] = (api.block(cid),)
        else:
            pieces = api.cat(cid)
        for piece in pieces:
            sha256.update(piece)
            size += len(piece)
        if sha256.digest() != digest:
            api.dag_stat(cid)  # content with a gap in it just ends early: this tells the missing block
    except BlockMissing as exc:
        return BlobRead(digest, cid, size, f"block {missing_block(exc) or cid} is missing")
    except BlockDamaged as exc:
        return BlobRead(digest, cid, size, f"a block of it is damaged ({exc.happened})")
    return _judged(digest, cid, size, sha256.digest())


def _judged(digest: bytes, cid: Cid, size: int, found: bytes) -> BlobRead:
    problem = "" if found == digest else f"its content hashes to {found.hex()}"
    return BlobRead(digest, cid, size, problem)


def _exported(api: KuboApi, root: Cid) -> Iterator[Block]:
    try:
        yield from CarReader(api.export(root))
    except CarDamaged as exc:
        raise WrongAnswer(SUBJECT, f"its export of {root} is no whole archive: {exc}", "try again") from exc


class _LargeWalk:
    """Puts large blobs together again from an export in depth-first order, hashing as their leaves come by.

    A block that was exported before is not exported twice; a blob that needs one again, or whose blocks come in
    another order, is left for `rest`, to be read by itself.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._waiting = {blob.cid: blob for blob in manifest.large}
        self._seen: set[Cid] = set(manifest.raw)
        self._blob: LargeBlob | None = None
        self._next: list[Cid] = []
        self._sha256 = hashlib.sha256()
        self._size = 0

    def take(self, block: Block) -> Iterator[BlobRead]:
        """Look at the next block of the export; yields a blob when this was its last."""
        if not self._waiting:
            return
        if self._blob is None:
            self._begin(block.cid)
        if self._blob is not None and self._follow(block) and not self._next:
            blob, self._blob = self._blob, None
            del self._waiting[blob.cid]
            yield _judged(blob.digest, blob.cid, self._size, self._sha256.digest())
        self._seen.add(block.cid)

    def rest(self) -> list[LargeBlob]:
        """The blobs that could not be judged from the export."""
        return list(self._waiting.values())

    def _begin(self, cid: Cid) -> None:
        self._blob = self._waiting.get(cid)
        self._next = [cid]
        self._sha256, self._size = hashlib.sha256(), 0

    def _follow(self, block: Block) -> bool:
        """Whether this block is the one that comes next in the blob; otherwise the blob is given up here."""
        if not (self._next and self._next.pop() == block.cid and block.intact):
            self._blob = None
            return False
        if block.cid.codec is Codec.RAW:
            self._sha256.update(block.data)
            self._size += len(block.data)
            return True
        return self._descend(block)

    def _descend(self, node: Block) -> bool:
        try:
            links = [link.cid for link in parse_node(node.data)]
        except ValueError:
            links = []
        if not links or not self._seen.isdisjoint(links) or len(set(links)) < len(links):
            self._blob = None
            return False
        self._next += reversed(links)
        return True
