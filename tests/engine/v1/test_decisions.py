from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import redis

from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.v1.decisions import (
    BadDecision,
    Decision,
    Fault,
    Move,
    Moved,
    moved,
    read,
    scan,
    server_facts,
)
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address

WHERE = "Redis of the test"


@pytest.fixture
def client(clean_redis: str) -> Iterator[redis.Redis]:
    connection = connect_redis(SiteSettings(redis_url=clean_redis))
    yield connection
    connection.close()


def value(need_id: str, **changes: object) -> bytes:
    fields = {
        "need_id": need_id,
        "proposal_id": "p",
        "epoch": 1,
        "lamport": 2,
        "k_plan": 1,
        "decider_id": "d",
        "timestamp_ns": 2**60,
    }
    return json.dumps(fields | changes).encode()


def found(client: redis.Redis) -> list[Decision | BadDecision]:
    with Spool() as spool:
        scan(client, WHERE, spool)
        return list(read(spool))


def test_the_decisions_of_a_real_site_come_verbatim_and_sorted(v1_site: Path, client: redis.Redis) -> None:
    rows = [json.loads(line) for line in (v1_site / "redis.jsonl").read_text().splitlines()]
    for row in rows:
        client.set(row["key"], row["value"])
    client.set("another:key", "x")
    decisions = found(client)
    bodies = {row["key"].removeprefix("decide:").encode(): row["value"].encode() for row in rows}
    assert len(decisions) == len(rows) == 37
    assert all(isinstance(one, Decision) and one.ttl_ms is None for one in decisions)
    records = [one.record for one in decisions if isinstance(one, Decision)]
    assert [record.key for record in records] == sorted(bodies)
    for record in records:
        body = bodies[record.key]
        assert (record.body, record.size, record.digest) == (body, len(body), sha256(body).digest())


@pytest.mark.parametrize("need_id", ["default-need", "a:b/c", "nöd \U0001f600", "", " ", "*?[x]", "a\nb\0c"])
def test_a_need_id_is_free_text(client: redis.Redis, need_id: str) -> None:
    client.set(f"decide:{need_id}", value(need_id))
    (one,) = found(client)
    assert isinstance(one, Decision)
    assert (one.need_id, one.record.key) == (need_id, need_id.encode())


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"{", Fault.BAD_JSON),
        (b"\xff", Fault.BAD_JSON),
        (b"", Fault.BAD_JSON),
        (b"[" * 100_000, Fault.BAD_JSON),
        (b"[1]", Fault.NOT_AN_OBJECT),
        (b'{"need_id": "n"}', Fault.FIELD_MISSING),
        (value("n", epoch="1"), Fault.FIELD_MISTYPED),
        (value("n", epoch=True), Fault.FIELD_MISTYPED),
        (value("n", lamport=1.0), Fault.FIELD_MISTYPED),
        (value("n", decider_id=None), Fault.FIELD_MISTYPED),
        (value("m"), Fault.NEED_ID_DIFFERS),
    ],
)
def test_a_value_that_is_no_decision_is_told(client: redis.Redis, raw: bytes, fault: Fault) -> None:
    client.set("decide:n", raw)
    (bad,) = found(client)
    assert isinstance(bad, BadDecision)
    assert (bad.fault, bad.name, bad.value) == (fault, "decide:n", raw[:4096])


def test_keys_of_other_types_and_in_no_utf8_are_told(client: redis.Redis) -> None:
    client.rpush("decide:list", "x")
    client.hset("decide:hash", "a", "b")
    client.set(b"decide:\xff", value("x"))
    rows = [(bad.name, bad.fault) for bad in found(client) if isinstance(bad, BadDecision)]
    assert rows == [
        ("decide:hash", Fault.WRONG_TYPE),
        ("decide:list", Fault.WRONG_TYPE),
        ("decide:\\xff", Fault.KEY_NOT_UTF8),
    ]


def test_a_time_to_live_is_told(client: redis.Redis) -> None:
    client.set("decide:a", value("a"), px=500_000)
    client.set("decide:b", value("b"))
    a, b = found(client)
    assert isinstance(a, Decision)
    assert isinstance(b, Decision)
    assert a.ttl_ms is not None
    assert 400_000 < a.ttl_ms <= 500_000
    assert b.ttl_ms is None


def test_many_keys_are_found_once_each_and_counted(client: redis.Redis) -> None:
    pipe = client.pipeline()
    for at in range(5000):
        pipe.set(f"decide:{at}", value(str(at)))
    pipe.execute()
    seen: list[int] = []
    with Spool() as spool:
        assert scan(client, WHERE, spool, seen.append) == len(spool) == 5000
        keys = [one.record.key for one in read(spool) if isinstance(one, Decision)]
    assert keys == sorted(str(at).encode() for at in range(5000))
    assert seen[-1] == 5000
    assert len(seen) > 1


def test_what_moves_between_two_scans_is_named(client: redis.Redis) -> None:
    for name in ("gone", "same", "changed"):
        client.set(f"decide:{name}", value(name), px=900_000)
    with Spool() as first, Spool() as second:
        scan(client, WHERE, first)
        client.delete("decide:gone")
        client.set("decide:changed", value("changed", epoch=2))
        client.set("decide:new", value("new"))
        client.persist("decide:same")
        scan(client, WHERE, second)
        assert list(moved(first, second)) == [
            Moved("decide:changed", Move.CHANGED),
            Moved("decide:gone", Move.VANISHED),
            Moved("decide:new", Move.APPEARED),
        ]
        assert list(moved(second, second)) == []


def test_the_server_tells_of_itself_and_of_others(client: redis.Redis, clean_redis: str) -> None:
    client.set("decide:a", value("a"), px=500_000)
    client.set("b", "c")
    alone = server_facts(client, WHERE)
    assert alone.writers == ()
    assert (alone.keys, alone.expiring_keys) == (2, 1)
    assert alone.version.split(".")[0].isdigit()
    assert alone.used_memory_bytes > 100_000
    other = redis.Redis.from_url(clean_redis, client_name="v1-worker")
    other.get("b")
    assert ["v1-worker" in writer for writer in server_facts(client, WHERE).writers] == [True]
    other.close()


def test_the_address_shows_no_password() -> None:
    site = SiteSettings(redis_url="rediss://bob:hunter2@redis.example:7000/3")
    assert redis_address(site) == "Redis redis.example:7000/3"
    assert redis_address(SiteSettings()) == "Redis 127.0.0.1:6379/0"
