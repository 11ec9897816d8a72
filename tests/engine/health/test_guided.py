"""The guided checks on real servers: each trouble made for real, its verdict, and its command tried in a shell."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from canswarm_tui.engine.errors import NoSpace
from canswarm_tui.engine.health.facts import Check, CheckVerdict
from canswarm_tui.engine.health.guided import minio as guided_minio
from canswarm_tui.engine.health.guided.registry import GUIDED
from canswarm_tui.engine.journal import Batch, ClosedBatch, Journal, Receipt, ReceiptFate, StepState
from canswarm_tui.engine.place import place_of, site_identity
from canswarm_tui.engine.records import Record, Wanted
from canswarm_tui.engine.settings import (
    EtcdSettings,
    IpfsSettings,
    OpaSettings,
    S3Settings,
    Settings,
    SiteSettings,
)
from canswarm_tui.engine.step import Outcome
from canswarm_tui.engine.steps.policy_wasm import FOLDER, Built, files_of
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink, pinned_batches
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_facts import read_facts
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.policy.source import load_source
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_facts import ensure_bucket
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.engine.health.test_automerge import HISTORY, site_with
from tests.frozen import wait_frozen

Start = Callable[..., Server]
FINE, WORRY, BAD, UNKNOWN = CheckVerdict


def asked(name: str, settings: Settings) -> dict[str, Check]:
    return {check.id: check for check in GUIDED[name](settings)}


def verdicts(name: str, settings: Settings) -> dict[str, CheckVerdict]:
    return {check.id.partition(".")[2]: check.verdict for check in GUIDED[name](settings)}


def with_run(settings: Settings, folder: Path, *steps: str) -> Settings:
    """The same settings on a site whose journal says that these steps have run."""
    root = settings.site.root or folder / "site"
    root.mkdir(exist_ok=True)
    settings = settings.model_copy(
        update={"site": settings.site.model_copy(update={"root": root}), "state_dir": folder / "state"}
    )
    place_of(settings).make()
    with closing(Journal.open(place_of(settings).journal, site_identity(settings))) as journal:
        for step in steps:
            journal.step(step).set_state(StepState.DONE, outcome=Outcome(created=1, summary="copied"))
    return settings


def of_etcd(*endpoints: str, redis_url: str = "redis://127.0.0.1:1/0") -> Settings:
    return Settings(etcd=EtcdSettings(endpoints=endpoints, timeout_s=1.5), site=SiteSettings(redis_url=redis_url))


def of_redis(url: str) -> Settings:
    return Settings(site=SiteSettings(redis_url=url))


def of_minio(server: Server, bucket: str, secret: str = "") -> Settings:
    key, secret_key = SecretStr(server.user), SecretStr(secret or server.password)
    return Settings(s3=S3Settings(endpoint=server.endpoint, access_key=key, secret_key=secret_key, bucket=bucket))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH with the servers' own tools, as an operator has them."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, program in (("etcdctl", ensure("etcdctl")), ("ipfs", ensure("kubo"))):
        (folder / name).symlink_to(program)
    monkeypatch.setenv("PATH", f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    return folder


def in_a_shell(check: Check, **environment: str) -> str:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {check.command}"], capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, (check.command, done.stdout, done.stderr)
    return done.stdout


def has_tool(check: Check) -> bool:
    return all(shutil.which(name) for name in ("nats", "jq", "curl") if name in check.command.split())


def test_every_command_does_in_a_shell_what_was_done_here(
    tools: Path, etcd_endpoint: str, minio: Server, unique_bucket: str, ipfs_api: str, opa_url: str,
    private_server: Start, tmp_path: Path,
) -> None:  # fmt: skip
    secured = private_server("redis", password="p4$word")
    site = site_with(tmp_path / "held", HISTORY).site.model_copy(
        update={"redis_url": secured.endpoint, "redis_password": SecretStr("p4$word")}
    )
    settings = of_minio(minio, unique_bucket).model_copy(
        update={
            "etcd": EtcdSettings(endpoints=(etcd_endpoint,)), "ipfs": IpfsSettings(api=ipfs_api),
            "opa": OpaSettings(url=opa_url), "site": site, "state_dir": tmp_path / "state",
        }
    )  # fmt: skip
    with S3Client(settings.s3) as client:
        ensure_bucket(client)
    secrets = {
        "CANSWARM_SITE__REDIS_PASSWORD": "p4$word", "CANSWARM_S3__ACCESS_KEY": minio.user,
        "CANSWARM_S3__SECRET_KEY": minio.password,
    }  # fmt: skip
    tried = set()
    for name in ("etcd", "redis", "minio", "ipfs", "opa", "automerge", "wasm"):
        for check in GUIDED[name](settings):
            if has_tool(check) and "canswarm-tui" not in check.command and not check.command.endswith(" CID"):
                in_a_shell(check, **secrets)
                tried.add(check.id)
    assert {"etcd.health", "etcd.space", "etcd.keys", "redis.answers", "minio.key", "ipfs.pins", "automerge.ops"} <= (
        tried
    )
    assert in_a_shell(asked("redis", settings)["redis.answers"], **secrets).strip() == "PONG"


def test_no_command_holds_a_secret_and_each_names_the_variables_that_it_reads(tmp_path: Path) -> None:
    told = "S3CR3T"
    secret = SecretStr(told)
    settings = Settings(
        site=SiteSettings(
            root=tmp_path, redis_url=f"redis://me:{told}@127.0.0.1:1/3", nats_url=f"nats://me:{told}@127.0.0.1:1",
            redis_password=secret, nats_password=secret, nats_token=secret,
        ),
        etcd=EtcdSettings(endpoints=("http://127.0.0.1:1",), user="root", password=secret, timeout_s=0.5),
        s3=S3Settings(endpoint="http://127.0.0.1:1", access_key=secret, secret_key=secret),
        ipfs=IpfsSettings(api="http://127.0.0.1:1", token=secret),
        opa=OpaSettings(url="http://127.0.0.1:1", token=secret),
        state_dir=tmp_path / "state",
    )  # fmt: skip
    checks = [check for name in GUIDED for check in GUIDED[name](settings)]
    assert told not in repr(checks)
    needed = {
        "etcd": "CANSWARM_ETCD__PASSWORD", "redis": "CANSWARM_SITE__REDIS_PASSWORD", "opa": "CANSWARM_OPA__TOKEN",
        "ipfs": "CANSWARM_IPFS__TOKEN", "nats": "CANSWARM_SITE__NATS_TOKEN",
    }  # fmt: skip
    for check in checks:
        if check.backend in needed:
            assert needed[check.backend] in check.variables, check.command
    assert len({check.id for check in checks}) == len(checks)


@pytest.mark.parametrize("name", ["etcd", "redis", "nats", "minio", "kubo", "opa"])
def test_a_server_that_is_down_is_one_bad_check_and_the_others_cant_tell(name: str, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    settings = Settings(
        etcd=EtcdSettings(endpoints=(nowhere,), timeout_s=1), ipfs=IpfsSettings(api=nowhere),
        opa=OpaSettings(url=nowhere), site=SiteSettings(redis_url="redis://127.0.0.1:1/0", nats_url="nats://127.0.0.1:1"),
        s3=S3Settings(endpoint=nowhere, access_key=SecretStr("a"), secret_key=SecretStr("b")),
    )  # fmt: skip
    first, *others = GUIDED["ipfs" if name == "kubo" else name](settings)
    assert first.verdict is BAD
    assert first.said.startswith("it is down: ")
    assert first.remedy
    assert {check.verdict for check in others} == {UNKNOWN}
    assert all("it is down" in check.said for check in others)


def test_slow_and_refusing_are_told_from_down(private_server: Start) -> None:
    server = private_server("etcd")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert asked("etcd", of_etcd(server.endpoint))["etcd.health"].said.startswith("it listens and is too slow")
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    secured = private_server("redis", password="right")
    assert asked("redis", of_redis(secured.endpoint))["redis.answers"].said.startswith("it refuses us")


def test_without_a_site_nothing_is_called_bad(tmp_path: Path) -> None:
    assert set(verdicts("automerge", Settings(state_dir=tmp_path)).values()) == {UNKNOWN}


def test_a_full_etcd_says_which_revision_to_compact_to_and_the_commands_mend_it(
    tools: Path, private_server: Start
) -> None:
    settings = of_etcd(private_server("etcd", quota_bytes="2000000").endpoint)
    with closing(EtcdClient(settings.etcd)) as client:
        while not read_facts(client).alarms:  # the size is known to etcd, and the alarm raised, a moment after a write
            with suppress(NoSpace):
                client.write("Put", rpc.PutRequest(key=b"/k", value=b"x" * 100_000))
    full = asked("etcd", settings)["etcd.space"]
    assert full.verdict is BAD
    assert any("NOSPACE" in line for line in full.looked_at)
    assert "NOSPACE" in in_a_shell(full)
    etcdctl = f"etcdctl --endpoints={settings.etcd.endpoints[0]} "
    named = [part for part in full.remedy.split("`") if part.startswith("etcdctl")]
    assert named[0].split()[-1].isdigit()
    for command in named:
        subprocess.run(["bash", "-c", command.replace("etcdctl ", etcdctl, 1)], check=True, capture_output=True)
    assert asked("etcd", settings)["etcd.space"].verdict is FINE


def test_one_endpoint_of_two_away_is_a_worry(etcd_endpoint: str) -> None:
    check = asked("etcd", of_etcd("http://127.0.0.1:1", etcd_endpoint))["etcd.health"]
    assert check.verdict is WORRY
    assert "http://127.0.0.1:1" in check.said


def test_decisions_that_only_redis_has_are_bad_once_a_run_has_copied_them(
    private_server: Start, clean_redis: str, tmp_path: Path
) -> None:
    with closing(redis.Redis.from_url(clean_redis)) as client:
        client.mset({f"decide:{n}": "{}" for n in range(5)})
    settings = of_etcd(private_server("etcd", unsafe_no_fsync="yes").endpoint, redis_url=clean_redis)
    assert asked("etcd", settings)["etcd.keys"].verdict is UNKNOWN
    copied = with_run(settings, tmp_path, "decisions")
    check = asked("etcd", copied)["etcd.keys"]
    assert (check.verdict, check.said) == (BAD, "5 fewer than in Redis")
    with closing(EtcdClient(settings.etcd)) as sink:
        for n in range(6):
            sink.write("Put", rpc.PutRequest(key=f"/swarm/decide/{n}".encode(), value=b"{}"))
    assert asked("etcd", copied)["etcd.keys"].said == "as many as in Redis, and 1 more"


def test_redis_that_throws_keys_away_or_takes_no_writes(private_server: Start) -> None:
    server = private_server("redis")
    settings = of_redis(server.endpoint)
    assert set(verdicts("redis", settings).values()) <= {FINE, WORRY}
    with closing(redis.Redis.from_url(server.endpoint)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "3mb")
        assert verdicts("redis", settings)["eviction"] is WORRY
        for n in range(60):
            client.set(f"decide:{n}", b"x" * 100_000)
        assert verdicts("redis", settings)["eviction"] is BAD
        client.replicaof("127.0.0.1", "1")
        check = asked("redis", settings)["redis.writable"]
    assert check.verdict is BAD
    assert "127.0.0.1:1" in check.remedy


async def _fill(url: str) -> None:
    import nats

    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="HEALTH", subjects=["health.>"])
    await jetstream.pull_subscribe("health.>", durable="reader")
    for n in range(5):
        await jetstream.publish(f"health.{n}", b"x")
    await client.close()


def test_a_stream_that_is_not_there_and_a_consumer_that_lags_are_worries(private_server: Start) -> None:
    server = private_server("nats")
    settings = Settings(site=SiteSettings(nats_url=server.endpoint, stream="HEALTH"))
    assert verdicts("nats", settings)["stream"] is WORRY
    asyncio.run(_fill(server.endpoint))
    checks = asked("nats", settings)
    assert checks["nats.stream"].verdict is FINE
    assert checks["nats.lag"].verdict is WORRY
    assert "by 5 messages" in checks["nats.lag"].said


def test_minio_that_refuses_the_key_still_tells_its_clock(
    minio: Server, unique_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = verdicts("minio", of_minio(minio, unique_bucket, "wrong-secret"))
    assert found == {"answers": FINE, "key": BAD, "clock": FINE, "space": UNKNOWN, "bucket": UNKNOWN}
    monkeypatch.setattr(guided_minio, "now", lambda: time.time() + 1200)
    check = asked("minio", of_minio(minio, unique_bucket))["minio.clock"]
    assert check.verdict is BAD
    assert "behind ours" in check.looked_at[0]


def test_a_bucket_that_a_run_has_filled_and_is_gone_is_bad(minio: Server, unique_bucket: str, tmp_path: Path) -> None:
    settings = of_minio(minio, unique_bucket)
    assert verdicts("minio", settings)["bucket"] is UNKNOWN
    copied = with_run(settings, tmp_path, "blobs-minio")
    assert verdicts("minio", copied)["bucket"] is BAD
    with S3Client(settings.s3) as client:
        ensure_bucket(client)
    assert asked("minio", copied)["minio.bucket"].said.endswith("the bucket is empty")


def test_a_batch_without_its_pin_and_a_blob_that_is_gone(private_server: Start, tmp_path: Path) -> None:
    settings = with_run(Settings(ipfs=IpfsSettings(api=private_server("kubo").endpoint)), tmp_path)
    body = b"may be collected"
    digest = hashlib.sha256(body).digest()
    key, cid = digest.hex().encode(), Cid.raw(digest)
    assert verdicts("ipfs", settings)["pins"] is UNKNOWN
    with closing(Journal.join(place_of(settings).journal)) as journal, KuboApi(settings.ipfs) as api:
        step, tag = journal.step("blobs-ipfs"), f"{journal.run_id}-1"
        IpfsSink(api).write([Record(key, digest, len(body), body)], tag)
        step.commit([Batch(1, tag, (Wanted(key, digest, len(body)),))])
        step.commit(closed=[ClosedBatch(1, (Receipt(key, digest, len(body), ReceiptFate.CREATED, str(cid), 1),))])
        assert verdicts("ipfs", settings) == {"answers": FINE, "pins": FINE, "storage": FINE, "blobs": FINE}
        api.unpin(next(pinned_batches(api, tag)).root)
        assert verdicts("ipfs", settings)["pins"] is BAD
        assert verdicts("ipfs", settings)["blobs"] is FINE
        api.remove_block(cid)
    check = asked("ipfs", settings)["ipfs.blobs"]
    assert check.verdict is BAD
    assert any(str(cid) in line for line in check.looked_at)


def test_a_policy_that_a_restart_has_lost_is_bad(private_server: Start, tmp_path: Path) -> None:
    settings = Settings(opa=OpaSettings(url=private_server("opa").endpoint))
    assert verdicts("opa", settings) == {"answers": FINE, "policy": UNKNOWN, "decisions": UNKNOWN}
    check = asked("opa", with_run(settings, tmp_path, "policy-opa"))["opa.policy"]
    assert check.verdict is BAD
    assert "gone" in check.said


def test_a_wasm_without_its_entrypoint(tmp_path: Path) -> None:
    settings = with_run(Settings(), tmp_path)
    assert set(verdicts("wasm", settings).values()) == {FINE}
    source = load_source(settings.policy)
    rego = tmp_path / "other.rego"
    rego.write_text("package swarm.envelope\n\nallow if input.envelope.kind\n")
    bundle = tmp_path / "b.tar.gz"
    build = [str(ensure("opa")), "build", "-t", "wasm", "-e", "swarm/envelope/allow", "-o", str(bundle), str(rego)]
    subprocess.run(build, check=True, cwd=tmp_path)
    subprocess.run(["tar", "xzf", str(bundle), "-C", str(tmp_path), "/policy.wasm"], check=True, capture_output=True)
    folder = place_of(settings).folder / FOLDER
    folder.mkdir()
    for record in files_of(source, Built((tmp_path / "policy.wasm").read_bytes(), "1.0", "")):
        assert isinstance(record.body, bytes)
        (folder / record.key.decode()).write_bytes(record.body)
    found = asked("wasm", settings)
    assert found["wasm.file"].verdict is FINE
    assert found["wasm.entrypoints"].verdict is BAD
    assert "swarm/envelope/decision" in found["wasm.entrypoints"].said
    (folder / "policy.wasm").write_bytes(b"")
    damaged = asked("wasm", settings)
    assert damaged["wasm.file"].verdict is BAD
    assert damaged["wasm.entrypoints"].verdict is UNKNOWN


@pytest.mark.parametrize("partitions", [0, 3])
def test_a_plan_document_is_loaded_counted_and_merged(tmp_path: Path, partitions: int) -> None:
    settings = site_with(tmp_path, HISTORY, partitions).model_copy(update={"state_dir": tmp_path / "state"})
    checks = asked("automerge", settings)
    assert checks["automerge.file"].verdict is FINE
    assert checks["automerge.ops"].verdict is UNKNOWN  # this site has no plan.db to compare with
    assert checks["automerge.merge"].verdict is FINE
    assert in_a_shell(checks["automerge.ops"]).startswith("5 ops")
    document = min(settings.site.plan_partitions.glob("*.bin"), default=settings.site.plan_document)
    document.write_bytes(b"")
    empty = asked("automerge", settings)
    assert empty["automerge.file"].verdict is BAD
    assert "empty" in empty["automerge.file"].said
    assert empty["automerge.merge"].verdict is UNKNOWN


def test_a_plan_document_that_is_not_there_is_bad_only_after_a_run(v1_site: Path, tmp_path: Path) -> None:
    settings = Settings(site=SiteSettings(root=v1_site), state_dir=tmp_path / "state")
    assert set(verdicts("automerge", settings).values()) == {UNKNOWN}
    assert set(verdicts("automerge", with_run(settings, tmp_path, "plan-store")).values()) == {BAD}


def test_a_stopped_server_is_down_again(private_server: Start) -> None:
    server = private_server("opa")
    process.stop(server.running)
    assert asked("opa", Settings(opa=OpaSettings(url=server.endpoint)))["opa.answers"].said.startswith("it is down")
