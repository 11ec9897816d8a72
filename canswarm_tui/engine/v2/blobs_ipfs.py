"""Blobs into IPFS: one archive, one manifest and one pin, named after its tag, for each batch.

IPFS is content-addressed, so nothing can be there under a CID with other content: no record is ever in CONFLICT. A
block that merely happens to be in the node's store is no proof, because without a pin it may be collected at any
moment: no record is PRESENT either. What an earlier batch brought is known by its receipts; bringing a block again
is harmless and costs only the way.

Taking a batch back means taking its pin away. The blocks stay until the operator collects garbage, which this tool
never does: others may have come to rely on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Wanted
from canswarm_tui.engine.text import counted
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.ipfs_batch import BatchArchive
from canswarm_tui.engine.v2.ipfs_manifest import Manifest
from canswarm_tui.engine.v2.kubo import Blocks, KuboApi, Pin
from canswarm_tui.engine.v2.kubo_errors import SUBJECT, BlockDamaged, BlockMissing

MAX_RECORDS = 5000
"""A manifest may link about 51,000 blobs; this many are imported in half a second."""
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PinnedBatch:
    """A batch of ours as the node holds it."""

    root: Cid
    tag: str


class IpfsSink:
    """A `Sink`; keys are v1 hashes in hexadecimal, `where` is the CID."""

    max_records = MAX_RECORDS
    max_bytes = MAX_BYTES

    def __init__(self, api: KuboApi) -> None:
        self._api = api

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        """Import, count, walk and pin; every record is CREATED. The effect of a failure is told by `settle`.

        Raises, besides the node's errors, WrongAnswer where it took in less than was sent.
        """
        archive = BatchArchive.plan(batch, tag)
        expected = archive.manifest.blocks
        taken = self._api.import_car(archive.pieces(), archive.size_bytes)
        if taken.count != expected:
            raise _incomplete(f"it took in {taken.count:,} of {expected:,} blocks")
        if gap := self._gap(archive.root, archive.manifest):
            raise _incomplete(gap)
        self._api.pin(archive.root, tag, archive.size_bytes)
        where = archive.where()
        return [Landed(record.key, Fate.CREATED, where[record.digest]) for record in batch]

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:
        """CREATED where a complete manifest of this tag is pinned and links the blob; ABSENT otherwise."""
        there: dict[bytes, str] = {}
        for root in self._roots(tag):
            manifest = read_manifest(self._api, root)
            if manifest is not None and not self._gap(root, manifest):
                there |= {digest: str(cid) for digest, cid in manifest.cids()}
        return [
            Landed(one.key, Fate.CREATED, there[one.digest]) if one.digest in there else Landed(one.key, Fate.ABSENT)
            for one in batch
        ]

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:
        """Take the pin of this tag away: REMOVED. GONE: no pin of this tag holds it, or only one of a lost manifest.

        The pin is ours whole: what it holds beside `batch` was brought again later, under a pin of another tag.
        """
        removed: set[bytes] = set()
        for root in self._roots(tag):
            manifest = read_manifest(self._api, root)
            if self._api.unpin(root) and manifest is not None:
                removed |= {digest for digest, _ in manifest.cids()}
        return [Removal.REMOVED if one.digest in removed else Removal.GONE for one in batch]

    def _roots(self, tag: str) -> list[Cid]:
        return [found.root for found in pinned_batches(self._api, tag) if found.tag == tag]

    def _gap(self, root: Cid, manifest: Manifest) -> str:
        """Walk the graph in the node's own store and count: what is missing, in words; empty if nothing is."""
        try:
            found = self._api.dag_stat(root, manifest.size_bytes)
        except (BlockMissing, BlockDamaged) as exc:
            return exc.happened
        expected = Blocks(manifest.blocks, manifest.size_bytes + len(manifest.encode()[1]))
        if found == expected:
            return ""
        return (
            f"it holds {counted(found.count, 'block')} ({found.size_bytes:,} bytes) "
            f"of {expected.count:,} ({expected.size_bytes:,} bytes)"
        )


def pinned_batches(api: KuboApi, tag_prefix: str) -> Iterator[PinnedBatch]:
    """The recursive pins whose name is `tag_prefix`, or it and a number after a dash; other people's are left out."""
    ours = re.compile(rf"{re.escape(tag_prefix)}(-\d+)?")
    for pin in api.pins("recursive", tag_prefix):
        root = _manifest_root(pin)
        if root is not None and root.codec is Codec.DAG_CBOR and ours.fullmatch(pin.name):
            yield PinnedBatch(root, pin.name)


def read_manifest(api: KuboApi, root: Cid) -> Manifest | None:
    """The manifest of a batch; None where its block is missing, damaged or no manifest of ours."""
    try:
        block = api.block(root)
        return Manifest.decode(block) if Cid.of(root.codec, block) == root else None
    except (BlockMissing, BlockDamaged, ValueError):
        return None


def _manifest_root(pin: Pin) -> Cid | None:
    try:
        return Cid.parse(pin.cid)
    except ValueError:
        return None


def _incomplete(happened: str) -> WrongAnswer:
    return WrongAnswer(
        SUBJECT, happened, "see whether something between here and the node cuts requests; run the step again"
    )
