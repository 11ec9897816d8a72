from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from pydantic import SecretStr

from canswarm_tui.engine.errors import NoSpace, Refused
from canswarm_tui.engine.health.etcd import DecisionKeys, look, watch
from canswarm_tui.engine.health.etcd_keys import KeyChange
from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.engine.settings import EtcdSettings, Settings, SiteSettings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.frozen import wait_frozen

Start = Callable[..., Server]


def of(*endpoints: str, prefix: str = "/swarm/decide/", redis_url: str = "redis://127.0.0.1:1/0") -> Settings:
    etcd = EtcdSettings(endpoints=endpoints, prefix=prefix, timeout_s=1.5)
    return Settings(etcd=etcd, site=SiteSettings(redis_url=redis_url))


def put(settings: Settings, key: str, value: bytes) -> None:
    with closing(EtcdClient(settings.etcd)) as client:
        client.write("Put", rpc.PutRequest(key=(settings.etcd.prefix + key).encode(), value=value))


@pytest.fixture
def prefixed(etcd_endpoint: str, tmp_path: object) -> Settings:
    return of(etcd_endpoint, prefix=f"/test{tmp_path}/")


def test_a_healthy_member_tells_latency_leader_and_size_against_quota(etcd_endpoint: str) -> None:
    found = look(of(etcd_endpoint))
    assert found.condition is Condition.ANSWERS
    facts = dict(found.sections[0].facts)
    assert isinstance(facts["latency ms"], float)
    assert facts["latency ms"] > 0
    assert str(facts["version"]).startswith("3.")
    assert int(facts["raft term"]) >= 1
    assert int(facts["db in use bytes"]) <= int(facts["db bytes"])
    assert [s.title for s in found.sections] == [f"endpoint {etcd_endpoint}", "members", "store"]


def test_one_endpoint_that_is_down_is_a_worry_and_the_cluster_answers(etcd_endpoint: str) -> None:
    found = look(of("http://127.0.0.1:1", etcd_endpoint))
    assert found.condition is Condition.ANSWERS
    assert dict(found.sections[0].facts)["condition"] == "down"
    assert [w.subject for w in found.worries] == ["http://127.0.0.1:1"]


def test_a_frozen_server_is_slow_and_a_stopped_one_down(private_server: Start) -> None:
    server = private_server("etcd")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert look(of(server.endpoint)).condition is Condition.SLOW
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    process.stop(server.running)
    gone = look(of(server.endpoint))
    assert gone.condition is Condition.DOWN
    assert gone.error is not None


def test_a_wrong_password_is_told_as_a_refusal(private_server: Start) -> None:
    settings = of(private_server("etcd").endpoint)
    with closing(EtcdClient(settings.etcd)) as client:
        auth = rpc.AuthStub(client._current()._client.channel)
        auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="right"), 5)
        auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"), 5)
        auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"), 5)
        auth.AuthEnable(rpc.AuthEnableRequest(), 5)
    wrong = settings.etcd.model_copy(update={"user": "root", "password": SecretStr("wrong")})
    found = look(settings.model_copy(update={"etcd": wrong}))
    assert found.condition is Condition.REFUSES
    assert isinstance(found.error, Refused)
    right = settings.etcd.model_copy(update={"user": "root", "password": SecretStr("right")})
    assert look(settings.model_copy(update={"etcd": right})).condition is Condition.ANSWERS


def test_a_user_with_rights_under_the_prefix_alone_sees_all_of_it(private_server: Start) -> None:
    endpoint = private_server("etcd").endpoint

    def etcdctl(*words: str) -> None:
        subprocess.run([str(ensure("etcdctl")), f"--endpoints={endpoint}", *words], check=True, capture_output=True)

    for words in (
        "user add root:right", "role add root", "user grant-role root root", "user add swarm:pw", "role add decide",
        "role grant-permission decide --prefix=true readwrite /swarm/decide/", "user grant-role swarm decide",
        "put /swarm/decide/a 1", "put /swarm/decide/a 2", "compact 3", "auth enable",
    ):  # fmt: skip
        etcdctl(*words.split())
    settings = of(endpoint)
    limited = settings.etcd.model_copy(update={"user": "swarm", "password": SecretStr("pw")})
    found = look(settings.model_copy(update={"etcd": limited}))
    assert found.condition is Condition.ANSWERS, found.error
    store = dict(found.sections[-1].facts)
    assert (store["decisions"], store["compacted"]) == (1, "3")


def test_a_quota_that_is_full_comes_with_its_meaning_and_remedy(private_server: Start) -> None:
    settings = of(private_server("etcd", quota_bytes="2000000").endpoint)
    with suppress(NoSpace):
        for n in range(60):
            put(settings, f"k{n}", b"x" * 100_000)
    codes = {worry.code: worry for worry in look(settings).worries}
    assert "defrag" in codes["etcd.alarm"].remedy
    assert "etcd.quota" in codes


def test_the_compacted_revision_is_told(private_server: Start) -> None:
    settings = of(private_server("etcd").endpoint)
    for n in range(5):
        put(settings, "k", str(n).encode())
    assert dict(look(settings).sections[-1].facts)["compacted"] == "never"
    with closing(EtcdClient(settings.etcd)) as client:
        channel = client._current()._client.channel
        rpc.KVStub(channel).Compact(rpc.CompactionRequest(revision=4), 5)
    assert dict(look(settings).sections[-1].facts)["compacted"] == "4"


def test_keys_are_paged_in_order_and_searched(prefixed: Settings) -> None:
    for n in range(7):
        put(prefixed, f"need-{n}", b"{}")
    put(prefixed, "other", b"{}")
    keys = DecisionKeys(prefixed)
    seen: list[str] = []
    after = None
    while True:
        page = keys.page(after=after, limit=3, prefix="need")
        assert page.total == 7
        seen += [entry.key for entry in page.entries]
        if (after := page.after) is None:
            break
    assert seen == [f"need-{n}" for n in range(7)]


def test_an_opened_key_is_compared_with_redis(prefixed: Settings, clean_redis: str) -> None:
    import redis

    with closing(redis.Redis.from_url(clean_redis)) as client:
        client.set("decide:same", b"one")
        client.set("decide:parted", b"one")
    settings = prefixed.model_copy(update={"site": SiteSettings(redis_url=clean_redis)})
    put(settings, "same", b"one")
    put(settings, "parted", b"two")
    keys = DecisionKeys(settings)
    assert dict(keys.open("same")[1].facts)["compared"] == "equal"
    assert str(dict(keys.open("parted")[1].facts)["compared"]).startswith("DIFFERS")
    assert dict(keys.open("nowhere")[0].facts)["found"] == "it is not there"
    assert dict(DecisionKeys(prefixed).open("same")[0].facts)["value"] == "one"


def test_changes_are_seen_live_until_the_watch_is_stopped(prefixed: Settings) -> None:
    stop, seen = StopSignal(), list[KeyChange]()
    first = threading.Event()

    def follow() -> None:
        changes: Iterator[KeyChange] = watch(prefixed, stop)
        for change in changes:
            seen.append(change)
            first.set()

    thread = threading.Thread(target=follow)
    thread.start()
    for n in range(50):
        put(prefixed, "k", str(n).encode())
        if first.wait(0.1):
            break
    stop.set("the test has seen enough")
    thread.join(5)
    assert not thread.is_alive()
    assert seen[0].key == "k"
    assert seen[0].what in ("created", "changed")
