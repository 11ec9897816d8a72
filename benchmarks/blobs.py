"""Benchmarks of blobs: files → MinIO, MinIO → IPFS, beside the peers that people would use instead."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import cast

import httpx
from pydantic import SecretStr

from benchmarks.measure import Result, seconds, server
from benchmarks.stores import PLAN, context, journal_share, ratio, records
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import IpfsSettings, S3Settings, Settings
from canswarm_tui.engine.transfer import copy
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink
from canswarm_tui.engine.v2.blobs_minio import BlobSink
from canswarm_tui.engine.v2.blobs_minio_reader import ReadBlob, read_many
from canswarm_tui.engine.v2.ipfs_batch import BatchArchive
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.s3_client import TAG_HEADER, S3Client
from canswarm_tui.engine.v2.s3_facts import ensure_bucket
from canswarm_tui.engine.v2.s3_objects import S3Objects
from canswarm_tui.engine.v2.snowball import pack
from canswarm_tui.engine.v2.unixfs import RAW_LIMIT
from canswarm_tui.sandbox.servers import Server

ROUNDS = 3
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30
"""What a MinIO in memory may fill: every object takes blocks of its own."""


def _fail(error: EngineError, _read: Callable[[], ReadBlob]) -> ReadBlob:
    raise error


@dataclass
class _Filled:
    """Blobs a second into MinIO, one figure a round."""

    one: list[float] = field(default_factory=list)
    sixteen: list[float] = field(default_factory=list)
    archives: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    """Ours, without a journal."""

    def results(self, where: str) -> Iterator[Result]:
        ours, alone = median(self.ours), median(self.archives)
        yield Result(
            f"files → MinIO {where} / one PUT after another", ratio(self.ours, self.one), 4, "×", True,
            f"1 KiB, empty bucket: {ours:,.0f}/s beside {median(self.one):,.0f}/s; MinIO alone, given ready archives "
            f"and nothing else, reaches {ratio(self.archives, self.one):.1f} × ({alone:,.0f}/s)",
        )  # fmt: skip
        yield Result(
            f"files → MinIO {where} / 16 PUTs at once", ratio(self.ours, self.sixteen), 1, "×", True,
            f"{ours:,.0f}/s beside {median(self.sixteen):,.0f}/s",
        )  # fmt: skip


def blobs_to_minio_and_ipfs(folder: Path, scale: float) -> Iterator[Result]:
    """Files → MinIO beside single puts, MinIO → IPFS beside reading alone and beside single adds.

    The first is measured twice: with MinIO's data on this machine's disk, where flushing each object to it bounds
    every client alike, and in memory, where MinIO's own work does.
    """
    count, few = int(10_000 * scale), max(200, int(600 * scale))
    with _memory_folder() as memory:
        if memory is not None:
            with server("minio", memory) as minio:
                yield from _filled(folder / "memory", minio, count, few).results("in memory")
    read, through = [], []
    with server("minio", folder) as minio, server("kubo", folder) as kubo:
        filled = _filled(folder / "disk", minio, count, few)
        settings = Settings(ipfs=IpfsSettings(api=kubo.endpoint))
        for round_ in range(ROUNDS):
            names = [r.key for r in records(count, 1024, round_)]
            with S3Client(_s3(minio, f"bench{round_}-true"), 32) as client:
                read.append(count / seconds(lambda: sum(1 for _ in read_many(client, names, _fail))))  # noqa: B023
                through.append(count / seconds(lambda: _to_ipfs(client, names, settings, folder / f"ipfs-{round_}")))  # noqa: B023
        yield from filled.results("on this disk")
        yield Result(
            "MinIO → IPFS / reading MinIO in parallel", 100 * ratio(through, read), 80, "%", True,
            f"{median(through):,.0f}/s beside {median(read):,.0f}/s",
        )  # fmt: skip
        with KuboApi(IpfsSettings(api=kubo.endpoint)) as api:
            adds, cars = [], []
            for round_ in range(ROUNDS):
                adds.append(_adds(kubo.endpoint, few))
                cars.append(_car(api, min(count, 5_000), round_))
    yield Result(
        "CAR import / one add after another", ratio(cars, adds), 20, "×", True,
        f"1 KiB: {median(cars):,.0f}/s beside {median(adds):,.0f}/s",
    )  # fmt: skip
    yield journal_share("blobs", filled.ours, filled.bare)


def _filled(folder: Path, minio: Server, count: int, few: int) -> _Filled:
    """Ours beside each peer, once a round, each into new names."""
    filled = _Filled()
    for round_ in range(ROUNDS):
        bucket = f"bench{round_}"
        with S3Client(_s3(minio, bucket), 32) as client:
            ensure_bucket(client)
            filled.one.append(_puts(client, records(few, 1024, 100 + round_), 1))
            filled.sixteen.append(_puts(client, records(few * 2, 1024, 200 + round_), 16))
            filled.archives.append(_archives(client, records(count // 2, 1024, 300 + round_)))
        blobs = records(count, 1024, round_)
        for journalled in (True, False) if round_ % 2 else (False, True):
            settings = Settings(s3=_s3(minio, f"{bucket}-{journalled}".lower()))
            rate = _files_to_minio(folder / f"{round_}-{journalled}", settings, blobs, journalled=journalled)
            (filled.ours if journalled else filled.bare).append(rate)
    return filled


def _s3(minio: Server, bucket: str) -> S3Settings:
    return S3Settings(
        endpoint=minio.endpoint, access_key=SecretStr(minio.access_key), secret_key=SecretStr(minio.secret_key),
        bucket=bucket,
    )  # fmt: skip


@contextmanager
def _memory_folder() -> Iterator[Path | None]:
    """A folder on a RAM disk, None where there is no room for one."""
    with ExitStack() as stack:
        has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
        yield (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canswarm-bench-", dir=MEMORY)))
            if has_room
            else None
        )


def _files_to_minio(folder: Path, settings: Settings, blobs_: list[Record], *, journalled: bool) -> float:
    with S3Client(settings.s3, 32) as client:
        ensure_bucket(client)
        ctx = context(folder, settings, journalled=journalled)
        rate = len(blobs_) / seconds(lambda: copy(blobs_, BlobSink(client, snowball=True), ctx, PLAN))
        ctx.journal.close()
    return rate


def _archives(client: S3Client, blobs_: list[Record]) -> float:
    """Blobs a second that the server unpacks from archives made beforehand: what no client can be faster than."""
    lots = [blobs_[at : at + BlobSink.max_records] for at in range(0, len(blobs_), BlobSink.max_records)]
    made = [pack((r.key.decode(), cast("bytes", r.body), {TAG_HEADER: "bench"}) for r in lot) for lot in lots]
    objects = S3Objects(client)

    def work() -> None:
        for number, archive in enumerate(made):
            objects.put_snowball(archive, f"bench-{number}.tar")

    return len(blobs_) / seconds(work)


def _puts(client: S3Client, blobs_: list[Record], workers: int) -> float:
    def put(record: Record) -> None:
        assert isinstance(record.body, bytes)
        client.api.put_object(client.bucket, record.key.decode(), io.BytesIO(record.body), record.size)

    def work() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(put, blobs_))

    return len(blobs_) / seconds(work)


def _to_ipfs(client: S3Client, names: list[bytes], settings: Settings, folder: Path) -> None:
    ctx = context(folder, settings)
    large = folder / "large"
    large.mkdir()
    with KuboApi(settings.ipfs) as api:
        found = read_many(client, names, _fail, inline_bytes=RAW_LIMIT, folder=large)
        source = (Record(b.key, b.digest or b"", b.size, b.body or b"") for b in found)
        copy(source, IpfsSink(api), ctx, replace(PLAN, total=len(names)))


def _adds(api: str, count: int) -> float:
    with httpx.Client(base_url=api, timeout=30) as client:
        contents = [os.urandom(1024) for _ in range(count)]

        def work() -> None:
            for content in contents:
                query = {"cid-version": "1", "raw-leaves": "true", "pin": "true"}
                client.post("/api/v0/add", params=query, files={"file": content}).raise_for_status()

        return count / seconds(work)


def _car(api: KuboApi, count: int, round_: int) -> float:
    archive = BatchArchive.plan(records(count, 1024, 999 + round_), f"bench-{round_}")
    return count / seconds(lambda: api.import_car(archive.pieces(), archive.size_bytes))
