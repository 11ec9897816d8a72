"""What Redis says of its role, memory and files: why it may refuse writes or lose keys. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from canswarm_tui.engine.v1.redis_client import redis_errors


@dataclass(frozen=True, slots=True)
class RedisState:
    """From INFO and, where an ACL allows it, CONFIG GET."""

    version: str
    uptime_s: int
    clients: int
    role: str
    """`master` or `slave`."""
    primary: str
    """`host:port` of a replica's primary."""
    primary_link: str
    """`up` or `down`."""
    used_memory_bytes: int
    maxmemory_bytes: int
    """0: no limit."""
    eviction_policy: str
    evicted_keys: int
    keys: int
    expiring_keys: int
    """Both of this database."""
    aof: bool
    last_aof_write: str
    last_snapshot: str
    """Both `ok` or `err`."""
    snapshot_rule: str
    """Such as `3600 1 300 100`; empty where there is none or CONFIG may not be asked."""
    snapshot_failure_stops: bool
    """stop-writes-on-bgsave-error, as far as it is told."""
    unsaved_changes: int


def redis_state(client: redis.Redis, address: str) -> RedisState:
    """Raises the engine's errors."""
    with redis_errors(address):
        info: dict[str, Any] = client.execute_command("INFO")  # type: ignore[no-untyped-call]
        rule, stops = _config(client, "save"), _config(client, "stop-writes-on-bgsave-error")
    space = info.get(f"db{client.connection_pool.connection_kwargs.get('db') or 0}", {})
    return RedisState(
        version=str(info.get("redis_version", "")),
        uptime_s=int(info.get("uptime_in_seconds", 0)),
        clients=int(info.get("connected_clients", 0)),
        role=str(info.get("role", "not told")),
        primary=f"{info.get('master_host', '?')}:{info.get('master_port', '?')}",
        primary_link=str(info.get("master_link_status", "not told")),
        used_memory_bytes=int(info.get("used_memory", 0)),
        maxmemory_bytes=int(info.get("maxmemory", 0)),
        eviction_policy=str(info.get("maxmemory_policy", "not told")),
        evicted_keys=int(info.get("evicted_keys", 0)),
        keys=int(space.get("keys", 0)),
        expiring_keys=int(space.get("expires", 0)),
        aof=bool(info.get("aof_enabled")),
        last_aof_write=str(info.get("aof_last_write_status", "ok")),
        last_snapshot=str(info.get("rdb_last_bgsave_status", "ok")),
        snapshot_rule=rule,
        snapshot_failure_stops=stops == "yes",
        unsaved_changes=int(info.get("rdb_changes_since_last_save", 0)),
    )


def _config(client: redis.Redis, name: str) -> str:
    try:
        found = client.execute_command("CONFIG GET", name)  # type: ignore[no-untyped-call]
    except redis.exceptions.ResponseError:
        return ""  # an ACL, or a service that has renamed it
    value = found.get(name, found.get(name.encode(), b"")) if isinstance(found, dict) else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
