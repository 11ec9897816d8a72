"""Blobs on a real MinIO and a real Kubo: every size that matters, damage left behind by name, undone exactly."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis
from pydantic import SecretStr

from canswarm_tui.engine.decisions_of_people import accept_finding
from canswarm_tui.engine.errors import ExitCode, SettingsError
from canswarm_tui.engine.journal import Journal, ReceiptFate, StepState
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import EtcdSettings, IpfsSettings, S3Settings, Settings, SiteSettings
from canswarm_tui.engine.step import Keep, Kind
from canswarm_tui.engine.v1.blobs import size_class
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink, pinned_batches
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.decisions import MIGRATION_PREFIX, cas_map_sink, decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server, start_server
from tests.engine.steps.running import Bench, Killed, kill_at, without_needs
from tests.engine.steps.test_decisions import decision
from tests.engine.v2.test_blobs_ipfs import stored_file

SIZES = (0, 1, 1024, 128 * 1024, 128 * 1024 + 1, 262_144, 1 << 20, (1 << 20) + 1, 2 << 20, (2 << 20) + 1, 5_000_000)
STEPS = ("blobs-minio", "blobs-ipfs")


def put_blob(root: Path, content: bytes) -> str:
    name = hashlib.sha256(content).hexdigest()
    path = root / ".cas" / "sha256" / name[:2] / name[2:4] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


@pytest.fixture
def bench(
    v1_site: Path,
    minio: Server,
    ipfs_api: str,
    etcd_endpoint: str,
    unique_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    without_needs(monkeypatch)
    for size in SIZES:
        put_blob(v1_site, os.urandom(size))
    return Bench(
        Settings(
            site=SiteSettings(root=v1_site),
            s3=S3Settings(
                endpoint=minio.endpoint,
                access_key=SecretStr(minio.access_key),
                secret_key=SecretStr(minio.secret_key),
                bucket=unique_bucket,
            ),
            ipfs=IpfsSettings(api=ipfs_api),
            etcd=EtcdSettings(endpoints=(etcd_endpoint,)),
            state_dir=tmp_path / "state",
        )
    )


@pytest.fixture
def bucket(bench: Bench) -> Iterator[S3Client]:
    with S3Client(bench.settings.s3) as client:
        yield client


def content(bucket: S3Client, name: str) -> bytes:
    answer = bucket.api.get_object(bucket.bucket, name)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def names(bench: Bench) -> set[str]:
    root = bench.settings.site.require_root()
    return {p.name for p in (root / ".cas").rglob("*") if p.is_file()}


def test_every_size_goes_to_minio_and_on_to_ipfs_and_is_proved_in_both(bench: Bench, bucket: S3Client) -> None:
    for step in STEPS:
        assert bench.run(step).created == len(names(bench))
        assert bench.record(step).state is StepState.PROVED
    assert {name for name, _, _ in bucket.listed()} == names(bench)
    classes = {size_class(size) for _, size, _ in bucket.listed()}
    minio, ipfs = (bench.record(step) for step in STEPS)
    assert minio.outcome is not None
    assert ipfs.outcome is not None
    assert ipfs.verdict is not None
    figures = minio.outcome.figures
    assert {f"blobs {name}" for name in classes} | {f"blobs {name}, bytes" for name in classes} == set(figures)
    assert sum(int(figures[f"blobs {name}"]) for name in classes) == len(names(bench))
    assert sum(int(figures[f"blobs {name}, bytes"]) for name in classes) == minio.outcome.size_bytes
    assert ipfs.outcome.figures["read from MinIO and hashed equal"] == len(names(bench))
    assert ipfs.verdict.figures["CIDs returned"] == ipfs.verdict.figures["CIDs as predicted"] == len(names(bench))
    with KuboApi(bench.settings.ipfs) as api:
        pins = list(pinned_batches(api, bench.runner_run_id()))
    assert ipfs.verdict.figures["pinned archives"] == len(pins)


def test_the_exported_map_holds_the_cid_of_every_blob_and_a_small_one_follows_from_its_hash(bench: Bench) -> None:
    for step in STEPS:
        bench.run(step)
    with (bench.runner().place.folder / "exports" / "ipfs-cids.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["sha256"] for row in rows} == names(bench)
    small = [row for row in rows if int(row["size_bytes"]) <= 2 << 20]
    assert all(row["cid"] == str(Cid.raw(bytes.fromhex(row["sha256"]))) for row in small)
    with KuboApi(bench.settings.ipfs) as api:
        for row in rows:
            content = b"".join(api.cat(Cid.parse(row["cid"])))
            assert hashlib.sha256(content).hexdigest() == row["sha256"]


def test_a_second_run_writes_nothing_and_a_new_blob_is_all_that_a_third_writes(bench: Bench, bucket: S3Client) -> None:
    for step in STEPS:
        bench.run(step)
    written = {o.object_name: o.last_modified for o in bucket.api.list_objects(bucket.bucket)}
    for step in STEPS:
        assert bench.run(step).created == 0
    put_blob(bench.settings.site.require_root(), b"a new one")
    for step in STEPS:
        outcome = bench.run(step)
        assert (outcome.created, outcome.unchanged) == (1, len(written))
    after = {o.object_name: o.last_modified for o in bucket.api.list_objects(bucket.bucket)}
    assert {name: at for name, at in after.items() if name in written} == written


def test_a_blob_that_does_not_hash_to_its_name_stays_behind_by_name(bench: Bench, bucket: S3Client) -> None:
    root = bench.settings.site.require_root()
    bad = put_blob(root, b"will rot")
    path = root / ".cas" / "sha256" / bad[:2] / bad[2:4] / bad
    path.write_bytes(b"has rotted")
    (path.parent / "tmpabc").write_bytes(b"left behind")
    assert bench.runner().run(["blobs-minio"]).exit_code is ExitCode.ATTENTION
    waiting = [f.finding for f in bench.findings("blobs-minio") if f.wants_decision]
    assert [(f.kind, f.code) for f in waiting] == [(Kind.QUARANTINE, "blob.wrong_hash")]
    assert bad in waiting[0].subject
    assert bad not in {name for name, _, _ in bucket.listed()}


def test_an_object_with_other_content_under_a_blob_name_is_a_conflict_and_stays(
    bench: Bench, bucket: S3Client, tmp_path: Path
) -> None:
    name = put_blob(bench.settings.site.require_root(), b"ours")
    bucket.api.make_bucket(bucket.bucket)
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    bucket.api.fput_object(bucket.bucket, name, str(theirs))
    assert bench.runner().run(["blobs-minio"]).exit_code is ExitCode.ATTENTION
    (stored,) = [f for f in bench.findings("blobs-minio") if f.wants_decision]
    assert (stored.finding.kind, stored.finding.subject) == (Kind.CONFLICT, name)
    assert content(bucket, name) == b"theirs"


def test_an_accepted_conflict_stays_accepted_until_the_object_changes(bench: Bench, bucket: S3Client) -> None:
    name = put_blob(bench.settings.site.require_root(), b"ours")
    bucket.api.make_bucket(bucket.bucket)
    bucket.api.put_object(bucket.bucket, name, io.BytesIO(b"theirs"), 6)
    bench.runner().run(["blobs-minio"])
    journal = Journal.join(bench.journal_path)
    (stored,) = [f for f in journal.findings() if f.wants_decision]
    accept_finding(journal, stored.id, "somebody", "theirs is as good")
    journal.close()
    assert bench.runner().run(["blobs-minio"]).exit_code is ExitCode.DONE
    assert bench.runner().verify(["blobs-minio"]).exit_code is ExitCode.DONE
    bucket.api.put_object(bucket.bucket, name, io.BytesIO(b"again another"), 13)
    assert bench.runner().verify(["blobs-minio"]).exit_code is ExitCode.ATTENTION


@pytest.mark.parametrize(("keep", "deleted"), [(Keep.TARGET, False), (Keep.SITE, False), (Keep.SITE, True)])
def test_a_conflict_can_be_resolved_either_way_and_an_undo_puts_back_what_was_there(
    bench: Bench, bucket: S3Client, tmp_path: Path, keep: Keep, deleted: bool
) -> None:
    name = put_blob(bench.settings.site.require_root(), b"ours")
    bucket.api.make_bucket(bucket.bucket)
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    bucket.api.fput_object(bucket.bucket, name, str(theirs))
    bench.runner().run(["blobs-minio"])
    (stored,) = [f for f in bench.findings("blobs-minio") if f.wants_decision]
    assert bench.runner().resolve(stored, keep, "operator", "because").exit_code is ExitCode.DONE
    assert content(bucket, name) == (b"theirs" if keep is Keep.TARGET else b"ours")
    assert bench.runner().run(["blobs-minio"]).exit_code is ExitCode.DONE
    if deleted:
        bucket.api.remove_object(bucket.bucket, name)
    bench.undo("blobs-minio")
    assert content(bucket, name) == b"theirs"
    assert [found for found, _, _ in bucket.listed()] == [name]


def test_an_object_that_vanishes_from_minio_is_named_and_the_next_run_brings_it_back(
    bench: Bench, bucket: S3Client
) -> None:
    bench.run("blobs-minio")
    lost = sorted(names(bench))[3]
    bucket.api.remove_object(bucket.bucket, lost)
    assert bench.verify("blobs-minio").differences == 1
    assert [f.finding.subject for f in bench.findings("blobs-minio") if f.wants_decision] == [lost]
    assert bench.run("blobs-minio").created == 1
    assert bench.record("blobs-minio").state is StepState.PROVED


def test_a_pin_that_somebody_takes_away_is_found_and_the_next_run_brings_the_blobs_back(bench: Bench) -> None:
    for step in STEPS:
        bench.run(step)
    with KuboApi(bench.settings.ipfs) as api:
        run_id = bench.runner_run_id()
        ours = [p for p in api.pins("recursive", run_id) if p.name.startswith(run_id)]
        api.unpin(Cid.parse(ours[0].cid))
    assert bench.verify("blobs-ipfs").differences > 0
    waiting = [f.finding for f in bench.findings("blobs-ipfs") if f.wants_decision]
    assert waiting
    assert all("it is there whole" in one.happened and "garbage collection" in one.happened for one in waiting)
    bench.run("blobs-ipfs")
    assert bench.record("blobs-ipfs").state is StepState.PROVED


def test_a_blob_that_a_garbage_collection_took_is_told_as_missing(bench: Bench, tmp_path: Path) -> None:
    server = start_server("kubo", tmp_path / "kubo")
    try:
        ipfs = bench.settings.ipfs.model_copy(update={"api": server.endpoint})
        alone = Bench(bench.settings.model_copy(update={"ipfs": ipfs}))
        for step in STEPS:
            alone.run(step)
        with KuboApi(ipfs) as api:
            for pin in [p for p in api.pins("recursive", alone.runner_run_id()) if p.name]:
                api.unpin(Cid.parse(pin.cid))
        httpx.post(f"{server.endpoint}/api/v0/repo/gc", timeout=60).raise_for_status()
        assert alone.verify("blobs-ipfs").differences > 0
        waiting = [f.finding for f in alone.findings("blobs-ipfs") if f.finding.code == "blob.missing"]
        assert waiting
        assert all("is missing" in one.happened for one in waiting)
        alone.run("blobs-ipfs")
        assert alone.record("blobs-ipfs").state is StepState.PROVED
    finally:
        process.stop(server.running)


@pytest.mark.parametrize("how", ["empty", "rubbish", "cut", "gone", "another CID"])
def test_a_map_of_cids_that_is_damaged_on_the_disk_is_told_and_the_next_run_writes_it_anew(
    bench: Bench, how: str
) -> None:
    for step in STEPS:
        bench.run(step)
    path = bench.runner().place.folder / "exports" / "ipfs-cids.csv"
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "rubbish": b'\xff\x00",' * 99, "cut": whole[: len(whole) // 2]}.get(
            how, whole.replace(b"bafkrei", b"bafkrej", 1)
        )
    )
    if how == "gone":
        path.unlink()
    assert bench.verify("blobs-ipfs").differences == 1
    (stored,) = [f.finding for f in bench.findings("blobs-ipfs") if f.wants_decision]
    assert (stored.code, stored.subject) == ("cid.export", str(path))
    bench.run("blobs-ipfs")
    assert path.read_bytes() == whole
    assert bench.record("blobs-ipfs").state is StepState.PROVED


@pytest.mark.parametrize("rotten", [False, True])
def test_a_block_that_is_gone_or_rotten_on_the_disk_of_the_node_is_named_and_can_be_brought_anew(
    bench: Bench, rotten: bool
) -> None:
    for step in STEPS:
        bench.run(step)
    with KuboApi(bench.settings.ipfs) as api:
        repo = Path(api.facts().repo_path)
    stored_as = {name: stored_file(repo, Cid.raw(bytes.fromhex(name))) for name in sorted(names(bench))}
    lost, file = next((name, file) for name, file in stored_as.items() if file.exists())
    whole = file.read_bytes()
    file.unlink()
    try:
        if rotten:
            file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert bench.verify("blobs-ipfs").differences == 1
        (stored,) = [f for f in bench.findings("blobs-ipfs") if f.wants_decision]
        assert stored.finding.subject == lost
        assert "run the step again" in stored.finding.remedy
        if rotten:
            # Kubo takes no block in that it believes to have: it has to be taken away by its operator first.
            assert bench.runner().run(["blobs-ipfs"]).exit_code is ExitCode.ATTENTION
            assert "ipfs repo verify --drop" in stored.finding.remedy
        else:
            bench.run("blobs-ipfs")
            assert bench.record("blobs-ipfs").state is StepState.PROVED
            assert file.read_bytes() == whole
    finally:
        file.write_bytes(whole)


def test_a_changed_cid_of_a_large_blob_is_a_conflict_of_the_step_and_can_be_resolved(bench: Bench) -> None:
    for step in STEPS:
        bench.run(step)
    large = {p.name for p in bench.settings.site.cas_folder.rglob("*") if p.is_file() and p.stat().st_size > 2 << 20}
    etcd = EtcdClient(bench.settings.etcd)
    try:
        sink = cas_map_sink(etcd)
        entry = next(e for e in sink.scan() if e.key.decode() in large)
        changed = Record(entry.key, hashlib.sha256(b"bafy").digest(), 4, b"bafy")
        assert sink.replace(changed, hashlib.sha256(entry.value).digest()) is not None
        assert bench.verify("blobs-ipfs").differences == 1
        (stored,) = [f for f in bench.findings("blobs-ipfs") if f.wants_decision]
        assert stored.finding.subject == entry.key.decode()
        assert bench.record("blobs-ipfs").state is StepState.NEEDS_ATTENTION
        bench.runner().resolve(stored, Keep.SITE, "somebody", "bafy is no CID")
        assert bench.verify("blobs-ipfs").differences == 0
        assert bench.record("blobs-ipfs").state is StepState.PROVED
        bench.undo("blobs-ipfs")
        left = sink.get(entry.key)
        assert left is not None
        assert left.value == b"bafy"
    finally:
        etcd.close()


def test_an_undo_removes_our_objects_pins_and_bucket_and_leaves_those_of_others(bench: Bench, bucket: S3Client) -> None:
    for step in STEPS:
        bench.run(step)
    run_id = bench.runner_run_id()
    bench.undo("blobs-ipfs")
    with KuboApi(bench.settings.ipfs) as api:
        assert not [p for p in api.pins("recursive", run_id) if p.name.startswith(run_id)]
    bench.undo("blobs-minio")
    assert not bucket.api.bucket_exists(bucket.bucket)
    assert bench.count_receipts("blobs-minio", (ReceiptFate.CREATED,)) == 0


def test_decisions_of_an_interrupted_batch_are_still_ours_after_the_map_of_cids_was_written(
    bench: Bench, clean_redis: str, tmp_path: Path
) -> None:
    with redis.Redis.from_url(clean_redis) as client:
        client.set("decide:need", decision("need"))
    site = bench.settings.site.model_copy(update={"redis_url": clean_redis})
    prefixed = bench.settings.etcd.model_copy(update={"prefix": f"/test/{tmp_path.name}/decide/"})
    bench = Bench(bench.settings.model_copy(update={"site": site, "etcd": prefixed}))
    with pytest.raises(Killed):
        bench.runner(kill_at("before:receipts")).run(["decisions"])
    for step in STEPS:
        bench.run(step)
    etcd = EtcdClient(bench.settings.etcd)
    try:
        assert decision_sink(etcd, bench.settings.etcd).count() == 1
        assert bench.undo("decisions").removed == 1
        assert decision_sink(etcd, bench.settings.etcd).count() == 0
        assert etcd.count(MIGRATION_PREFIX + bench.runner_run_id().encode()) == 0
    finally:
        etcd.close()


def test_an_undo_takes_the_map_of_cids_away_although_its_only_batch_was_interrupted(bench: Bench) -> None:
    bench.run("blobs-minio")
    etcd = EtcdClient(bench.settings.etcd)
    try:
        before = {entry.key for entry in cas_map_sink(etcd).scan()}
        batches = math.ceil(len(names(bench)) / IpfsSink.max_records)
        assert batches == 1
        with pytest.raises(Killed):
            bench.runner(kill_at("before:receipts", after=batches)).run(["blobs-ipfs"])
        assert {entry.key for entry in cas_map_sink(etcd).scan()} > before
        bench.undo("blobs-ipfs")
        assert {entry.key for entry in cas_map_sink(etcd).scan()} == before
        assert etcd.count(MIGRATION_PREFIX + bench.runner_run_id().encode()) == 0
    finally:
        etcd.close()


@pytest.mark.parametrize(("name", "step"), [("minio", "blobs-minio"), ("kubo", "blobs-ipfs")])
def test_another_server_is_refused_by_verify_and_undo(
    bench: Bench, private_server: Callable[..., Server], name: str, step: str
) -> None:
    for one in STEPS:
        bench.run(one)
    other = private_server(name)
    s3 = bench.settings.s3.model_copy(
        update={
            "endpoint": other.endpoint,
            "secret_key": SecretStr(other.secret_key),
            "access_key": SecretStr(other.access_key),
        }
    )
    ipfs = bench.settings.ipfs.model_copy(update={"api": other.endpoint})
    changed = {"s3": s3} if name == "minio" else {"ipfs": ipfs}
    elsewhere = Bench(bench.settings.model_copy(update=changed))
    with pytest.raises(SettingsError, match="the step began with"):
        elsewhere.runner().verify([step])
    if step == "blobs-minio":
        bench.undo("blobs-ipfs")
    with pytest.raises(SettingsError, match="undo the step there first"):
        elsewhere.runner().undo(step)
    assert bench.undo(step).removed == len(names(bench))
