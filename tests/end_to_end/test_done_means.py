"""The real v1 site goes from nothing but settings to proved, with one command; the same again writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from canswarm_tui.engine.settings import EtcdSettings, IpfsSettings, S3Settings
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_facts import read_facts
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.sandbox.servers import Server
from tests.conftest import V1_SITE
from tests.end_to_end.places import Place, Servers, load_redis, make_place

STEPS = ("backup", "blobs-minio", "blobs-ipfs", "decisions", "plan-store", "policy-opa", "policy-wasm", "verification")


@pytest.fixture
def fresh(private_server: Callable[..., Server], nats_url: str, tmp_path: Path) -> Place:
    """The real site beside servers that nobody else uses."""
    started = {name: private_server(name) for name in ("redis", "etcd", "minio", "kubo", "opa")}
    servers = Servers(
        started["redis"].endpoint, nats_url, started["etcd"].endpoint, started["minio"], started["kubo"].endpoint,
        started["opa"].endpoint,
    )  # fmt: skip
    load_redis(V1_SITE, servers.redis)
    return make_place(tmp_path / "done", V1_SITE, servers)


def targets(place: Place) -> dict[str, object]:
    """What a write to any target would change."""
    env = place.environment
    etcd = EtcdClient(EtcdSettings(endpoints=(env["CANSWARM_ETCD__ENDPOINTS"],)))
    revision = read_facts(etcd).revision
    etcd.close()
    s3 = S3Settings(
        endpoint=env["CANSWARM_S3__ENDPOINT"], access_key=env["CANSWARM_S3__ACCESS_KEY"],
        secret_key=env["CANSWARM_S3__SECRET_KEY"], bucket=env["CANSWARM_S3__BUCKET"],
    )  # fmt: skip
    with S3Client(s3) as client:
        objects = {o.object_name: o.last_modified for o in client.api.list_objects(client.bucket, recursive=True)}
    with KuboApi(IpfsSettings(api=env["CANSWARM_IPFS__API"])) as api:
        pins = {(p.cid, p.name) for p in api.pins("recursive")}
    policies = httpx.get(env["CANSWARM_OPA__URL"] + "/v1/policies").json()["result"]
    document = place.folder / "site" / ".state" / "plan_automerge.bin"
    return {
        "etcd revision": revision,
        "objects": objects,
        "pins": pins,
        "policies": {p["id"]: p["raw"] for p in policies},
        "plan document": (document.stat().st_mtime_ns, document.read_bytes()),
    }


def test_the_real_site_is_migrated_and_proved_by_one_command_and_a_second_one_writes_nothing(fresh: Place) -> None:
    done = fresh.program("run", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["format"], answer["command"], answer["exit_code"], answer["error"]) == (
        "canswarm-tui/1",
        "run",
        0,
        None,
    )
    steps = {step["step"]: step for step in answer["steps"]}
    assert {name: steps[name]["state"] for name in STEPS} == dict.fromkeys(STEPS, "proved")
    assert steps["verification"]["verdict"]["differences"] == 0
    assert steps["plan-store"]["verdict"]["comparisons"][0]["compared"] == 578
    assert (steps["decisions"]["outcome"]["created"], steps["blobs-minio"]["outcome"]["created"]) == (37, 57)
    assert answer["waiting"] == 0
    before = targets(fresh)
    again = fresh.program("run", "--yes", "--json")
    assert again.returncode == 0, again.stderr
    assert targets(fresh) == before
    outcomes = {step["step"]: step["outcome"] for step in json.loads(again.stdout)["steps"]}
    assert sum(outcomes[name]["created"] for name in STEPS) == 0


def test_no_secret_is_told_anywhere(fresh: Place) -> None:
    done = fresh.program("run", "preflight", "documentation", "backup", "blobs-minio", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    secret = fresh.environment["CANSWARM_S3__SECRET_KEY"]
    site_key = (V1_SITE / ".env").read_text().split("SK_B64=")[1].split()[0]
    told = done.stdout + done.stderr
    kept = [p for p in (fresh.folder / "state" / "sites").rglob("*") if p.is_file()]
    assert kept
    for one in (secret, site_key):
        assert one not in told
        assert [p.name for p in kept if one.encode() in p.read_bytes()] == []
