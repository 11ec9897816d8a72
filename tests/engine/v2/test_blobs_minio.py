"""Blobs arrive in a real MinIO once, whole and marked; what was there stays; what is cut or killed is told."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from pydantic import SecretStr

from canswarm_tui.engine.errors import Defect, NoSpace, Refused, SiteUnreadable, Unreachable
from canswarm_tui.engine.records import Fate, Record, Removal, Wanted
from canswarm_tui.engine.settings import S3Settings
from canswarm_tui.engine.v2.blobs_minio import BlobSink
from canswarm_tui.engine.v2.s3_client import TAG_HEADER, S3Client
from canswarm_tui.engine.v2.s3_facts import (
    bucket_facts,
    ensure_bucket,
    server_facts,
    supports_snowball,
    take_probes_away,
)
from canswarm_tui.engine.v2.s3_objects import S3Objects
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server, restart

_numbers = random.Random(7)
TAG = "run-1"


def record(content: bytes, path: Path | None = None) -> Record:
    digest = hashlib.sha256(content).digest()
    if path is not None:
        path.write_bytes(content)
    return Record(digest.hex().encode(), digest, len(content), content if path is None else path)


def some(count: int, size: int = 1024) -> list[Record]:
    return sorted((record(_numbers.randbytes(size)) for _ in range(count)), key=lambda r: r.key)


def wanted(records: Sequence[Record]) -> list[Wanted]:
    return [Wanted(r.key, r.digest, r.size) for r in records]


def client_of(server: Server, bucket: str, **changed: object) -> S3Client:
    settings = {
        "endpoint": server.endpoint,
        "access_key": SecretStr(server.access_key),
        "secret_key": SecretStr(server.secret_key),
        "bucket": bucket,
        "timeout_s": 20,
    }
    return S3Client(S3Settings.model_validate(settings | changed))


def contents(client: S3Client, records: Sequence[Record]) -> list[bytes]:
    found = []
    for one in records:
        with S3Objects(client).get(one.key.decode()) as there:
            assert there is not None
            found.append(b"".join(there[1]))
    return found


@pytest.fixture
def client(minio: Server, unique_bucket: str) -> Iterator[S3Client]:
    with client_of(minio, unique_bucket) as opened:
        ensure_bucket(opened)
        yield opened


@pytest.fixture(params=[True, False], ids=["together", "alone"])
def sink(client: S3Client, request: pytest.FixtureRequest) -> BlobSink:
    return BlobSink(client, snowball=request.param)


def test_blobs_of_any_size_are_created_and_come_back_equal(client: S3Client, sink: BlobSink, tmp_path: Path) -> None:
    large = record(_numbers.randbytes(3_000_000), tmp_path / "large")
    batch = [record(b""), *some(30), record(_numbers.randbytes(131_072)), record(_numbers.randbytes(131_073)), large]
    assert {one.fate for one in sink.write(batch, TAG)} == {Fate.CREATED}
    bodies = [r.body if isinstance(r.body, bytes) else r.body.read_bytes() for r in batch]
    assert contents(client, batch) == bodies
    assert {one.fate for one in sink.settle(wanted(batch), TAG)} == {Fate.CREATED}


def test_what_is_there_is_judged_by_its_content_and_left_alone(client: S3Client, sink: BlobSink) -> None:
    equal, same_size, longer, absent = some(4)
    other = {same_size.key: b"x" * 1024, longer.key: b"y" * 9000}
    sink.write([equal], "other-1")
    for key, body in other.items():
        S3Objects(client).put_new(key.decode(), body, len(body), hashlib.sha256(body).digest(), {})
    landed = sink.write([equal, same_size, longer, absent], TAG)
    assert [one.fate for one in landed] == [Fate.PRESENT, Fate.CONFLICT, Fate.CONFLICT, Fate.CREATED]
    assert landed[1].existing == b"x" * 1024
    assert landed[2].existing == b"y" * 4096
    assert contents(client, [same_size, longer]) == list(other.values())


def test_undo_removes_what_the_tag_made_and_nothing_else(client: S3Client, sink: BlobSink) -> None:
    ours, theirs = some(5), some(5)
    sink.write(theirs, "other-1")
    sink.write(ours + theirs, TAG)
    removals = sink.remove(wanted([*ours, *theirs, *some(1)]), TAG)
    assert removals == [Removal.REMOVED] * 5 + [Removal.KEPT] * 5 + [Removal.GONE]
    assert {one.name for one in S3Objects(client).list_page().objects} == {r.key.decode() for r in theirs}


def test_settling_tells_ours_from_others_and_from_absent(sink: BlobSink) -> None:
    ours, theirs, absent = some(3)
    sink.write([ours], TAG)
    sink.write([theirs], "run-11")
    fates = [one.fate for one in sink.settle(wanted([ours, theirs, absent]), TAG)]
    assert fates == [Fate.CREATED, Fate.PRESENT, Fate.ABSENT]


def test_an_archive_cut_between_members_is_noticed(
    client: S3Client, minio: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, batch = S3Objects.put_snowball, some(10)
    member = 2560  # head of the pax record, its body, head, 1 KiB

    def cut(objects: S3Objects, archive: bytes, name: str) -> None:
        send(objects, archive[: 4 * member], name)

    monkeypatch.setattr(S3Objects, "put_snowball", cut)
    sink = BlobSink(client, snowball=True)
    with pytest.raises(Unreachable, match="are not there"):
        sink.write(batch, TAG)
    fates = [one.fate for one in sink.settle(wanted(batch), TAG)]
    assert fates == [Fate.CREATED] * 4 + [Fate.ABSENT] * 6


def test_a_file_that_changed_is_never_stored(client: S3Client, sink: BlobSink, tmp_path: Path) -> None:
    for number, change in enumerate((b"z" * 600_000, b"short", b"l" * 700_000)):
        one = record(bytes([number]) * 600_000, tmp_path / f"blob-{number}")
        (tmp_path / f"blob-{number}").write_bytes(change)
        with pytest.raises(SiteUnreadable, match=f"blob-{number}"):
            sink.write([one], TAG)
    assert S3Objects(client).list_page().objects == ()


def test_a_key_that_is_not_the_hash_is_a_defect(sink: BlobSink) -> None:
    one = some(1)[0]
    with pytest.raises(Defect):
        sink.write([Record(b"0" * 64, one.digest, one.size, one.body)], TAG)


def test_a_crowded_bucket_is_asked_for_single_names(client: S3Client, sink: BlobSink) -> None:
    crowd = some(1200, 1)
    crowd = list({r.key: r for r in (record(n.to_bytes(2, "big")) for n in range(1200))}.values())
    BlobSink(client, snowball=True).write(sorted(crowd, key=lambda r: r.key), "crowd-1")
    first, last = record(b"\x00\x01"), max(crowd, key=lambda r: r.key)
    batch = sorted([first, last, *some(2)], key=lambda r: r.key)
    fates = {one.key: one.fate for one in sink.write(batch, TAG)}
    assert fates[first.key] == fates[last.key] == Fate.PRESENT
    assert sorted(fates.values()) == [Fate.CREATED, Fate.CREATED, Fate.PRESENT, Fate.PRESENT]


def test_a_killed_server_is_unreachable_and_settled_when_it_is_back(
    private_server: Callable[..., Server], unique_bucket: str
) -> None:
    server = private_server("minio")
    with client_of(server, unique_bucket) as client:
        ensure_bucket(client)
        sink, before, after = BlobSink(client, snowball=True), some(20), some(20)
        sink.write(before, TAG)
        process.stop(server.running)
        with pytest.raises(Unreachable):
            sink.write(after, TAG)
        again = restart(server)
        try:
            fates = [one.fate for one in sink.settle(wanted(before + after), TAG)]
        finally:
            process.stop(again.running)
    assert fates == [Fate.CREATED] * 20 + [Fate.ABSENT] * 20


def test_wrong_keys_are_refused_and_a_missing_bucket_is_made_once(minio: Server, unique_bucket: str) -> None:
    with client_of(minio, unique_bucket, secret_key=SecretStr("wrong-secret")) as client, pytest.raises(Refused):
        ensure_bucket(client)
    with client_of(minio, unique_bucket) as client:
        assert not bucket_facts(client).exists
        assert [ensure_bucket(client), ensure_bucket(client)] == [True, False]


def test_the_probe_finds_snowball_and_leaves_nothing_behind(client: S3Client) -> None:
    assert supports_snowball(client)
    assert S3Objects(client).list_page().objects == ()


def test_what_a_killed_probe_left_is_taken_away_and_only_that(client: S3Client) -> None:
    objects = S3Objects(client)
    left, alike = "canswarm-probe-0123456789abcdef/a", "canswarm-probe-of-somebody/else"
    objects.put_new(left, b"a", 1, hashlib.sha256(b"a").digest(), {TAG_HEADER: left.partition("/")[0]})
    objects.put_new(alike, b"a", 1, hashlib.sha256(b"a").digest(), {})
    take_probes_away(client)
    assert [one.name for one in objects.list_page().objects] == [alike]


def test_facts_of_the_server_and_the_bucket(client: S3Client, sink: BlobSink) -> None:
    sink.write(some(3), TAG)
    S3Objects(client).put_new("notes.txt", b"hello", 5, hashlib.sha256(b"hello").digest(), {})
    server, bucket = server_facts(client), bucket_facts(client)
    assert server.is_minio
    assert server.free_bytes is not None
    assert 0 < server.free_bytes <= (server.total_bytes or 0)
    assert (bucket.sampled, bucket.ours, bucket.foreign) == (4, 3, 1)


def test_a_full_quota_is_no_space(client: S3Client, minio: Server, sink: BlobSink) -> None:
    MinioAdmin(
        endpoint=client.settings.host,
        credentials=StaticProvider(minio.access_key, minio.secret_key),
        region="us-east-1",
        secure=False,
    ).bucket_quota_set(client.bucket, 100_000)
    with pytest.raises(NoSpace):
        sink.write(some(1, 120_000), TAG)
