"""etcd: the guide's "etcd consensus failures", endpoint health and all DECIDE keys, and a store that is full.

The guide's `get --prefix` prints every key and value at once; counts and a first page tell the same of a million.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S
from canswarm_tui.engine.health.etcd import ALARMS, NEAR, WASTE, WASTE_BYTES, Endpoint, ask_all, percent, quick
from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import BAD, FINE, UNKNOWN, WORRY, Answer, Question, ask, not_yet, tried
from canswarm_tui.engine.settings import EtcdSettings, Settings
from canswarm_tui.engine.text import bytes_text, counted
from canswarm_tui.engine.v1.decisions import count_decisions
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_facts import DEFAULT_QUOTA_BYTES, EtcdFacts

SLOW_MS = 500.0
"""Of a read that the cluster agrees to: etcd's own elections begin after twice that without a heartbeat."""
_KEYS_AT_MOST = 500_000


@dataclass(frozen=True, slots=True)
class _Seen:
    endpoints: list[Endpoint]
    facts: EtcdFacts
    in_etcd: int | EngineError
    in_redis: tuple[int, bool] | EngineError
    """Decisions, and whether all keys were passed."""
    copied: bool


def checks(settings: Settings) -> tuple[Check, ...]:
    etcd = settings.etcd
    questions = (
        Question("etcd.health", "etcd does not answer, or requests time out",
                 shell.etcdctl(etcd, "endpoint", "health", "--write-out=table"), _health),
        Question("etcd.consensus", "no leader, or one election after the other",
                 shell.etcdctl(etcd, "endpoint", "status", "--cluster", "--write-out=table"), _consensus),
        Question("etcd.space", "writes fail: mvcc: database space exceeded",
                 shell.both(shell.etcdctl(etcd, "alarm", "list"),
                      shell.etcdctl(etcd, "endpoint", "status", "--write-out=table")), _space),
        Question("etcd.keys", "decisions are missing in etcd",
                 shell.both(shell.etcdctl(etcd, "get", etcd.prefix, "--prefix", "--count-only", "--write-out=fields"),
                      shell.etcdctl(etcd, "get", etcd.prefix, "--prefix", "--keys-only", "--limit=20")), _keys),
    )  # fmt: skip
    return ask("etcd", etcd.endpoints, lambda: _read(settings), questions)


def _read(settings: Settings) -> _Seen:
    etcd = quick(settings)
    endpoints, facts = ask_all(etcd)
    in_etcd = tried(lambda: _count(etcd, facts.endpoint))
    return _Seen(
        endpoints, facts, in_etcd, tried(lambda: _count_in_redis(settings)), not not_yet(settings, "decisions")
    )


def _count(etcd: EtcdSettings, url: str) -> int:
    with closing(EtcdClient(etcd.model_copy(update={"endpoints": (url,)}))) as client:
        return decision_sink(client, etcd).count()


def _count_in_redis(settings: Settings) -> tuple[int, bool]:
    with closing(connect_redis(settings.site, LOOK_TIMEOUT_S)) as client:
        return count_decisions(client, redis_address(settings.site), _KEYS_AT_MOST)


def _health(seen: _Seen) -> Answer:
    lines = tuple(
        f"{one.url}: {one.latency_ms} ms" if one.error is None else f"{one.url}: {one.error.happened}"
        for one in seen.endpoints
    )
    away = [one.url for one in seen.endpoints if one.error is not None]
    slow = [one.url for one in seen.endpoints if one.latency_ms > SLOW_MS]
    if away:
        said = f"{len(away)} of {len(lines)} endpoints do not answer: {', '.join(away)}"
        return Answer(WORRY, said, lines, "start them, or mend their network: the cluster lives while most members do")
    if slow:
        remedy = "give etcd a disk of its own: every write waits for a flush; look for `slow fdatasync` in its log"
        return Answer(WORRY, f"{', '.join(slow)} answers late", lines, remedy)
    return Answer(FINE, f"{len(lines)} of {len(lines)} endpoints answer in time", lines)


def _consensus(seen: _Seen) -> Answer:
    up = [one.facts for one in seen.endpoints if one.facts is not None]
    lines = tuple(
        f"{one.endpoint}: leader {one.leader or ('there is one' if one.has_leader else 'none')}, "
        f"term {one.raft_term}, index {one.raft_index}"
        for one in up
    )
    absent = [member for member in seen.facts.members if not member.name]
    lines += (f"{counted(len(seen.facts.members), 'member')}, {len(absent)} of them never started",)
    if not all(one.has_leader for one in up):
        return Answer(BAD, "there is no leader, so nothing can be written", lines, "start members until most run")
    if len({one.raft_term for one in up}) > 1:
        remedy = "look at the network and the disks of the members: heartbeats come late"
        return Answer(WORRY, "members are in different terms: an election is going on, or just was", lines, remedy)
    if absent:
        return Answer(WORRY, "a member has never started", lines, "start it, or `etcdctl member remove ID`")
    return Answer(FINE, "one leader, one term", lines)


def _space(seen: _Seen) -> Answer:
    facts = seen.facts
    quota = facts.quota_bytes or DEFAULT_QUOTA_BYTES
    wasted = facts.db_size_bytes - facts.db_in_use_bytes
    told = "" if facts.quota_bytes is not None else " (etcd's default: this version does not tell its own)"
    lines = (
        f"alarms: {', '.join(facts.alarms) or 'none'}",
        f"store {bytes_text(facts.db_size_bytes)}, {percent(facts.db_size_bytes, quota)} of the quota of "
        f"{bytes_text(quota)}{told}",
        f"{bytes_text(facts.db_in_use_bytes)} of it in use, {percent(wasted, facts.db_size_bytes)} is not",
    )
    if facts.alarms:
        kind = facts.alarms[0].split(" ")[0]
        happened, remedy = ALARMS.get(kind, (f"it raises {facts.alarms[0]}", "see `etcdctl alarm list`"))
        remedy = remedy.replace("REVISION", str(facts.revision))
        return Answer(BAD, happened, lines, remedy)
    if facts.db_size_bytes >= NEAR * quota:
        remedy = f"`etcdctl compact {facts.revision}`, then `etcdctl defrag`; or raise --quota-backend-bytes"
        return Answer(WORRY, "the store is near its quota: past it etcd refuses every write", lines, remedy)
    if wasted >= max(WASTE * facts.db_size_bytes, WASTE_BYTES):
        return Answer(WORRY, "most of its file is not in use", lines, "`etcdctl defrag`, one member at a time")
    return Answer(FINE, "no alarm, and room for more", lines)


def _keys(seen: _Seen) -> Answer:
    if isinstance(seen.in_etcd, EngineError):
        raise seen.in_etcd
    lines: tuple[str, ...] = (f"etcd: {seen.in_etcd:,} decisions at revision {seen.facts.revision}",)
    if isinstance(seen.in_redis, EngineError):
        said = "Redis can't be asked, so nothing can be compared"
        return Answer(
            UNKNOWN, said, (*lines, f"{seen.in_redis.subject}: {seen.in_redis.happened}"), seen.in_redis.remedy
        )
    count, whole = seen.in_redis
    lines += (f"Redis: {'' if whole else 'at least '}{counted(count, 'decision')}",)
    if seen.in_etcd >= count and whole:
        more = seen.in_etcd - count
        return Answer(FINE, f"as many as in Redis, and {more:,} more" if more else "as many as in Redis", lines)
    if not seen.copied:
        return Answer(UNKNOWN, "no run of this site has copied decisions yet", lines, "run the step decisions")
    remedy = "verify the step decisions: it names each one; running it again copies what is new"
    return Answer(BAD, f"{count - seen.in_etcd:,} fewer than in Redis", lines, remedy)
