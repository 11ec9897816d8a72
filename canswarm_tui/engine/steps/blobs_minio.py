"""Blobs: files → MinIO. Each file is read and hashed on its way; what does not hash to its name stays behind, named."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.journal import Receipt, ReceiptFate
from canswarm_tui.engine.records import Record, Wanted
from canswarm_tui.engine.retry import RetryPolicy
from canswarm_tui.engine.step import Figure, Finding, Keep, Kind, Level, Outcome, Verdict
from canswarm_tui.engine.steps.keyed import Findings, Mended, SetDigest, SetName, compare_keyed
from canswarm_tui.engine.steps.replaced import plus_kept, put_back, require_arrived, require_shown
from canswarm_tui.engine.steps.targets import open_s3
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.transfer import CopyPlan, Pending, copy, undo
from canswarm_tui.engine.v1 import blobs as v1
from canswarm_tui.engine.v2.blobs_minio import EXISTING_BYTES, BlobSink
from canswarm_tui.engine.v2.blobs_minio_reader import read_many
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_facts import (
    ensure_bucket,
    is_blob_name,
    remove_empty_bucket,
    supports_snowball,
)

NAME = SetName("blobs", "blob", "MinIO", "by content", Mended.BY_CHOICE)
PLAN = CopyPlan("blobs", "blob", "MinIO", window=2)
INLINE_BYTES = 1 << 20
"""Larger files are streamed instead of held."""


class BlobsToMinio:
    """Source: v1's content store; target: one bucket, object name = the SHA-256."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        digest, pending = SetDigest(), 0
        standing = Pending(_named(ctx, digest), ctx.journal)
        for _ in standing:
            ctx.stop.check()
            pending += 1
        settings = ctx.settings.s3
        return (
            f"create the bucket {settings.bucket} at {settings.endpoint} where it is absent",
            f"create {pending:,} of {digest.records:,} objects there ({bytes_text(digest.size_bytes)} in all),"
            " only where the name is absent and the file hashes to its name",
            f"the set of blobs has digest {digest.text()}",
        )

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """The endpoint answers, and is the one that this run began with."""
        with open_s3(ctx, ctx.journal):
            return ()

    def run(self, ctx: StepContext) -> Outcome:
        findings = Findings(ctx)
        with open_s3(ctx, ctx.journal) as client:
            pending = Pending(_found(ctx, findings), ctx.journal)
            sink = _sink(ctx, client)
            plan = replace(PLAN, total=_inventoried(ctx))
            outcome = copy(_loaded(ctx, pending, findings), sink, ctx, plan, lambda: pending.left_out)
            findings.flush()
        return replace(outcome, quarantined=findings.counts[Kind.QUARANTINE], figures=_by_size_class(ctx))

    def verify(self, ctx: StepContext) -> Verdict:
        """Every object read back and hashed, beside every file read and hashed again."""
        findings, size = Findings(ctx), 0

        def target(client: S3Client) -> Iterator[tuple[bytes, bytes]]:
            nonlocal size
            names = _names(client, ctx.retry)
            for blob in read_many(client, names, ctx.retry.after, workers=ctx.settings.engine.workers):
                if blob.digest is not None:
                    size += blob.size
                    yield blob.key, blob.digest

        with open_s3(ctx, ctx.journal) as client:
            verdict = compare_keyed(
                ctx, sound_blobs(ctx, findings), target(client), NAME, total=_inventoried(ctx), size_bytes=lambda: size
            )
        findings.flush()
        return verdict

    def undo(self, ctx: StepContext) -> Outcome:
        """Delete the objects that carry this run's tags, then the bucket, if this run made it and it is empty."""
        with open_s3(ctx, ctx.journal) as client:
            sink = BlobSink(client, workers=ctx.settings.engine.workers)
            changed = _put_back(ctx, sink)
            outcome = plus_kept(undo(sink, ctx, PLAN), changed)
            if ctx.journal.fact("made_bucket") and remove_empty_bucket(client):
                ctx.journal.set_fact("made_bucket", False)
                ctx.say(f"removed the bucket {client.bucket}, which this run had made")
        return outcome

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        """Keep the object that is there, or put the site's blob over it; the former content is kept for an undo."""
        key = bytes.fromhex(finding.details["key"])
        digest = bytes.fromhex(key.decode())
        with open_s3(ctx, ctx.journal) as client:
            sink = BlobSink(client)
            there = sink.fetch(key)
            if there is None:
                raise Blocked(
                    shown(key), "MinIO holds nothing under this name any more", "run the step again: it copies it"
                )
            former, etag = there
            require_shown(finding, hashlib.sha256(former).hexdigest(), shown(former[:EXISTING_BYTES]))
            if keep is Keep.TARGET:
                ctx.journal.put_receipt(Receipt(key, digest, 0, ReceiptFate.TARGET_KEPT, "", 0))
                return Outcome(present=1, summary=f"MinIO keeps its object {shown(key)}")
            content = _sound_blob(ctx, key)
            kept = ctx.journal.keep_replaced(Receipt(key, digest, len(content), ReceiptFate.REPLACED, "", 0), former)
            if not sink.replace(key, content, etag, f"{ctx.journal.run_id}-0"):
                ctx.journal.set_fates([key], ReceiptFate.LOST)
                ctx.journal.forget_replaced(key, kept.earlier)
                raise Blocked(shown(key), "MinIO's object changed at this moment", "look at both again")
            now = sink.fetch(key)
            require_arrived(key, None if now is None else now[0], digest)
        return Outcome(created=1, summary=f"MinIO now holds the site's blob {shown(key)}; {kept.words}")


def _sound_blob(ctx: StepContext, key: bytes) -> bytes:
    """The site's blob, whole. Raises `Blocked` where it does not hash to its name."""
    path = v1.blob_path(ctx.settings.site.cas_folder, key.decode())
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != key.decode():
        raise Blocked(shown(key), "the site does not have this blob in a sound state", "restore it, then resolve again")
    return content


def _put_back(ctx: StepContext, sink: BlobSink) -> int:
    def fetch(key: bytes) -> bytes | None:
        there = sink.fetch(key)
        return None if there is None else there[0]

    def replace(key: bytes, former: bytes, there: bytes | None) -> bool:
        if there is None:
            return sink.create(key, former)
        now = sink.fetch(key)
        return now is not None and now[0] == there and sink.replace(key, former, now[1])

    return put_back(ctx, PLAN, fetch, replace)


def _sink(ctx: StepContext, client: S3Client) -> BlobSink:
    """The bucket made where it is absent, and a snowball tried once; the journal remembers both."""
    if ctx.retry.call(lambda: ensure_bucket(client)):
        ctx.journal.set_fact("made_bucket", True)
    packed = ctx.journal.fact("snowball")
    if packed is None:
        packed = ctx.retry.call(lambda: supports_snowball(client))
        ctx.journal.set_fact("snowball", packed)
    return BlobSink(client, workers=ctx.settings.engine.workers, snowball=bool(packed))


def _by_size_class(ctx: StepContext) -> dict[str, Figure]:
    """How many blobs of each size class have arrived, and their bytes, by the receipts."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for receipt in ctx.journal.receipts():
        name = v1.size_class(receipt.size)
        counts[name] += 1
        sizes[name] += receipt.size
    figures: dict[str, Figure] = {}
    for name in (*(one for one, _ in v1.SIZE_CLASSES), v1.LARGER):
        if counts[name]:
            figures |= {f"blobs {name}": counts[name], f"blobs {name}, bytes": sizes[name]}
    return figures


def _named(ctx: StepContext, digest: SetDigest) -> Iterator[Wanted]:
    for found in v1.walk(ctx.settings.site.cas_folder):
        if isinstance(found, v1.Blob):
            wanted = _wanted(found)
            digest.add(wanted.key, wanted.digest, wanted.size)
            yield wanted


def _found(ctx: StepContext, findings: Findings) -> Iterator[Wanted]:
    """The store's blobs by name, sorted; what is no blob becomes a finding."""
    for found in v1.walk(ctx.settings.site.cas_folder):
        ctx.stop.check()
        if isinstance(found, v1.Oddity):
            findings.add(odd(found))
        else:
            yield _wanted(found)


def _loaded(ctx: StepContext, pending: Iterable[Wanted], findings: Findings) -> Iterator[Record]:
    cas = ctx.settings.site.cas_folder
    for wanted in pending:
        record = v1.load(cas, v1.Blob(wanted.key.decode(), wanted.size, 0, 0), INLINE_BYTES)
        if isinstance(record, v1.Oddity):
            findings.add(odd(record))
        else:
            yield record


def sound_blobs(ctx: StepContext, findings: Findings | None = None) -> Iterator[tuple[bytes, bytes]]:
    """(name, digest) of every blob that hashes to its name, sorted; the others become findings where wanted."""
    for found in v1.inventory(ctx.settings.site.cas_folder):
        ctx.stop.check()
        if isinstance(found, v1.Blob):
            yield found.name.encode(), bytes.fromhex(found.name)
        elif findings is not None:
            findings.add(odd(found))


def odd(oddity: v1.Oddity) -> Finding:
    """A quarantine; a crashed writer's leftover, which v1 never reads, is just a note."""
    if oddity.fault is v1.BlobFault.LEFTOVER:
        return Finding(
            "blob.leftover",
            Level.NOTE,
            Kind.CONDITION,
            shown(oddity.path),
            oddity.happened,
            "nothing: v1 never reads it",
        )
    return Finding(
        f"blob.{oddity.fault.value}", Level.WARNING, Kind.QUARANTINE, shown(oddity.path),
        f"it is no sound blob: {oddity.happened}",
        "restore it from a copy and run the step again, or accept it with a reason: it is not migrated",
    )  # fmt: skip


def _wanted(blob: v1.Blob) -> Wanted:
    return Wanted(blob.name.encode(), bytes.fromhex(blob.name), blob.size)


def _names(client: S3Client, retry: RetryPolicy) -> Iterator[bytes]:
    """Names of objects that can be blobs, sorted; others are nobody's business here."""
    for name, _, _ in retry.resumed(lambda after: client.listed(after or ""), lambda found: found[0]):
        if is_blob_name(name):
            yield name.encode()


def _inventoried(ctx: StepContext) -> int | None:
    """How many blobs preflight counted; None where it has not."""
    inventory = ctx.journal.sibling("preflight").fact("inventory")
    count = inventory.get("blobs") if isinstance(inventory, dict) else None
    return count if isinstance(count, int) else None
