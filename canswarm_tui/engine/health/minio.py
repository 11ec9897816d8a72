"""A close look at the S3 endpoint (MinIO): health, bucket, space, and its objects a page at a time. Reads only."""

from __future__ import annotations

from itertools import islice

from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, Reading, looked, section, worry, yes_no
from canswarm_tui.engine.health.facts import Entry, Look, Page, Section
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding, Level
from canswarm_tui.engine.v1.blobs import blob_exists
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_facts import (
    BucketFacts,
    ServerFacts,
    bucket_facts,
    health,
    is_blob_name,
    server_facts,
    speaks_s3,
)
from canswarm_tui.engine.v2.s3_objects import S3Objects

_LITTLE = 0.1
"""Of all space: less free than this is told."""


def look(settings: Settings) -> Look:
    """Live, ready, version, the bucket and the space under it."""
    address = f"{settings.s3.endpoint}/{settings.s3.bucket}"
    return looked("minio", address, (settings.s3.endpoint,), lambda: _read(settings))


def _client(settings: Settings) -> S3Client:
    return S3Client(settings.s3.model_copy(update={"timeout_s": min(settings.s3.timeout_s, LOOK_TIMEOUT_S)}), 4)


def _read(settings: Settings) -> Reading:
    with _client(settings) as client:
        live, ready = health(client, "live"), health(client, "ready")
        if not speaks_s3(client):
            raise WrongAnswer(client.subject, "what answers there does not speak S3", "check s3.endpoint")
        server, bucket = server_facts(client), bucket_facts(client)
    sections = [
        section(
            "server", kind=server.kind or None, version=server.version, live=yes_no(live), ready=yes_no(ready),
            free_bytes=server.free_bytes, total_bytes=server.total_bytes,
        ),
        _bucket(settings, bucket),
    ]  # fmt: skip
    return sections, _worries(settings, server, bucket, ready if server.is_minio else None)


def _bucket(settings: Settings, bucket: BucketFacts) -> Section:
    if not bucket.exists:
        return section("bucket", name=settings.s3.bucket, exists="no, a run creates it")
    return section(
        "bucket", name=settings.s3.bucket, exists="yes", versioning=yes_no(bucket.versioned),
        object_lock=yes_no(bucket.locked),
        objects=f"more than {bucket.sampled:,}" if bucket.more else bucket.sampled,
        tagged_by_us=f"{bucket.ours:,} of {bucket.sampled:,} looked at",
        no_blob_names=f"{bucket.foreign:,} of {bucket.sampled:,} looked at",
    )  # fmt: skip


def _worries(settings: Settings, server: ServerFacts, bucket: BucketFacts, ready: bool | None) -> list[Finding]:
    found, subject = [], f"{settings.s3.endpoint}/{settings.s3.bucket}"
    if ready is False:
        found.append(worry("minio.not_ready", subject, "MinIO says that it is not ready", "look at its log and drives"))
    if server.free_bytes is not None and server.total_bytes and server.free_bytes < _LITTLE * server.total_bytes:
        happened = f"only {100 * server.free_bytes / server.total_bytes:.1f} % of its space is free"
        found.append(worry("minio.space", subject, happened, "free space or add drives before the run"))
    if bucket.locked:
        happened = "the bucket has object lock: with a retention, an undo could not remove what a run created"
        found.append(worry("minio.locked", subject, happened, "use a bucket without retention", Level.NOTE))
    return found


class Objects:
    """The bucket's objects, sorted by name."""

    title = "objects in MinIO"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        with _client(self._settings) as client:
            found = list(islice(client.listed(after or "", prefix), limit + 1))
        entries = tuple(Entry(name, (str(size), etag)) for name, size, etag in found[:limit])
        return Page(("bytes", "ETag"), entries, entries[-1].key if len(found) > limit else None)

    def open(self, key: str) -> tuple[Section, ...]:
        with _client(self._settings) as client:
            seen = S3Objects(client).head(key)
        if seen is None:
            return (section("object", name=key, found="it is not there"), self._site(key))
        facts = section(
            "object", name=key, size_bytes=seen.size, ETag=seen.etag, version=seen.version, made_by_batch=seen.tag,
            SHA256_as_stored=seen.sha256,
        )  # fmt: skip
        return facts, self._site(key)

    def _site(self, key: str) -> Section:
        site = self._settings.site
        if site.root is None or not is_blob_name(key):
            return section("v1 site", compared="no: no site is named, or it is no name of a blob")
        return section("v1 site", file_of_this_hash=yes_no(blob_exists(site.cas_folder, key)))
