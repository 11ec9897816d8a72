"""Blobs: MinIO → IPFS. Read from MinIO, hashed on the way, sent in archives of predicted CIDs, pinned, and read back.

A blob up to 2 MiB has a CID that follows from its v1 hash; the CIDs of larger ones are kept in etcd under
`/swarm/cas/<sha256>` for v2 to look up, and all of them in the exported map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.records import Record, Wanted
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.step import Comparison, Figure, Finding, Keep, Kind, Level, Outcome, Progress, Verdict
from canswarm_tui.engine.steps.blobs_minio import sound_blobs
from canswarm_tui.engine.steps.cid_export import cid_file, export_cids, verify_export
from canswarm_tui.engine.steps.etcd_choice import choose, put_back, remove_renewed, sweep
from canswarm_tui.engine.steps.keyed import Findings, Mended, SetDigest, SetName, compare_keyed
from canswarm_tui.engine.steps.replaced import plus_kept
from canswarm_tui.engine.steps.targets import open_etcd, open_kubo, open_s3
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.transfer import CopyPlan, Pending, copy, undo
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink, pinned_batches
from canswarm_tui.engine.v2.blobs_minio_reader import ReadBlob, read_many
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.decisions import cas_map_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.ipfs_reader import BlobRead, ManifestLost, read_back, read_blob
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.unixfs import RAW_LIMIT

MEND = (
    "run the step again: it brings what is missing; a block damaged on the disk `ipfs repo verify --drop` removes first"
)
UNPINNED = "no pin of this run in IPFS holds it"
ASKED_AT_MOST = 1000
"""Blobs whose blocks are looked for where no pin holds them; of more it is only told that none does."""
NAME = SetName("blobs", "blob", "IPFS", "by content", Mended.BY_RUNNING_AGAIN, MEND)
MAP_NAME = SetName("large blobs", "cid", "etcd's map of CIDs", "by content", Mended.BY_CHOICE)
PLAN = CopyPlan("blobs", "blob", "IPFS", window=2)
MAP_PLAN = CopyPlan("CIDs of large blobs", "cid", "etcd", window=1)
MAP_STEP = "blobs-ipfs-map"
"""The journal's name for the map's receipts."""


@dataclass
class _Proof:
    """What the read for IPFS proves of MinIO: blobs that it returned with the content that their names say."""

    blobs: int = 0
    size_bytes: int = 0

    def figures(self) -> dict[str, Figure]:
        """While it runs: blobs read and found equal, each of which has its CID predicted."""
        return {"hashed equal from MinIO": self.blobs}


@dataclass
class _Returned:
    """What the node returns for the archives that this run has pinned."""

    archives: int = 0
    blobs: int = 0
    size_bytes: int = 0
    as_predicted: int = 0
    """Intact, under the CID that was predicted: from the v1 hash alone, or by the tree of a large blob."""

    def figures(self) -> dict[str, Figure]:
        return {
            "pinned archives": self.archives, "CIDs returned": self.blobs, "CIDs as predicted": self.as_predicted,
        }  # fmt: skip


class BlobsToIpfs:
    """Source: the objects that the step before has brought to MinIO; target: a Kubo node, and etcd for the map."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        digest, pending = SetDigest(), 0
        for _ in Pending(_arrived(ctx, digest), ctx.journal):
            ctx.stop.check()
            pending += 1
        return (
            f"read {pending:,} of {digest.records:,} blobs ({bytes_text(digest.size_bytes)} in all) from MinIO, import"
            f" them at {ctx.settings.ipfs.api} as CIDv1 with raw leaves, and pin them under names of this run",
            "write the CIDs of blobs over 2 MiB to etcd under /swarm/cas/, only where the key is absent",
            f"the set of blobs that are in MinIO has digest {digest.text()}",
        )

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """MinIO and Kubo answer, and Kubo is the node that this run began with."""
        with _minio(ctx), open_kubo(ctx):
            return ()

    def run(self, ctx: StepContext) -> Outcome:
        findings = Findings(ctx)
        pending = Pending(_arrived(ctx, SetDigest()), ctx.journal)
        total = ctx.journal.sibling("blobs-minio").count_receipts()
        with _minio(ctx) as client, open_kubo(ctx) as api:
            proof = _Proof()
            source = _read(ctx, client, pending, findings, proof)
            outcome = copy(
                source, IpfsSink(api), ctx, replace(PLAN, total=total, live=proof.figures), lambda: pending.left_out
            )
            findings.flush()
        large = _write_map(ctx)
        exported = export_cids(ctx)
        summary = outcome.summary if not large else f"{outcome.summary}; {large}"
        figures: dict[str, Figure] = {
            "read from MinIO and hashed equal": proof.blobs, "read from MinIO, bytes": proof.size_bytes,
            "CIDs predicted": proof.blobs, "taken in and pinned by the node": outcome.created,
            "CIDs exported": exported,
        }  # fmt: skip
        return replace(outcome, quarantined=findings.counts[Kind.QUARANTINE], summary=summary, figures=figures)

    def verify(self, ctx: StepContext) -> Verdict:
        """Every pinned archive of this run exported, every blob put together and hashed, beside the site's files.

        The maps of hash to CID, in etcd and as a file, are compared too.
        """
        findings, returned = Findings(ctx), _Returned()
        exported = verify_export(ctx)
        with open_kubo(ctx) as api, Spool(ctx.scratch) as spool:
            _read_back(ctx, api, spool, findings, returned)
            verdict = compare_keyed(
                ctx, sound_blobs(ctx), spool.items(), NAME, value_text=_told, size_bytes=lambda: returned.size_bytes,
                missing=_why_missing(ctx, api),
            )  # fmt: skip
            findings.flush()
        pinned = verdict.comparisons[0]
        map_comparison, differences = _verify_map(ctx)
        maps = () if map_comparison is None else (map_comparison,)
        return replace(
            verdict, comparisons=(pinned, *maps, exported),
            differences=verdict.differences + differences + (exported.equal < exported.compared),
            figures={**verdict.figures, **returned.figures()},
        )  # fmt: skip

    def undo(self, ctx: StepContext) -> Outcome:
        """Take this run's pins and map entries away; blocks go when the operator collects garbage, never by us."""
        with open_kubo(ctx) as api:
            outcome = undo(IpfsSink(api), ctx, PLAN)
            for batch in ctx.retry.call(lambda: list(pinned_batches(api, ctx.journal.run_id))):
                api.unpin(batch.root)
        if _map_was_written(ctx):
            with _map(ctx) as (map_ctx, client):
                sink = cas_map_sink(client)
                changed = put_back(map_ctx, sink, MAP_PLAN) + remove_renewed(map_ctx, sink, MAP_PLAN)[1]
                outcome = plus_kept(outcome, changed + undo(sink, map_ctx, MAP_PLAN).conflicts)
                sweep(ctx, sink)
        cid_file(ctx).unlink(missing_ok=True)
        return replace(
            outcome, summary=f"{outcome.summary}: unpinned; the node's own garbage collection frees the space"
        )

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        """Keep etcd's CID of a large blob, or put the one in its place under which the blob was brought to IPFS."""
        key = bytes.fromhex(finding.details["key"])
        cid = dict(_large(ctx)).get(key)
        if cid is None or not finding.code.startswith(MAP_NAME.code):
            raise Blocked(shown(key), "this run has brought no large blob of this name to IPFS", "run the step again")
        with _map(ctx) as (map_ctx, client):
            record = Record(key, hashlib.sha256(cid).digest(), len(cid), cid)
            return choose(map_ctx, cas_map_sink(client), record, finding, keep)


def _arrived(ctx: StepContext, digest: SetDigest) -> Iterator[Wanted]:
    """What the step before has in MinIO, by its receipts, sorted by name."""
    for receipt in ctx.journal.sibling("blobs-minio").receipts():
        digest.add(receipt.key, receipt.digest, receipt.size)
        yield Wanted(receipt.key, receipt.digest, receipt.size)


def _read(
    ctx: StepContext, client: S3Client, pending: Iterable[Wanted], findings: Findings, proof: _Proof
) -> Iterator[Record]:
    """The pending blobs as MinIO returns them, hashed; what is missing or different there becomes a finding."""
    folder = ctx.scratch / "large"
    folder.mkdir(exist_ok=True)
    keys = (wanted.key for wanted in pending)
    workers = ctx.settings.engine.workers
    for blob in read_many(client, keys, ctx.retry.after, workers=workers, inline_bytes=RAW_LIMIT, folder=folder):
        ctx.stop.check()
        record = _record(blob)
        if record is None:
            findings.add(_unsound(blob))
        else:
            proof.blobs += 1
            proof.size_bytes += record.size
            yield record


def _record(blob: ReadBlob) -> Record | None:
    if blob.digest is None or blob.digest.hex().encode() != blob.key or blob.body is None:
        return None
    return Record(blob.key, blob.digest, blob.size, blob.body)


def _unsound(blob: ReadBlob) -> Finding:
    happened = "it is missing in MinIO" if blob.digest is None else f"MinIO's content hashes to {blob.digest.hex()}"
    return Finding(
        "blob.unsound_in_minio", Level.WARNING, Kind.QUARANTINE, shown(blob.key), happened,
        "run `canswarm-tui verify blobs-minio`, then run blobs-minio and this step again",
    )  # fmt: skip


def _read_back(ctx: StepContext, api: KuboApi, spool: Spool, findings: Findings, returned: _Returned) -> None:
    """Fill the spool with (name, digest read back) of all that this run has pinned, and count what came."""
    troubled: list[tuple[bytes, bytes]] = []
    for batch in ctx.retry.call(lambda: list(pinned_batches(api, ctx.journal.run_id))):
        returned.archives += 1
        try:
            blobs = _read_archive(ctx, api, batch.root)
        except ManifestLost as exc:
            findings.add(_lost_manifest(batch.root, exc))
            continue
        for blob in blobs:
            _count(ctx, returned, blob)
        spool.put_many((_name(blob), blob.digest) for blob in blobs if blob.intact)
        troubled += [(_name(blob), _trouble(blob)) for blob in blobs if not blob.intact]
        figures = returned.figures()
        ctx.progress(Progress("reading back from IPFS", returned.blobs, None, returned.size_bytes, figures=figures))
    # A blob may be pinned twice, once damaged: the sound one counts, and was put first.
    spool.put_many(troubled)


def _read_archive(ctx: StepContext, api: KuboApi, root: Cid) -> list[BlobRead]:
    """What one archive holds; where the node fails for a moment, all of it is read anew."""

    def read() -> list[BlobRead]:
        blobs = []
        for blob in read_back(api, root):
            ctx.stop.check()
            blobs.append(blob)
        return blobs

    return ctx.retry.call(read)


def _name(blob: BlobRead) -> bytes:
    return blob.digest.hex().encode()


def _why_missing(ctx: StepContext, api: KuboApi) -> Callable[[bytes], str]:
    """Tells of a blob that no pinned archive returned whether its blocks are there all the same."""
    asked = 0

    def why(key: bytes) -> str:
        nonlocal asked
        asked += 1
        receipt = ctx.journal.receipt(key)
        if receipt is None or not receipt.place or asked > ASKED_AT_MOST:
            return UNPINNED
        digest, cid = bytes.fromhex(key.decode()), Cid.parse(receipt.place)
        read = ctx.retry.call(lambda: read_blob(api, digest, cid))
        if read.intact:
            return f"{UNPINNED}: it is there whole, and the next garbage collection may take it away"
        return f"{UNPINNED}, and {read.problem}"

    return why


def _count(ctx: StepContext, returned: _Returned, blob: BlobRead) -> None:
    returned.blobs += 1
    returned.size_bytes += blob.size
    if not blob.intact:
        return
    if blob.size <= RAW_LIMIT:
        returned.as_predicted += blob.cid == Cid.raw(blob.digest)
    else:
        receipt = ctx.journal.receipt(blob.digest.hex().encode())
        returned.as_predicted += receipt is not None and receipt.place == str(blob.cid)


def _trouble(blob: BlobRead) -> bytes:
    return b"!" + blob.problem.encode()


def _told(value: bytes) -> str:
    return value[1:].decode("utf-8", "replace") if value.startswith(b"!") else value.hex()


def _lost_manifest(root: Cid, exc: ManifestLost) -> Finding:
    return Finding(
        "blob.manifest_lost", Level.WARNING, Kind.DIFFERENCE, str(root), exc.happened,
        "run the step again: it brings what is missing; then verify",
    )  # fmt: skip


def _minio(ctx: StepContext) -> AbstractContextManager[S3Client]:
    """Where the step before has brought the blobs."""
    return open_s3(ctx, ctx.journal.sibling("blobs-minio"))


@contextmanager
def _map(ctx: StepContext) -> Iterator[tuple[StepContext, EtcdClient]]:
    """The context whose receipts are those of the map, and etcd."""
    with open_etcd(ctx, ctx.journal) as client:
        yield replace(ctx, journal=ctx.journal.sibling(MAP_STEP), owner=ctx.journal), client


def _map_was_written(ctx: StepContext) -> bool:
    journal = ctx.journal.sibling(MAP_STEP)
    return bool(journal.count_receipts() or journal.open_batches() or journal.replaced())


def _large(ctx: StepContext) -> Iterator[tuple[bytes, bytes]]:
    """(name, CID as text) of blobs over one raw block that have arrived, sorted."""
    for receipt in ctx.journal.receipts():
        if receipt.size > RAW_LIMIT:
            yield receipt.key, receipt.place.encode()


def _write_map(ctx: StepContext) -> str:
    """Copy the large blobs' CIDs to etcd; a sentence about it, empty where there are none."""
    if next(_large(ctx), None) is None:
        return ""
    records = (Record(key, hashlib.sha256(cid).digest(), len(cid), cid) for key, cid in _large(ctx))
    with _map(ctx) as (map_ctx, client):
        sink = cas_map_sink(client)
        outcome = copy(records, sink, map_ctx, MAP_PLAN)
        sweep(ctx, sink)
    return outcome.summary


def _verify_map(ctx: StepContext) -> tuple[Comparison | None, int]:
    if next(_large(ctx), None) is None:
        return None, 0
    with _map(ctx) as (map_ctx, client):
        sink = cas_map_sink(client)
        entries = ctx.retry.resumed(lambda after: sink.scan(after=after), lambda entry: entry.key)
        found = ((entry.key, entry.value) for entry in entries)
        verdict = compare_keyed(map_ctx, _large(ctx), found, MAP_NAME, value_text=shown)
    return verdict.comparisons[0], verdict.differences
