"""One look at each server that the settings name: whether it answers, what it is, how long it took. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.place import without_secrets
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Figure


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of one look; `error` is None when the server answered as it should."""

    name: str
    address: str
    took_ms: float
    facts: Mapping[str, Figure] = field(default_factory=dict)
    error: EngineError | None = None


Facts = dict[str, Figure]


def probe(name: str, settings: Settings) -> Probe:
    """Look at one of `SERVERS` once, within its time-out."""
    address_of, look = _LOOKS[name]
    began, address = time.perf_counter(), ""
    facts: Facts = {}
    error: EngineError | None = None
    try:
        with mistakes_told(name):
            address = address_of(settings)
            facts = look(settings)
    except EngineError as exc:
        error = exc
    return Probe(name, address, round((time.perf_counter() - began) * 1000, 1), facts, error)


def _redis(settings: Settings) -> Facts:
    from canswarm_tui.engine.v1.decisions import server_facts
    from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address

    client = connect_redis(settings.site)
    try:
        facts = server_facts(client, redis_address(settings.site))
    finally:
        client.close()
    return {
        "version": facts.version, "keys": facts.keys, "memory bytes": facts.used_memory_bytes, "clients": facts.clients,
        "persistence": facts.persistence,
    }  # fmt: skip


def _nats(settings: Settings) -> Facts:
    from canswarm_tui.engine.v1.bus import bus_facts

    facts = bus_facts(settings.site)
    stream = settings.site.stream if facts.stream_exists else f"{settings.site.stream} (not there)"
    return {"version": facts.version, "stream": stream, "messages": facts.messages, "consumers": facts.consumers}


def _etcd(settings: Settings) -> Facts:
    from canswarm_tui.engine.v2.decisions import decision_sink
    from canswarm_tui.engine.v2.etcd_client import EtcdClient
    from canswarm_tui.engine.v2.etcd_facts import read_facts

    client = EtcdClient(settings.etcd)
    try:
        facts = read_facts(client)
        decisions = decision_sink(client, settings.etcd).count()
    finally:
        client.close()
    return {
        "version": facts.version, "endpoint": facts.endpoint,
        "leader": facts.leader or ("yes" if facts.has_leader else "none"),
        "raft term": facts.raft_term, "raft index": facts.raft_index, "revision": facts.revision,
        "db bytes": facts.db_size_bytes, "db in use bytes": facts.db_in_use_bytes,
        "quota bytes": facts.quota_bytes if facts.quota_bytes is not None else "not told (2 GiB by default)",
        "members": len(facts.members), "alarms": ", ".join(facts.alarms) or "none", "decisions": decisions,
    }  # fmt: skip


def _minio(settings: Settings) -> Facts:
    from canswarm_tui.engine.v2.s3_client import S3Client
    from canswarm_tui.engine.v2.s3_facts import bucket_facts, server_facts

    with S3Client(settings.s3) as client:
        server, bucket = server_facts(client), bucket_facts(client)
    return {
        "server": f"{server.kind} {server.version or ''}".strip() or "not told", "bucket": settings.s3.bucket,
        "bucket is there": "yes" if bucket.exists else "no", "versioned": "yes" if bucket.versioned else "no",
        "free bytes": server.free_bytes if server.free_bytes is not None else "not told",
    }  # fmt: skip


def _ipfs(settings: Settings) -> Facts:
    from canswarm_tui.engine.v2.kubo import KuboApi

    with KuboApi(settings.ipfs) as api:
        facts = api.facts()
        pins = api.count_pins()
    return {
        "version": facts.version, "peer id": facts.peer_id, "repo": facts.repo_path, "repo bytes": facts.repo_bytes,
        "StorageMax bytes": facts.storage_max_bytes, "objects": facts.objects,
        "peers": facts.peers if facts.peers is not None else "offline",
        **{f"pins {kind}": n for kind, n in pins.items()},
    }  # fmt: skip


def _opa(settings: Settings) -> Facts:
    from canswarm_tui.engine.http import bearer, check_status, http_client, http_errors

    opa = settings.opa
    subject = f"OPA {opa.url}"
    with (
        http_errors(subject),
        http_client(opa.url, timeout_s=opa.timeout_s, ca=opa.ca, authorization=bearer(opa.token)) as client,
    ):
        answer = client.get("/v1/policies")
        check_status(answer)
        policies = answer.json().get("result") or []
    return {"policies": len(policies), "ids": ", ".join(str(p.get("id")) for p in policies) or "none"}


def _plan_document(settings: Settings) -> Facts:
    from canswarm_tui.engine.v2.plan_document.target import read_index

    site = settings.site
    if site.plan_partitions.is_dir():
        documents = sorted(site.plan_partitions.glob("*.bin"))
        index = read_index(site.plan_partitions / "index.json")
        return {"form": "partitioned", "documents": len(documents), "bytes": sum(d.stat().st_size for d in documents),
                "index": "readable" if index else "missing"}  # fmt: skip
    if not site.plan_document.exists():
        return {"form": "not there yet"}
    return {"form": "one document", "bytes": site.plan_document.stat().st_size}


_Look = tuple[Callable[[Settings], str], Callable[[Settings], Facts]]
_LOOKS: Mapping[str, _Look] = {
    "redis": (lambda s: without_secrets(s.site.redis_url), _redis),
    "nats": (lambda s: without_secrets(s.site.nats_url), _nats),
    "etcd": (lambda s: ", ".join(s.etcd.endpoints), _etcd),
    "minio": (lambda s: f"{s.s3.endpoint}/{s.s3.bucket}", _minio),
    "ipfs": (lambda s: s.ipfs.api, _ipfs),
    "opa": (lambda s: s.opa.url, _opa),
    "automerge": (lambda s: str(s.site.plan_document), _plan_document),
}
SERVERS = tuple(_LOOKS)
