"""Decisions: Redis → etcd. One key for each need, the value verbatim, only ever created."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import redis

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked, EngineError
from canswarm_tui.engine.records import Record, Wanted
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.step import Finding, Keep, Kind, Level, Outcome, Progress, Verdict
from canswarm_tui.engine.steps.etcd_choice import choose, put_back, remove_renewed, sweep
from canswarm_tui.engine.steps.keyed import Findings, Mended, SetDigest, SetName, compare_keyed
from canswarm_tui.engine.steps.replaced import plus_kept
from canswarm_tui.engine.steps.targets import open_etcd
from canswarm_tui.engine.text import duration_text, shown
from canswarm_tui.engine.transfer import CopyPlan, Pending, copy, undo
from canswarm_tui.engine.v1 import decisions as v1
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address, redis_errors
from canswarm_tui.engine.v2.decisions import decision_sink, fits
from canswarm_tui.engine.v2.etcd_client import EtcdClient

NAME = SetName("decisions", "decision", "etcd", "by content", Mended.BY_CHOICE)
PLAN = CopyPlan("decisions", "decision", "etcd", window=2)
MOVED_NAMED = 100
"""Decisions that moved meanwhile are named up to this number; that there are more is said too."""


class Decisions:
    """Source: every `decide:*` key of v1's Redis database; target: etcd under the prefix."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        digest, bad = SetDigest(), 0

        def wanted(spool: Spool) -> Iterator[Wanted]:
            nonlocal bad
            for one in v1.read(spool):
                if isinstance(one, v1.BadDecision):
                    bad += 1
                    continue
                digest.add(one.record.key, one.record.digest, one.record.size)
                yield Wanted(one.record.key, one.record.digest, one.record.size)

        with _scanned(ctx) as spool:
            pending = sum(1 for _ in Pending(wanted(spool), ctx.journal))
        where = f"etcd {', '.join(ctx.settings.etcd.endpoints)} under {ctx.settings.etcd.prefix}"
        lines = [
            f"create {pending:,} of {digest.records:,} decisions in {where}, only where the key is absent",
            f"the set of decisions has digest {digest.text()}",
        ]
        if bad:
            lines.append(f"leave {bad:,} keys where they are and name them: they are no decisions as v1 writes them")
        return tuple(lines)

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """Both servers answer; the target is the one that this run began with."""
        with _redis(ctx) as (client, address):
            ctx.retry.call(lambda: v1.server_facts(client, address))
        with _etcd(ctx):
            return ()

    def run(self, ctx: StepContext) -> Outcome:
        findings = Findings(ctx)
        with _etcd(ctx) as etcd, _scanned(ctx) as spool:
            sink = decision_sink(etcd, ctx.settings.etcd)
            plan = CopyPlan(PLAN.noun, PLAN.code, PLAN.target, total=len(spool), window=PLAN.window)
            outcome = copy(_records(spool, findings), sink, ctx, plan)
            findings.flush()
            sweep(ctx, sink)
            _look_again(ctx, spool)
        return Outcome(
            created=outcome.created, present=outcome.present, unchanged=outcome.unchanged, conflicts=outcome.conflicts,
            quarantined=findings.counts[Kind.QUARANTINE], size_bytes=outcome.size_bytes, summary=outcome.summary,
        )  # fmt: skip

    def verify(self, ctx: StepContext) -> Verdict:
        """Every value byte for byte, from a linearizable read of etcd."""
        findings = Findings(ctx)
        size_bytes = 0

        def target(etcd: EtcdClient) -> Iterator[tuple[bytes, bytes]]:
            nonlocal size_bytes
            sink = decision_sink(etcd, ctx.settings.etcd)
            for entry in ctx.retry.resumed(lambda after: sink.scan(after=after), lambda found: found.key):
                size_bytes += len(entry.value)
                yield entry.key, entry.value

        with _etcd(ctx) as etcd, _scanned(ctx) as spool:
            verdict = compare_keyed(
                ctx,
                ((r.key, _content(r)) for r in _records(spool, findings)),
                target(etcd),
                NAME,
                total=len(spool),
                value_text=shown,
                size_bytes=lambda: size_bytes,
            )
            findings.flush()
            _look_again(ctx, spool)
        return verdict

    def undo(self, ctx: StepContext) -> Outcome:
        """Delete the keys that this run created and that are still the same; put back what a person had replaced."""
        with _etcd(ctx) as etcd:
            sink = decision_sink(etcd, ctx.settings.etcd)
            changed = put_back(ctx, sink, PLAN)
            removed, kept = remove_renewed(ctx, sink, PLAN)
            outcome = plus_kept(undo(sink, ctx, PLAN), changed + kept, removed)
            sweep(ctx, sink)
        return outcome

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        """Keep etcd's value, or put Redis's in its place; etcd's former value is kept whole for an undo."""
        key = bytes.fromhex(finding.details["key"])
        record = _site_record(ctx, key)
        with _etcd(ctx) as etcd:
            return choose(ctx, decision_sink(etcd, ctx.settings.etcd), record, finding, keep)


def _site_record(ctx: StepContext, key: bytes) -> Record:
    """The site's value of one decision, read now."""
    with _redis(ctx) as (client, address), redis_errors(address):
        value = client.get(v1.PREFIX + key)
    if not isinstance(value, bytes):
        raise Blocked(shown(key), "the site does not have this decision any more", "run the step again")
    return Record(key, hashlib.sha256(value).digest(), len(value), value)


def _content(record: Record) -> bytes:
    assert isinstance(record.body, bytes)
    return record.body


def _records(spool: Spool, findings: Findings) -> Iterator[Record]:
    """The sound decisions in key order; the others become findings."""
    for one in v1.read(spool):
        if isinstance(one, v1.BadDecision):
            findings.add(_bad(one))
            continue
        if not fits(one.record.key, one.record.size):
            findings.add(_too_large(one))
            continue
        if one.ttl_ms is not None:
            findings.add(_expires(one))
        yield one.record


def _bad(bad: v1.BadDecision) -> Finding:
    return Finding(
        f"decision.{bad.fault.value}", Level.WARNING, Kind.QUARANTINE, shown(bad.name),
        f"it is no decision as v1 writes it: {bad.happened}",
        "mend or remove the key in Redis and run the step again, or accept it with a reason: it is not migrated",
        {"value": shown(bad.value)} if bad.value else {},
    )  # fmt: skip


def _too_large(decision: v1.Decision) -> Finding:
    return Finding(
        "decision.too_large", Level.WARNING, Kind.QUARANTINE, shown(decision.need_id),
        f"its {decision.record.size:,} bytes are more than etcd takes in one request",
        "find out what it is, or accept it with a reason: it is not migrated",
    )  # fmt: skip


def _expires(decision: v1.Decision) -> Finding:
    assert decision.ttl_ms is not None
    return Finding(
        "decision.expires", Level.WARNING, Kind.CONDITION, shown(decision.need_id),
        f"Redis forgets it in {duration_text(decision.ttl_ms / 1000)}; v1 sets no expiry. It is copied without one",
        "run `redis-cli PERSIST` on the key if it is to stay in v1 too",
    )  # fmt: skip


def _look_again(ctx: StepContext, before: Spool) -> None:
    """A second scan: what moved meanwhile was written by somebody."""
    with _scanned(ctx) as after:
        moved = list(islice(v1.moved(before, after), MOVED_NAMED + 1))
    if len(moved) > MOVED_NAMED:
        ctx.say(f"more than {MOVED_NAMED} decisions moved while the step ran: the first {MOVED_NAMED} are named")
    for one in moved[:MOVED_NAMED]:
        ctx.found(
            Finding(
                "decision.moved", Level.WARNING, Kind.CONDITION, shown(one.name),
                f"it {one.move.value} in Redis while the step ran: somebody is writing",
                "run the step again; stop v1's writers before the cutover",
            )
        )  # fmt: skip


@contextmanager
def _redis(ctx: StepContext) -> Iterator[tuple[redis.Redis, str]]:
    address = redis_address(ctx.settings.site)
    client = connect_redis(ctx.settings.site)
    try:
        yield client, address
    finally:
        client.close()


@contextmanager
def _etcd(ctx: StepContext) -> Iterator[EtcdClient]:
    ctx.journal.hold_target("etcd.prefix", (ctx.settings.etcd.prefix,))
    with open_etcd(ctx, ctx.journal) as etcd:
        yield etcd


@contextmanager
def _scanned(ctx: StepContext) -> Iterator[Spool]:
    """Every `decide:*` key, scanned into a sorted spool; a transient failure begins the scan anew."""

    def scan() -> Spool:
        spool = Spool(ctx.scratch)
        try:
            with _redis(ctx) as (client, address):
                v1.scan(client, address, spool, seen)
        except EngineError:
            spool.close()
            raise
        return spool

    def seen(found: int) -> None:
        ctx.stop.check()
        ctx.progress(Progress("scanning Redis", found, None))

    spool = ctx.retry.call(scan)
    try:
        yield spool
    finally:
        spool.close()
