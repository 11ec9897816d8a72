"""v1's Redis: read-only, out of memory or losing keys, not kept on disk."""

from __future__ import annotations

from contextlib import closing

from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S
from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import BAD, FINE, WORRY, Answer, Question, ask
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import bytes_text, counted
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address
from canswarm_tui.engine.v1.redis_state import RedisState, redis_state

_NEAR = 0.9
"""Of maxmemory."""


def checks(settings: Settings) -> tuple[Check, ...]:
    site = settings.site
    questions = (
        Question("redis.answers", "Redis does not answer, or refuses the password",
                 shell.redis_cli(site, "PING"), _answers),
        Question("redis.writable", "v1 can't write: READONLY, MISCONF or OOM",
                 shell.both(shell.redis_cli(site, "INFO", "replication"), shell.redis_cli(site, "INFO", "persistence")),
                 _writable),
        Question("redis.eviction", "decisions vanish from Redis",
                 shell.both(shell.redis_cli(site, "INFO", "memory"), shell.redis_cli(site, "INFO", "stats")),
                 _eviction),
        Question("redis.persistence", "decisions are gone after a restart",
                 shell.redis_cli(site, "INFO", "persistence"), _persistence),
    )  # fmt: skip
    return ask("redis", (site.redis_url,), lambda: _read(settings), questions)


def _read(settings: Settings) -> RedisState:
    with closing(connect_redis(settings.site, LOOK_TIMEOUT_S)) as client:
        return redis_state(client, redis_address(settings.site))


def _answers(seen: RedisState) -> Answer:
    lines = (f"version {seen.version}, up for {seen.uptime_s:,} s, {seen.clients:,} connections",)
    return Answer(FINE, "it answers, and takes our login", lines)


def _writable(seen: RedisState) -> Answer:
    link = f", its primary {seen.primary} is {seen.primary_link}" if seen.role != "master" else ""
    lines = (
        f"role {seen.role}{link}",
        f"last snapshot: {seen.last_snapshot}; last write of the AOF: {seen.last_aof_write}",
        f"a failed snapshot stops writes: {'yes' if seen.snapshot_failure_stops else 'no, or not told'}",
    )
    if seen.role != "master":
        remedy = f"point site.redis_url, and v1, at the primary {seen.primary}"
        return Answer(BAD, "this is a replica: it takes no writes, and may lag behind", lines, remedy)
    if seen.last_aof_write != "ok":
        return Answer(BAD, "its AOF can't be written, so it refuses writes", lines, "free space where its files are")
    if seen.last_snapshot != "ok":
        verdict = BAD if seen.snapshot_failure_stops else WORRY
        return Answer(verdict, "its last snapshot failed", lines, "free space where its files are, then BGSAVE")
    return Answer(FINE, "it is the primary, and its files are written", lines)


def _eviction(seen: RedisState) -> Answer:
    limit = bytes_text(seen.maxmemory_bytes) if seen.maxmemory_bytes else "none"
    lines = (
        f"memory {bytes_text(seen.used_memory_bytes)}, limit (maxmemory) {limit}, policy {seen.eviction_policy}",
        f"keys evicted since its start: {seen.evicted_keys:,}",
        f"keys with a time to live: {seen.expiring_keys:,} of {seen.keys:,}",
    )
    if seen.evicted_keys:
        remedy = "set maxmemory-policy noeviction and raise maxmemory; lost decisions are in v1's log only"
        return Answer(BAD, f"{seen.evicted_keys:,} keys were thrown away to save memory", lines, remedy)
    if seen.expiring_keys:
        remedy = "find out who set it, and PERSIST the decisions: v1 gives them none"
        return Answer(WORRY, f"{counted(seen.expiring_keys, 'key')} will expire", lines, remedy)
    if seen.maxmemory_bytes and seen.used_memory_bytes >= _NEAR * seen.maxmemory_bytes:
        return Answer(WORRY, "memory is near its limit", lines, "raise maxmemory")
    if seen.maxmemory_bytes and seen.eviction_policy != "noeviction":
        remedy = "set maxmemory-policy noeviction: decisions are no cache"
        return Answer(WORRY, "it may throw keys away when memory runs short", lines, remedy)
    return Answer(FINE, "nothing was thrown away, and nothing will expire", lines)


def _persistence(seen: RedisState) -> Answer:
    lines = (
        f"AOF {'on' if seen.aof else 'off'}, snapshots {seen.snapshot_rule or 'off or not told'}",
        f"changes since the last snapshot: {seen.unsaved_changes:,}",
    )
    if not seen.aof and not seen.snapshot_rule:
        remedy = "turn on AOF (CONFIG SET appendonly yes) until the migration is proved"
        return Answer(WORRY, "nothing is kept on disk, as far as it tells", lines, remedy)
    return Answer(FINE, "it is kept on disk", lines)
