"""The Redis content of a demonstration site: the lines of `redis.jsonl`, loaded into a database and read back.

A line is `{"key", "value"}` for a string. What JSON text can't hold, and what damage needs, is said with more fields:
`key_b64` instead of `key`, `type` (hash, list, set or zset, `value` then being an object or a list), `ttl_ms`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import redis

from canswarm_tui.engine.errors import Blocked, WrongAnswer
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address, redis_errors

_BATCH: Final = 1000

FOREIGN: Final[tuple[dict[str, Any], ...]] = (
    {"key": "session:42", "type": "hash", "value": {"user": "größe", "seen": "1795423412"}},
    {"key": "jobs", "type": "list", "value": ["a", "b", "b"]},
    {"key": "scores", "type": "zset", "value": {"w1": 1.5, "w2": -3}},
    {"key": "online", "type": "set", "value": ["w1", "w2"]},
    {"key": "cache:front", "value": "<html>", "ttl_ms": 86_400_000},
    {"key": "decided", "value": "no decision: its name only begins alike"},
)
"""Keys of other programmes in the same Redis."""


def load(file: Path, site: SiteSettings) -> int:
    """Puts the lines of `file` and the foreign keys into the site's Redis, reads all back; returns how many.

    Raises `Blocked` where the database holds any other key: a demonstration must not mix with anything real.
    """
    address = redis_address(site)
    client = connect_redis(site)
    with redis_errors(address):
        _refuse_strangers(client, file, address)
        count = 0
        for batch in _batches(file):
            pipe = client.pipeline(transaction=False)
            for line in batch:
                _put(pipe, line)
            pipe.execute()
            _read_back(client, batch, address)
            count += len(batch)
        client.close()
    return count


def entries(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of `file`, then the foreign keys."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
    yield from FOREIGN


def key_of(line: dict[str, Any]) -> bytes:
    """The Redis key of a line."""
    return base64.b64decode(line["key_b64"]) if "key_b64" in line else str(line["key"]).encode()


def _batches(file: Path) -> Iterator[list[dict[str, Any]]]:
    rest = entries(file)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _refuse_strangers(client: redis.Redis, file: Path, address: str) -> None:
    if not client.dbsize():
        return
    ours = sum(int(client.exists(*map(key_of, batch))) for batch in _batches(file))
    if ours != client.dbsize():
        raise Blocked(address, "the database holds keys of something else", "name an empty database with --redis-url")


def _put(pipe: Any, line: dict[str, Any]) -> None:
    key, value = key_of(line), line["value"]
    pipe.delete(key)
    match line.get("type", "string"):
        case "hash":
            pipe.hset(key, mapping=value)
        case "list":
            pipe.rpush(key, *value)
        case "set":
            pipe.sadd(key, *value)
        case "zset":
            pipe.zadd(key, value)
        case _:
            pipe.set(key, value)
    if "ttl_ms" in line:
        pipe.pexpire(key, line["ttl_ms"])


def _read_back(client: redis.Redis, batch: list[dict[str, Any]], address: str) -> None:
    texts = [line for line in batch if line.get("type", "string") == "string"]
    values = client.mget([key_of(line) for line in texts]) if texts else []
    for line, value in zip(texts, values, strict=True):
        if value != line["value"].encode():
            raise WrongAnswer(address, f"{key_of(line)!r} reads back otherwise", "use a Redis that nobody else writes")
    others = [line for line in batch if line.get("type", "string") != "string"]
    for line in others:
        if client.type(key_of(line)) != line["type"].encode():
            raise WrongAnswer(address, f"{key_of(line)!r} has another type", "use a Redis that nobody else writes")
