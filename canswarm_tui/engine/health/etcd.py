"""A close look at etcd: each endpoint as `etcdctl endpoint health` and `status` tell it, members and alarms."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, Reading, condition_of, looked, section, worry, yes_no
from canswarm_tui.engine.health.etcd_keys import DecisionKeys, watch
from canswarm_tui.engine.health.facts import Condition, Look, Section
from canswarm_tui.engine.settings import EtcdSettings, Settings
from canswarm_tui.engine.step import Finding, Level
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_errors import Compacted
from canswarm_tui.engine.v2.etcd_facts import DEFAULT_QUOTA_BYTES, EtcdFacts, read_facts
from canswarm_tui.engine.v2.etcd_watch import compacted_revision

__all__ = ["DecisionKeys", "look", "watch"]

NEAR = 0.8
"""Of the quota: from here on it is told."""
WASTE = 0.5
"""Of the file not in use: from here on a defragmentation is worth it."""
WASTE_BYTES = 64 * 1024**2
ALARMS = {
    "NOSPACE": (
        "the store has reached its quota, so etcd refuses every write",
        "`etcdctl compact REVISION`, `etcdctl defrag`, then `etcdctl alarm disarm`; or raise --quota-backend-bytes",
    ),
    "CORRUPT": (
        "this member's data differs from that of the others",
        "stop this member, remove its data and let it join anew; `etcdctl alarm disarm` afterwards",
    ),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str
    latency_ms: float
    facts: EtcdFacts | None
    error: EngineError | None
    failed_after_s: float = 0.0


def look(settings: Settings) -> Look:
    """Ask every endpoint by itself; the cluster answers when one of them does."""
    etcd = quick(settings)
    return looked("etcd", ", ".join(etcd.endpoints), etcd.endpoints, lambda: _read(etcd))


def quick(settings: Settings) -> EtcdSettings:
    """With a time-out that a person can wait for."""
    return settings.etcd.model_copy(update={"timeout_s": min(settings.etcd.timeout_s, LOOK_TIMEOUT_S)})


def ask_all(etcd: EtcdSettings) -> tuple[list[Endpoint], EtcdFacts]:
    """Every endpoint at the same time, and what the first healthy one tells; raises where none answers."""
    with ThreadPoolExecutor(len(etcd.endpoints), thread_name_prefix="etcd") as pool:
        endpoints = list(pool.map(lambda url: ask_endpoint(url, etcd), etcd.endpoints))
    healthy = next((one.facts for one in endpoints if one.facts is not None), None)
    if healthy is None:
        error = endpoints[0].error
        assert error is not None
        raise error
    return endpoints, healthy


def _read(etcd: EtcdSettings) -> Reading:
    endpoints, healthy = ask_all(etcd)
    sections = [_endpoint_section(one) for one in endpoints]
    sections += [_members(healthy), _store(etcd, healthy)]
    worries = [found for one in endpoints for found in _endpoint_worries(one)]
    return sections, [*worries, *_alarm_worries(healthy)]


def ask_endpoint(url: str, etcd: EtcdSettings) -> Endpoint:
    """As `etcdctl endpoint health`: a read of one key that the whole cluster must agree to, timed."""
    asked_at = time.perf_counter()
    key = etcd.prefix.encode()  # where this user has rights, if anywhere
    try:
        with closing(EtcdClient(etcd.model_copy(update={"endpoints": (url,)}))) as client:
            client.get(key)  # connects and logs in, so that the next one tells the latency alone
            began = time.perf_counter()
            client.get(key)
            latency_ms = round((time.perf_counter() - began) * 1000, 2)
            return Endpoint(url, latency_ms, read_facts(client), None)
    except EngineError as exc:
        return Endpoint(url, 0.0, None, exc, time.perf_counter() - asked_at)


def _endpoint_section(one: Endpoint) -> Section:
    if one.facts is None:
        assert one.error is not None
        return section(
            f"endpoint {one.url}",
            condition=condition_of(one.error, (one.url,), one.failed_after_s),
            said=one.error.happened,
        )
    facts = one.facts
    wasted = facts.db_size_bytes - facts.db_in_use_bytes
    return section(
        f"endpoint {one.url}", condition=Condition.ANSWERS, latency_ms=one.latency_ms, version=facts.version,
        leader=facts.leader or ("yes" if facts.has_leader else "none"), raft_term=facts.raft_term,
        raft_index=facts.raft_index, revision=facts.revision, db_bytes=facts.db_size_bytes,
        db_in_use_bytes=facts.db_in_use_bytes, fragmented=percent(wasted, facts.db_size_bytes),
        quota_bytes=facts.quota_bytes if facts.quota_bytes is not None else "not told (2 GiB by default)",
        of_quota=percent(facts.db_size_bytes, facts.quota_bytes or DEFAULT_QUOTA_BYTES),
        authentication=yes_no(facts.auth_enabled),
    )  # fmt: skip


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"


def _members(facts: EtcdFacts) -> Section:
    rows = []
    for member in facts.members:
        role = "leader" if member.is_leader else "learner" if member.is_learner else "follower"
        rows.append((member.name or "(not started)", f"{role}, {', '.join(member.client_urls) or 'no client URL'}"))
    return Section("members", tuple(rows))


def _store(etcd: EtcdSettings, facts: EtcdFacts) -> Section:
    with closing(EtcdClient(etcd.model_copy(update={"endpoints": (facts.endpoint,)}))) as client:
        decisions = decision_sink(client, etcd).count()
        try:
            client.page(etcd.prefix.encode(), revision=1, limit=1)
            compacted = "never"
        except Compacted:
            compacted = str(compacted_revision(facts.endpoint, etcd) or "yes, etcd does not tell to which revision")
    return section(
        "store", decisions=decisions, under=etcd.prefix, revision=facts.revision, compacted=compacted,
        alarms=", ".join(facts.alarms) or "none",
    )  # fmt: skip


def _endpoint_worries(one: Endpoint) -> list[Finding]:
    if one.facts is None:
        assert one.error is not None
        return [worry("etcd.endpoint", one.url, one.error.happened, one.error.remedy)]
    found, facts = [], one.facts
    quota = facts.quota_bytes or DEFAULT_QUOTA_BYTES
    if not facts.has_leader:
        found.append(worry("etcd.no_leader", one.url, "it knows no leader", "see that most members run", Level.BLOCKER))
    if facts.db_size_bytes >= NEAR * quota:
        happened = f"its store takes {percent(facts.db_size_bytes, quota)} of the quota"
        found.append(worry("etcd.quota", one.url, happened, "compact, defragment, or raise --quota-backend-bytes"))
    wasted = facts.db_size_bytes - facts.db_in_use_bytes
    if wasted >= max(WASTE * facts.db_size_bytes, WASTE_BYTES):
        happened = f"{percent(wasted, facts.db_size_bytes)} of its file is not in use"
        found.append(worry("etcd.fragmented", one.url, happened, "`etcdctl defrag`, one member at a time"))
    alarms = {alarm.split(" ")[0] for alarm in facts.alarms}
    for error in facts.errors:
        if not any(alarm in error for alarm in alarms):
            found.append(worry("etcd.says", one.url, error, "look into etcd's log"))
    return found


def _alarm_worries(facts: EtcdFacts) -> list[Finding]:
    found = []
    for alarm in facts.alarms:
        unknown = (f"etcd raises an alarm that this program does not know ({alarm})", "see `etcdctl alarm list`")
        happened, remedy = ALARMS.get(alarm.split(" ")[0], unknown)
        found.append(worry("etcd.alarm", alarm, happened, remedy, Level.BLOCKER))
    return found
