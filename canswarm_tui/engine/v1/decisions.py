"""v1's decisions, `decide:<need_id>` in Redis: scanned once into a sorted spool, then read from it as records.

SCAN may repeat a key and has no order, so the spool gives both. The bytes of a value are kept verbatim; what is not a
decision as v1 writes it is a `BadDecision`, never dropped. Non-UTF-8 keys, wrong types and bad JSON all arrive here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import redis

from canswarm_tui.engine.records import Record
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.v1.envelope import Json, parse_json
from canswarm_tui.engine.v1.redis_client import redis_errors

PREFIX: Final = b"decide:"
_SCAN_COUNT: Final = 2000
_PAGE_ROUNDS: Final = 50
"""Rounds of SCAN for one page: where few keys match, a page may come back short and not be the last."""
_HEADER: Final = 8
"""A spool entry is: time to live in ms + 1 or 0 for none (8 bytes), `v` or `t`, then the value or the type's name."""
_SHOWN_BYTES: Final = 4096
_FIELDS: Final = {
    "need_id": str,
    "proposal_id": str,
    "epoch": int,
    "lamport": int,
    "k_plan": int,
    "decider_id": str,
    "timestamp_ns": int,
}
"""A decision's fields, as v1 writes them."""


class Fault(StrEnum):
    """Why a `decide:*` key is no decision that can be migrated."""

    WRONG_TYPE = "wrong_type"
    KEY_NOT_UTF8 = "key_not_utf8"
    BAD_JSON = "bad_json"
    NOT_AN_OBJECT = "not_an_object"
    FIELD_MISSING = "field_missing"
    FIELD_MISTYPED = "field_mistyped"
    NEED_ID_DIFFERS = "need_id_differs"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as v1 writes it. `record.key` is the need id in UTF-8, `record.body` Redis's verbatim bytes."""

    need_id: str
    record: Record
    ttl_ms: int | None
    """Milliseconds until Redis forgets it; None for never, which is all that v1 writes."""


@dataclass(frozen=True, slots=True)
class BadDecision:
    """A `decide:*` key that can't be migrated."""

    key: bytes
    """The whole Redis key."""
    name: str
    """The key for people: bytes that are no UTF-8 escaped."""
    fault: Fault
    happened: str
    """The fact in words, such as `epoch is text`."""
    value: bytes
    """What is there, at most 4096 bytes; empty for a wrong type."""


class Move(StrEnum):
    APPEARED = "appeared"
    VANISHED = "vanished"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Moved:
    """A key that was not the same in two scans: somebody is writing."""

    name: str
    move: Move


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What Redis says about itself."""

    version: str
    used_memory_bytes: int
    clients: int
    """Connections, ours included."""
    keys: int
    """Keys of this database, of any name."""
    expiring_keys: int
    """Keys of this database that have a time to live."""
    writers: tuple[str, ...]
    """Other connections to this database: `address name last-command`."""
    persistence: str
    """`aof`, `rdb` or `none`: whether a crash of Redis would lose what is there."""


def scan(client: redis.Redis, address: str, spool: Spool, seen: Callable[[int], None] | None = None) -> int:
    """Puts every `decide:*` key into `spool`; returns how many. `seen` gets the count so far and may raise to stop.

    Promises what SCAN promises: every key that is there all the time; so compare two scans with `moved`.
    """
    found = 0
    with redis_errors(address):
        expiring = _keyspace(client)[1] > 0
        cursor = 0
        while True:
            cursor, keys = _ask(client, "SCAN", cursor, "MATCH", PREFIX + b"*", "COUNT", _SCAN_COUNT)
            if keys:
                found += spool.put_many(_entries(client, keys, expiring))
            if seen is not None:
                seen(found)
            if cursor == 0:
                return found


def read(spool: Spool) -> Iterator[Decision | BadDecision]:
    """What a scan found, sorted by key as bytes."""
    for key, entry in spool.items():
        yield _judge(key, entry)


def moved(first: Spool, second: Spool) -> Iterator[Moved]:
    """Keys that differ between two scans, sorted. Times to live are not compared: they run."""
    ours, theirs = first.items(), second.items()
    a, b = next(ours, None), next(theirs, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield Moved(shown_key(a[0]), Move.VANISHED)
            a = next(ours, None)
        elif a is None or b[0] < a[0]:
            yield Moved(shown_key(b[0]), Move.APPEARED)
            b = next(theirs, None)
        else:
            if a[1][_HEADER:] != b[1][_HEADER:]:
                yield Moved(shown_key(a[0]), Move.CHANGED)
            a, b = next(ours, None), next(theirs, None)


def shown_key(key: bytes) -> str:
    """A Redis key for people: bytes that are no UTF-8 escaped."""
    return key.decode("utf-8", "backslashreplace")


def value_of(client: redis.Redis, address: str, need_id: bytes) -> bytes | None:
    """The verbatim value of one decision; None where Redis has no string under its key."""
    with redis_errors(address):
        found = _ask(client, "MGET", PREFIX + need_id)[0]
    return found if isinstance(found, bytes) else None


def count_decisions(client: redis.Redis, address: str, keys_at_most: int) -> tuple[int, bool]:
    """(decisions, all keys were passed); SCAN may repeat a key, so while keys change the count is a little high."""
    cursor, count = 0, 0
    with redis_errors(address):
        for _ in range(max(1, keys_at_most // _SCAN_COUNT)):
            cursor, keys = _scan(client, cursor, PREFIX + b"*", _SCAN_COUNT)
            count += len(keys)
            if cursor == 0:
                return count, True
    return count, False


def absent(client: redis.Redis, address: str, need_ids: Sequence[bytes]) -> list[bytes]:
    """Those of the need ids under which Redis has no key at all, in their order."""
    with redis_errors(address):
        there = _pipelined(client, "EXISTS", [PREFIX + need_id for need_id in need_ids])
    return [need_id for need_id, found in zip(need_ids, there, strict=True) if not found]


def scan_page(
    client: redis.Redis, address: str, cursor: int, count: int, prefix: bytes = b""
) -> tuple[int, list[tuple[bytes, int]]]:
    """The next cursor (0: the end) and (need id, bytes) of about `count` decisions whose id begins with `prefix`."""
    pattern = re.sub(rb"([*?\[\]\\^-])", rb"\\\1", PREFIX + prefix) + b"*"
    found: list[bytes] = []
    with redis_errors(address):
        for _ in range(_PAGE_ROUNDS):
            cursor, keys = _scan(client, cursor, pattern, count)
            found += keys
            if cursor == 0 or len(found) >= count:
                break
        sizes = _pipelined(client, "STRLEN", found)
    return cursor, [
        (key[len(PREFIX) :], size if isinstance(size, int) else 0) for key, size in zip(found, sizes, strict=True)
    ]


def _scan(client: redis.Redis, cursor: int, pattern: bytes, count: int) -> tuple[int, list[bytes]]:
    following, keys = _ask(client, "SCAN", cursor, "MATCH", pattern, "COUNT", count)
    return int(following), list(keys)


def server_facts(client: redis.Redis, address: str) -> ServerFacts:
    """Asks INFO and CLIENT LIST; where an ACL forbids the list, `writers` is empty."""
    with redis_errors(address):
        info: dict[str, Any] = _ask(client, "INFO")
        keys, expiring = _keyspace(client)
        clients = _others(client)
    persistence = "aof" if info.get("aof_enabled") else "rdb" if info.get("rdb_last_save_time") else "none"
    return ServerFacts(
        version=str(info.get("redis_version", "")),
        used_memory_bytes=int(info.get("used_memory", 0)),
        clients=int(info.get("connected_clients", 0)),
        keys=keys,
        expiring_keys=expiring,
        writers=clients,
        persistence=persistence,
    )


def _ask(client: redis.Redis, *words: str | bytes | int) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _keyspace(client: redis.Redis) -> tuple[int, int]:
    """(keys, keys that expire) of the database that the client is on."""
    number = client.connection_pool.connection_kwargs.get("db") or 0
    space = _ask(client, "INFO", "keyspace").get(f"db{number}", {})
    return int(space.get("keys", 0)), int(space.get("expires", 0))


def _others(client: redis.Redis) -> tuple[str, ...]:
    number = str(client.connection_pool.connection_kwargs.get("db") or 0)
    try:
        mine = str(_ask(client, "CLIENT ID"))
        rows: list[dict[str, str]] = _ask(client, "CLIENT LIST")
    except redis.exceptions.ResponseError:
        return ()
    theirs = (row for row in rows if row.get("id") != mine and row.get("db") == number)
    return tuple(f"{row.get('addr', '?')} {row.get('name', '')} {row.get('cmd', '')}".strip() for row in theirs)


def _entries(client: redis.Redis, keys: Sequence[bytes], expiring: bool) -> Iterator[tuple[bytes, bytes]]:
    values: list[bytes | None] = _ask(client, "MGET", *keys)
    ttls = _pipelined(client, "PTTL", keys) if expiring else [-1] * len(keys)
    odd = [key for key, value in zip(keys, values, strict=True) if value is None]
    types = dict(zip(odd, _pipelined(client, "TYPE", odd), strict=True)) if odd else {}
    for key, value, ttl in zip(keys, values, ttls, strict=True):
        head = (ttl + 1 if ttl >= 0 else 0).to_bytes(_HEADER, "big")
        if value is not None:
            yield key, head + b"v" + value
        elif types[key] not in (b"none", b"string"):
            yield key, head + b"t" + types[key]


def lasting(entry: bytes) -> bytes:
    """What of a scanned entry stays the same while nobody writes: whether it expires and what it holds, not when."""
    return bytes([any(entry[:_HEADER])]) + entry[_HEADER:]


def _pipelined(client: redis.Redis, command: str, keys: Sequence[bytes]) -> list[Any]:
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command(command, key)  # type: ignore[no-untyped-call]
    return pipe.execute(raise_on_error=command != "STRLEN")


def _judge(key: bytes, entry: bytes) -> Decision | BadDecision:
    ttl, tag, value = int.from_bytes(entry[:_HEADER], "big"), entry[_HEADER : _HEADER + 1], entry[_HEADER + 1 :]
    if tag == b"t":
        happened = f"it is a {value.decode('ascii', 'replace')} and not a string"
        return BadDecision(key, shown_key(key), Fault.WRONG_TYPE, happened, b"")
    fault = _fault(key[len(PREFIX) :], value)
    if fault is not None:
        return BadDecision(key, shown_key(key), *fault, value[:_SHOWN_BYTES])
    need_id = key[len(PREFIX) :]
    record = Record(need_id, hashlib.sha256(value).digest(), len(value), value)
    return Decision(need_id.decode(), record, ttl - 1 if ttl else None)


def _fault(need_id: bytes, value: bytes) -> tuple[Fault, str] | None:
    try:
        expected = need_id.decode()
    except UnicodeDecodeError:
        return Fault.KEY_NOT_UTF8, "the need id is not UTF-8"
    try:
        parsed = parse_json(value)
    except ValueError as exc:
        return Fault.BAD_JSON, f"the value is no JSON: {exc}"
    if not isinstance(parsed, dict):
        return Fault.NOT_AN_OBJECT, "the value is JSON, but no object"
    return _field_fault(parsed, expected)


def _field_fault(parsed: dict[str, Json], need_id: str) -> tuple[Fault, str] | None:
    for name, kind in _FIELDS.items():
        if name not in parsed:
            return Fault.FIELD_MISSING, f"{name} is missing"
        if type(parsed[name]) is not kind:
            return Fault.FIELD_MISTYPED, f"{name} is {type(parsed[name]).__name__} and not {kind.__name__}"
    if parsed["need_id"] != need_id:
        return Fault.NEED_ID_DIFFERS, f"need_id in the value is {parsed['need_id']!r}"
    return None
