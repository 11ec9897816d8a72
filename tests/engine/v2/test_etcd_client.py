"""Reading etcd in pages, and several endpoints that come and go."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Refused, SettingsError, Unreachable
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2 import etcd_client
from canswarm_tui.engine.v2.etcd_client import EtcdClient, range_end
from canswarm_tui.engine.v2.etcd_facts import may_write, read_facts
from canswarm_tui.engine.v2.etcd_stubs import rpc
from tests.certificates import certificate
from tests.engine.v2.etcd_process import answers, client_of, put, running_cluster, running_etcd, until


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[EtcdClient]:
    with client_of(etcd_endpoint) as client:
        yield client


@pytest.fixture
def prefix() -> bytes:
    return f"/test/{uuid.uuid4().hex}/".encode()


def test_a_scan_gives_every_key_once_in_the_order_of_bytes_over_many_pages(
    client: EtcdClient, prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "PAGE", 7)
    keys = sorted(
        prefix + name for name in [b"", b"\x00", b"\xff\xff", "ä/:ß".encode(), *(b"%d" % n for n in range(40))]
    )
    for key in reversed(keys):
        put(client, key, b"v" + key)
    put(client, range_end(prefix), b"the neighbour")
    found = list(client.scan(prefix))
    assert [e.key for e in found] == keys
    assert [e.value for e in found] == [b"v" + key for key in keys]
    assert all(e.version == 1 and e.create_revision == e.mod_revision for e in found)
    assert [e.key for e in client.scan(prefix, after=keys[10])] == keys[11:]
    assert client.count(prefix) == len(keys)


def test_a_scan_shows_the_moment_when_it_began(
    client: EtcdClient, prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "PAGE", 2)
    for n in range(6):
        put(client, prefix + b"%d" % n, b"before")
    scan = client.scan(prefix)
    next(scan)
    put(client, prefix + b"5", b"after")
    put(client, prefix + b"6", b"after")
    assert [e.value for e in scan] == [b"before"] * 5


def test_a_scan_goes_on_when_its_moment_is_compacted_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "PAGE", 2)
    with running_etcd(tmp_path) as etcd, client_of(etcd.endpoint) as client:
        for n in range(6):
            put(client, b"/t/%d" % n)
        scan = client.scan(b"/t/")
        first = next(scan)
        put(client, b"/t/6")
        newest = client.page(b"/t/").revision
        kv = rpc.KVStub(client._current()._client.channel)
        kv.Compact(rpc.CompactionRequest(revision=newest, physical=True), 5)
        assert [first.key, *(e.key for e in scan)] == [b"/t/%d" % n for n in range(7)]


def test_many_keys_are_read_at_once_in_the_order_asked_for(client: EtcdClient, prefix: bytes) -> None:
    for n in range(0, 300, 3):
        put(client, prefix + b"%d" % n, b"%d" % n)
    found = client.get_many([prefix + b"%d" % n for n in range(300)])
    assert [e and e.value for e in found] == [b"%d" % n if n % 3 == 0 else None for n in range(300)]


@pytest.mark.parametrize(("prefix", "end"), [(b"/a/", b"/a0"), (b"a\xff\xff", b"b"), (b"\xff", b"\0"), (b"", b"\0")])
def test_a_range_ends_after_the_last_key_with_its_prefix(prefix: bytes, end: bytes) -> None:
    assert range_end(prefix) == end


def test_a_dead_endpoint_among_several_is_passed_over_for_reads_and_writes(etcd_endpoint: str, prefix: bytes) -> None:
    with client_of("http://127.0.0.1:1", etcd_endpoint) as client:
        assert client.count(prefix) == 0
        assert client.endpoint == etcd_endpoint
    with client_of("http://127.0.0.1:1", etcd_endpoint) as client:
        with pytest.raises(Unreachable) as caught:
            put(client, prefix + b"x")
        assert caught.value.subject == "http://127.0.0.1:1"
        put(client, prefix + b"x", b"second try")
        found = client.get(prefix + b"x")
        assert found is not None
        assert found.value == b"second try"


def test_nobody_there_is_unreachable_at_once() -> None:
    with client_of("http://127.0.0.1:1", "http://127.0.0.1:2") as client, pytest.raises(Unreachable):
        client.count(b"/")


def test_a_frozen_server_is_unreachable_within_the_time_out_and_the_same_client_goes_on_after(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd, client_of(etcd.endpoint, timeout_s=1.0) as client:
        put(client, b"/a")
        etcd.freeze()
        began = time.monotonic()
        with pytest.raises(Unreachable):
            client.count(b"/")
        assert time.monotonic() - began < 2.0
        with client_of(etcd.endpoint, timeout_s=1.0) as newcomer, pytest.raises(Unreachable):
            newcomer.count(b"/")
        time.sleep(3.0)
        etcd.thaw()
        began = time.monotonic()
        until(lambda: answers(client), what="the client answers again")
        assert time.monotonic() - began < 2.5


def test_the_same_client_goes_on_soon_after_a_server_was_away_for_long(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd, client_of(etcd.endpoint, timeout_s=1.0) as client:
        put(client, b"/a", b"kept")
        etcd.kill()
        gone_until = time.monotonic() + 6
        while time.monotonic() < gone_until:
            with pytest.raises(Unreachable):
                client.count(b"/")
            time.sleep(0.2)
        etcd.start()
        with client_of(etcd.endpoint) as fresh:
            until(lambda: answers(fresh), what="etcd answers")
        began = time.monotonic()
        until(lambda: answers(client), what="the old client answers")
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"endpoints": ["https://127.0.0.1:2379"]}, "etcd.ca"),
        ({"endpoints": ["https://127.0.0.1:2379"], "ca": "no-such-file.pem"}, "etcd.ca"),
        ({"ca": "ca.pem"}, "etcd.endpoints"),
        ({"endpoints": ["https://127.0.0.1:2379"], "ca": "ca.pem", "cert": "c.pem"}, "etcd.cert"),
        ({"user": "root"}, "etcd.user"),
    ],
)
def test_settings_that_contradict_each_other_are_named(changes: dict[str, object], subject: str) -> None:
    with pytest.raises(SettingsError) as caught:
        EtcdClient(EtcdSettings.model_validate(changes))
    assert caught.value.subject == subject


def test_tls_is_checked_against_the_ca(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    stranger, _ = certificate(tmp_path / "stranger")
    served = (f"--cert-file={cert}", f"--key-file={key}")
    with running_etcd(tmp_path / "etcd", scheme="https", extra=served, settings={"ca": cert}) as etcd:
        with client_of(etcd.endpoint, ca=cert) as client:
            put(client, b"/a", b"1")
            assert client.count(b"/a") == 1
        with client_of(etcd.endpoint, ca=stranger, timeout_s=3.0) as client, pytest.raises(Refused) as caught:
            client.count(b"/")
        assert "TLS" in caught.value.happened


def test_a_client_certificate_is_shown_where_etcd_wants_one(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    mutual = (f"--cert-file={cert}", f"--key-file={key}", "--client-cert-auth", f"--trusted-ca-file={cert}")
    settings = {"ca": cert, "cert": cert, "key": key}
    with running_etcd(tmp_path / "etcd", scheme="https", extra=mutual, settings=settings) as etcd:
        with client_of(etcd.endpoint, ca=cert, cert=cert, key=key) as client:
            assert client.count(b"/") == 0
        with client_of(etcd.endpoint, ca=cert, timeout_s=2.0) as client, pytest.raises(Refused) as caught:
            client.count(b"/")
        assert "etcd.cert" in caught.value.remedy


def test_the_death_of_a_leader_is_one_failed_write_and_then_another_member_takes_over(tmp_path: Path) -> None:
    with running_cluster(tmp_path, 3) as members, client_of(*(m.endpoint for m in members)) as client:
        put(client, b"/t/before")
        leader = next(m for m in members if read_facts(client).leader == m.name)
        while client.endpoint != leader.endpoint:
            client._doubt(client._current())
        assert client.count(b"/t/") == 1
        leader.kill()
        with pytest.raises(Unreachable):
            put(client, b"/t/lost")
        until(lambda: _puts(client, b"/t/after"), what="another member leads")
        assert client.endpoint != leader.endpoint
        assert [e.key for e in client.scan(b"/t/")] == [b"/t/after", b"/t/before"]
        facts = read_facts(client)
        assert facts.has_leader
        assert len(facts.members) == 3


def _puts(client: EtcdClient, key: bytes) -> bool:
    try:
        put(client, key)
    except Unreachable:
        return False
    return True


def test_facts_are_read_from_the_server(tmp_path: Path) -> None:
    quota = f"--quota-backend-bytes={64 * 1024**2}"
    with running_etcd(tmp_path, extra=(quota,)) as etcd, client_of(etcd.endpoint) as client:
        put(client, b"/a")
        facts = read_facts(client)
    assert facts.endpoint == etcd.endpoint
    assert facts.version_tuple >= (3, 6)
    assert facts.quota_bytes == 64 * 1024**2
    assert facts.leader == "default"
    assert facts.has_leader
    assert facts.revision == 2
    assert 0 < facts.db_in_use_bytes <= facts.db_size_bytes
    assert facts.alarms == ()
    assert facts.auth_enabled is False
    assert [m.client_urls for m in facts.members] == [(etcd.endpoint,)]


def _enable_auth(client: EtcdClient) -> None:
    auth = rpc.AuthStub(client._current()._client.channel)
    auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="topsecret"), 5)
    auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"), 5)
    auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"), 5)
    auth.UserAdd(rpc.AuthUserAddRequest(name="swarm", password="guessme"), 5)
    auth.RoleAdd(rpc.AuthRoleAddRequest(name="swarm"), 5)
    auth.RoleGrantPermission(
        rpc.AuthRoleGrantPermissionRequest(
            name="swarm", perm={"permType": "READWRITE", "key": b"/swarm/", "range_end": b"/swarm0"}
        ),
        5,
    )
    auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="swarm", role="swarm"), 5)
    auth.AuthEnable(rpc.AuthEnableRequest(), 5)


def test_users_passwords_and_permissions(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        with client_of(etcd.endpoint) as client:
            _enable_auth(client)
            with pytest.raises(Refused, match=r"etcd\.user"):
                client.count(b"/swarm/")
        with client_of(etcd.endpoint, user="swarm", password="wrong") as client, pytest.raises(Refused) as caught:
            client.count(b"/swarm/")
        assert "wrong" not in str(caught.value)
        with client_of(etcd.endpoint, user="swarm", password="guessme") as client:
            put(client, b"/swarm/decide/a", b"1")
            before = client.page(b"/swarm/").revision
            may_write(client, b"/swarm/decide/b")
            with pytest.raises(Refused, match="may not"):
                may_write(client, b"/elsewhere")
            assert client.page(b"/swarm/").revision == before
            assert client.count(b"/swarm/") == 1
            assert read_facts(client).version_tuple >= (3, 6)


def test_a_user_for_an_etcd_without_authentication_does_no_harm(etcd_endpoint: str, prefix: bytes) -> None:
    with client_of(etcd_endpoint, user="swarm", password="unneeded") as client:
        put(client, prefix + b"a")
        assert client.count(prefix) == 1
        assert read_facts(client).auth_enabled is False


def test_a_log_in_that_etcd_forgot_is_made_again(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        with client_of(etcd.endpoint) as client:
            _enable_auth(client)
        with client_of(etcd.endpoint, user="swarm", password="guessme") as client:
            put(client, b"/swarm/a", b"1")
            etcd.kill()
            etcd.start()
            until(lambda: answers_under(client, b"/swarm/"), what="etcd answers")
            etcd.kill()
            etcd.start()
            with client_of(etcd.endpoint, user="swarm", password="guessme") as other:
                until(lambda: answers_under(other, b"/swarm/"), what="etcd answers")
            found = client.get_many([b"/swarm/a"])
            assert [e and e.value for e in found] == [b"1"]


def answers_under(client: EtcdClient, prefix: bytes) -> bool:
    try:
        client.count(prefix)
    except Unreachable:
        return False
    return True
