"""S3's errors, archives, TLS, versions and locks: what every server and bucket can be, on a real MinIO."""

from __future__ import annotations

import inspect
import io
import socket
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from minio import error as minio_error
from minio.commonconfig import ENABLED, GOVERNANCE
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.time import utcnow
from minio.versioningconfig import VersioningConfig

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, Refused, Unreachable, Unready, WrongAnswer
from canswarm_tui.engine.records import Fate, Removal
from canswarm_tui.engine.v2.blobs_minio import BlobSink
from canswarm_tui.engine.v2.in_order import in_order
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_errors import s3_errors
from canswarm_tui.engine.v2.s3_facts import bucket_facts, ensure_bucket, server_facts, supports_snowball
from canswarm_tui.engine.v2.s3_objects import S3Objects
from canswarm_tui.engine.v2.snowball import pack
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.certificates import certificate
from tests.engine.v2.test_blobs_minio import client_of, contents, some, wanted

TAG = "run-1"


def classes_of(module: object, base: type[BaseException]) -> list[type[BaseException]]:
    return [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]


def made(raised: type[BaseException]) -> BaseException:
    """One of them as it would come: these two read their own fields when they are told."""
    if raised is urllib3.exceptions.IncompleteRead:
        return urllib3.exceptions.IncompleteRead(1, 2)
    if raised is urllib3.exceptions.InvalidChunkLength:
        return urllib3.exceptions.InvalidChunkLength(urllib3.HTTPResponse(b""), b"x")
    return raised.__new__(raised)


def test_a_port_that_nothing_listens_on_is_told_from_a_slow_network(tmp_path: Path, unique_bucket: str) -> None:
    server = Server("minio", 1, tmp_path, process.Running(0, 0, tmp_path), "swarm", "nowhere-1", {})
    endpoint, told = f"http://127.0.0.1:{process.free_port()}", r"no connection \(.*refused\)"
    with client_of(server, unique_bucket, endpoint=endpoint) as client, pytest.raises(Unreachable, match=told):
        ensure_bucket(client)


@pytest.mark.parametrize(
    "raised",
    [
        *classes_of(urllib3.exceptions, urllib3.exceptions.HTTPError),
        ConnectionResetError,
        TimeoutError,
        BrokenPipeError,
    ],
    ids=lambda c: c.__name__,
)
def test_everything_that_the_transport_raises_becomes_an_error_with_a_remedy(raised: type[BaseException]) -> None:
    with pytest.raises(EngineError) as told, s3_errors("bucket"):
        raise made(raised)
    assert not isinstance(told.value, Defect)
    assert told.value.subject == "bucket"
    assert told.value.remedy


@pytest.mark.parametrize("raised", classes_of(minio_error, minio_error.MinioException), ids=lambda c: c.__name__)
def test_everything_that_the_client_raises_becomes_an_error_with_a_remedy(raised: type[BaseException]) -> None:
    exc = raised.__new__(raised)
    for name, value in (("_code", "500"), ("code", "InternalError"), ("message", "no"), ("status_code", 500)):
        try:
            setattr(exc, name, value)
        except AttributeError:
            setattr(exc, f"_{name}", value)
    with pytest.raises(EngineError) as told, s3_errors("bucket"):
        raise exc
    assert told.value.remedy


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDenied", Refused), ("InvalidAccessKeyId", Refused), ("SignatureDoesNotMatch", Refused),
        ("XMinioStorageFull", NoSpace), ("QuotaExceeded", NoSpace), ("SlowDown", Unready),
        ("NoSuchBucket", WrongAnswer), ("SomethingNew", WrongAnswer),
    ],
)  # fmt: skip
def test_an_answer_of_s3_is_told_apart_by_its_code(code: str, expected: type[EngineError]) -> None:
    exc = minio_error.S3Error.__new__(minio_error.S3Error)
    exc.code, exc.message = code, "text of the server"
    with pytest.raises(expected) as told, s3_errors("bucket"):
        raise exc
    assert type(told.value) is expected


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.binary(max_size=2000), max_size=8))
def test_an_archive_holds_every_member_with_its_metadata(members: dict[str, bytes]) -> None:
    packed = pack((name, content, {"x-amz-meta-tag": name[:8]}) for name, content in members.items())
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {}
        for info in archive:
            member = archive.extractfile(info)
            assert member is not None
            found[info.name] = member.read()
            assert info.pax_headers["minio.metadata.x-amz-meta-tag"] == info.name[:8]
    assert found == members


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 5))
def test_answers_come_in_the_order_of_the_questions_and_few_are_on_their_way(
    questions: list[int], workers: int
) -> None:
    lock, busy, most = threading.Lock(), [0], [0]

    def ask(number: int) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.0005 * (number % 3))
        with lock:
            busy[0] -= 1
        return number * 2

    assert list(in_order(ask, questions, workers)) == [n * 2 for n in questions]
    assert most[0] <= workers


def test_the_first_failure_comes_in_its_place_and_the_rest_is_not_begun() -> None:
    begun = []

    def ask(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    answers = in_order(ask, range(1000), 2)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(answers)
    assert len(begun) < 20


@pytest.fixture
def fresh(minio: Server, unique_bucket: str) -> Iterator[S3Client]:
    """A client whose bucket is not made yet."""
    with client_of(minio, unique_bucket) as client:
        yield client


@pytest.mark.parametrize("snowball", [True, False], ids=["together", "alone"])
def test_in_a_versioned_bucket_an_undo_takes_our_version_and_leaves_what_came_after(
    fresh: S3Client, snowball: bool
) -> None:
    ensure_bucket(fresh)
    fresh.api.set_bucket_versioning(fresh.bucket, VersioningConfig(ENABLED))
    assert bucket_facts(fresh).versioned
    sink, records = BlobSink(fresh, snowball=snowball), some(3)
    assert {one.fate for one in sink.write(records, TAG)} == {Fate.CREATED}
    assert {one.fate for one in sink.write(records, "run-2")} == {Fate.PRESENT}
    changed = records[0].key.decode()
    fresh.api.put_object(fresh.bucket, changed, io.BytesIO(b"newer"), 5)
    assert sink.remove(wanted(records), TAG) == [Removal.KEPT, Removal.REMOVED, Removal.REMOVED]
    left = [(o.object_name, o.size) for o in fresh.api.list_objects(fresh.bucket, include_version=True)]
    assert [name for name, size in left if size == 5] == [changed]
    assert {o.object_name for o in fresh.api.list_objects(fresh.bucket)} == {changed}


def test_in_a_locked_bucket_an_undo_says_what_it_may_not_remove(minio: Server, unique_bucket: str) -> None:
    with client_of(minio, unique_bucket) as client:
        client.api.make_bucket(client.bucket, object_lock=True)
        client.api.set_object_lock_config(client.bucket, ObjectLockConfig(GOVERNANCE, 1, DAYS))
        assert bucket_facts(client).locked
        sink, records = BlobSink(client, snowball=False), some(2)
        assert {one.fate for one in sink.write(records, TAG)} == {Fate.CREATED}
        assert contents(client, records) == [r.body for r in records]
        assert sink.remove(wanted(records), TAG) == [Removal.KEPT, Removal.KEPT]
        assert contents(client, records) == [r.body for r in records]
        for one in client.api.list_objects(client.bucket, include_version=True):
            head = client.api.stat_object(client.bucket, one.object_name, version_id=one.version_id)
            assert head.last_modified is not None
            assert head.last_modified < utcnow() + timedelta(minutes=5)


def test_what_has_changed_at_the_target_is_a_conflict_with_what_is_there(fresh: S3Client) -> None:
    ensure_bucket(fresh)
    sink, records = BlobSink(fresh, snowball=True), some(3)
    sink.write(records, TAG)
    fresh.api.put_object(fresh.bucket, records[1].key.decode(), io.BytesIO(b"else"), 4)
    again = sink.write(records, "run-2")
    assert [one.fate for one in again] == [Fate.PRESENT, Fate.CONFLICT, Fate.PRESENT]
    assert again[1].existing == b"else"
    assert [one.fate for one in sink.settle(wanted(records), TAG)] == [Fate.CREATED, Fate.CONFLICT, Fate.CREATED]


@contextmanager
def minio_with_tls(folder: Path) -> Iterator[tuple[str, Path]]:
    """(endpoint, CA) of a MinIO that serves TLS with a certificate of its own."""
    cert, key = certificate(folder / "made")
    certs = folder / "certs"
    certs.mkdir()
    (certs / "public.crt").write_bytes(cert.read_bytes())
    (certs / "private.key").write_bytes(key.read_bytes())
    port = process.free_port()
    command = [str(ensure("minio")), "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"]
    environment = {"MINIO_ROOT_USER": "swarm", "MINIO_ROOT_PASSWORD": "behind-tls-1", "MINIO_BROWSER": "off"}
    running = process.start([*command, "--certs-dir", str(certs)], folder, folder / "log", environment)
    try:
        yield f"https://127.0.0.1:{port}", cert
    finally:
        process.stop(running)


def test_tls_is_checked_against_the_ca_of_the_settings(tmp_path: Path, unique_bucket: str) -> None:
    with minio_with_tls(tmp_path) as (endpoint, ca):
        server = Server("minio", 1, tmp_path, process.Running(0, 0, tmp_path), "swarm", "behind-tls-1", {})
        deadline = time.monotonic() + 30
        with client_of(server, unique_bucket, endpoint=endpoint, ca=ca) as client:
            while True:
                try:
                    assert ensure_bucket(client)
                    break
                except Unreachable:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            records = some(2)
            assert {one.fate for one in BlobSink(client, snowball=True).write(records, TAG)} == {Fate.CREATED}
            assert contents(client, records) == [r.body for r in records]
        other, _ = certificate(tmp_path / "other")
        for trusted in (None, other):
            with client_of(server, unique_bucket, endpoint=endpoint, ca=trusted) as client:
                with pytest.raises(Refused, match="certificate"):
                    bucket_facts(client)
                with pytest.raises(Refused, match="certificate"):
                    S3Objects(client).list_page()


@contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """The endpoint of a server that speaks S3 and is no MinIO: rclone in front of a folder."""
    (folder / "served").mkdir()
    port = process.free_port()
    rclone = str(Path(sys.executable).parent / "rclone")
    serve = [rclone, "serve", "s3", str(folder / "served"), "--addr", f"127.0.0.1:{port}"]
    running = process.start([*serve, "--auth-key", "swarm,gateway-key"], folder, folder / "log", {})
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop(running)


def test_a_gateway_that_is_no_minio_takes_blobs_one_by_one(tmp_path: Path) -> None:
    with gateway(tmp_path) as endpoint:
        server = Server("minio", 1, tmp_path, process.Running(0, 0, tmp_path), "swarm", "gateway-key", {})
        with client_of(server, "swarm-cas", endpoint=endpoint) as client:
            assert not server_facts(client).is_minio
            ensure_bucket(client)
            assert not supports_snowball(client)
            sink, records = BlobSink(client, snowball=False), some(4)
            assert {one.fate for one in sink.write(records, TAG)} == {Fate.CREATED}
            assert contents(client, records) == [r.body for r in records]
            assert {one.fate for one in sink.write(records, "run-2")} == {Fate.PRESENT}
            assert [one.fate for one in sink.settle(wanted(records), TAG)] == [Fate.CREATED] * 4
            assert sink.remove(wanted(records), TAG) == [Removal.REMOVED] * 4
