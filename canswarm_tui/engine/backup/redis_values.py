"""One Redis key as a backup holds it, read from a server and put into one.

A string, which is all that v1 writes, is kept as its bytes and restores into any version of Redis. Any other type is
kept as DUMP gives it, exact to a stream's consumer groups, and restores into the same or a later version; beside it
stands a digest of what it means, because DUMP's bytes differ between servers that hold the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis

STRING: Final = "string"
NONE: Final = "none"
_SINGLE_BYTES: Final = 1 << 20
"""A longer string is fetched alone."""
_TOGETHER: Final = 20
"""Keys of other types fetched at once."""
_CONTENT: Final[dict[str, tuple[str | int, ...]]] = {
    "hash": ("HGETALL",),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "stream": ("XRANGE", "-", "+"),
}
"""The command that tells what a key of this type means; the key stands after its first word."""


@dataclass(frozen=True, slots=True)
class RedisKey:
    """`body` is the value of a string, DUMP's bytes of anything else. `digest` says what it means, hex."""

    key: bytes
    type: str
    body: bytes
    digest: str
    expires_ms: int | None
    """Unix time at which Redis forgets it; None for never."""

    @property
    def name(self) -> str:
        """For people."""
        return self.key.decode("utf-8", "backslashreplace")

    def line(self) -> bytes:
        """One line of JSON, bytes in base64."""
        fields = {
            "key": base64.b64encode(self.key).decode(),
            "type": self.type,
            "body": base64.b64encode(self.body).decode(),
            "digest": self.digest,
            "expires_ms": self.expires_ms,
        }
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> RedisKey:
        """Raises ValueError or KeyError for a line that is none."""
        fields = json.loads(line)
        key, body = (base64.b64decode(fields[name], validate=True) for name in ("key", "body"))
        return cls(key, fields["type"], body, fields["digest"], fields["expires_ms"])


def read_keys(client: redis.Redis, keys: Sequence[bytes]) -> Iterator[RedisKey]:
    """The keys that are still there, in the order given; raises redis-py's exceptions."""
    pipe = client.pipeline(transaction=False)
    pipe.execute_command("TIME")  # type: ignore[no-untyped-call]
    for key in keys:
        for command in ("TYPE", "PTTL", "STRLEN"):
            pipe.execute_command(command, key)  # type: ignore[no-untyped-call]
    (seconds, micros), *facts = pipe.execute(raise_on_error=False)
    now_ms = seconds * 1000 + micros // 1000
    looks = [_Look(key, *_plain(facts[3 * at : 3 * at + 3]), now_ms) for at, key in enumerate(keys)]
    for group in _groups(looks):
        yield from _strings(client, group) if group[0].type == STRING else _others(client, group)


@dataclass(frozen=True, slots=True)
class _Look:
    key: bytes
    type: str
    ttl_ms: int
    length: int
    now_ms: int

    @property
    def expires_ms(self) -> int | None:
        return None if self.ttl_ms < 0 else self.now_ms + self.ttl_ms


def _plain(answers: Sequence[Any]) -> tuple[str, int, int]:
    kind, ttl_ms, length = answers
    for answer in (kind, ttl_ms):
        if isinstance(answer, Exception):
            raise answer
    return kind.decode() if isinstance(kind, bytes) else kind, ttl_ms, length if isinstance(length, int) else 0


def _groups(looks: Sequence[_Look]) -> Iterator[list[_Look]]:
    """Runs of keys of one sort that are fetched together, in order, each run small enough for memory."""
    group: list[_Look] = []
    size = 0
    for look in looks:
        text = look.type == STRING
        full = size + look.length > _SINGLE_BYTES if text else len(group) == _TOGETHER
        if group and (full or (group[0].type == STRING) != text):
            yield group
            group, size = [], 0
        group.append(look)
        size += look.length
    if group:
        yield group


def _strings(client: redis.Redis, looks: Sequence[_Look]) -> Iterator[RedisKey]:
    values: list[bytes | None] = client.execute_command("MGET", *[look.key for look in looks])  # type: ignore[no-untyped-call]
    for look, value in zip(looks, values, strict=True):
        if value is not None:
            yield RedisKey(look.key, STRING, value, hashlib.sha256(value).hexdigest(), look.expires_ms)


def _others(client: redis.Redis, looks: Sequence[_Look]) -> Iterator[RedisKey]:
    """DUMP and content in one transaction, so they are of one moment."""
    pipe = client.pipeline(transaction=True)
    for look in looks:
        word, *rest = _CONTENT.get(look.type, ("DUMP",))
        pipe.execute_command("DUMP", look.key)  # type: ignore[no-untyped-call]
        pipe.execute_command(word, look.key, *rest)  # type: ignore[no-untyped-call]
    answers = pipe.execute()
    for at, look in enumerate(looks):
        body, content = answers[2 * at], answers[2 * at + 1]
        if body is not None:
            yield RedisKey(look.key, look.type, body, _meaning(look.type, content), look.expires_ms)


def _meaning(kind: str, content: Any) -> str:
    """The same for equal content, in whatever order the server keeps it."""
    value = _ordered(content)
    if kind == "hash":
        value = sorted(value)
    return hashlib.sha256(f"{kind}:{value!r}".encode()).hexdigest()


def _ordered(value: Any) -> Any:
    """Lists only, whichever containers this version of the client answers with."""
    if isinstance(value, dict):
        return [[key, _ordered(item)] for key, item in value.items()]
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    return value


def put_keys(client: redis.Redis, keys: Sequence[RedisKey]) -> None:
    """Replaces each key with what was saved; raises redis-py's exceptions. A time that has passed removes it."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        if key.type == STRING:
            pipe.execute_command("SET", key.key, key.body)  # type: ignore[no-untyped-call]
        else:
            pipe.execute_command("RESTORE", key.key, 0, key.body, "REPLACE")  # type: ignore[no-untyped-call]
        if key.expires_ms is not None:
            pipe.execute_command("PEXPIREAT", key.key, key.expires_ms)  # type: ignore[no-untyped-call]
    pipe.execute()
