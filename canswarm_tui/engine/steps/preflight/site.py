"""Preflight's checks of the v1 site: every source opened, counted and proved sound, or named where it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.step import Finding, Progress
from canswarm_tui.engine.steps.audit_pass import audit_pass
from canswarm_tui.engine.steps.plan_source import snapshot_of
from canswarm_tui.engine.steps.preflight.survey import Survey, blocker, note, warning
from canswarm_tui.engine.steps.preflight.words import DECISION, LINE, of_table
from canswarm_tui.engine.text import counted
from canswarm_tui.engine.v1 import blobs, decisions, site
from canswarm_tui.engine.v1.bus import bus_facts
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_projection import Projection, compare_tables
from canswarm_tui.engine.v1.plan_rows import BadRow
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address

_HIGHEST = "ops' highest Lamport stamp"
_EXPORTED = "history is exported as it is, and named in the report"


def pieces(survey: Survey) -> Iterator[Finding]:
    """The parts of the site are there, can be read, and the keys are one pair."""
    settings = survey.ctx.settings.site
    for name in ("state_dir", "cas_dir", "log_dir"):
        folder = getattr(settings, name)
        if folder is not None and not folder.is_dir():
            yield blocker("site.no_folder", str(folder), f"site.{name} names it, but there is no such folder",
                          f"correct site.{name}, or take it out where v1 had no such setting")  # fmt: skip
    for piece in site.pieces(settings):
        if not piece.trouble:
            continue
        remedy = "check site.root and the folder settings, and the rights of the file"
        if piece.name == "plan store":
            yield blocker("site.unreachable", str(piece.path), f"the plan store can't be read: {piece.trouble}", remedy)
        else:
            yield warning("site.piece", str(piece.path), f"the {piece.name} can't be read: {piece.trouble}", remedy)
    if settings.env_file.exists():
        keys = site.read_keys(settings.env_file)
        if keys.trouble:
            yield warning("site.keys", str(settings.env_file), keys.trouble, "restore .env: v1 can't sign without it")


def plan_store(survey: Survey) -> Iterator[Finding]:
    """SQLite's own check, the schema, the counts, and the derived tables against a replay of the ops."""
    db = PlanDb.open(survey.ctx.settings.site.plan_db, survey.ctx.scratch)
    if db.recovered_from:
        yield warning(
            "plan.recovered", str(db.path), f"it has a {db.recovered_from}: a writer runs or crashed; a copy is read",
            "stop v1 cleanly before the cutover",
        )  # fmt: skip
    for fault in db.integrity_faults():
        yield blocker(
            "plan.damaged", str(db.path), f"SQLite's integrity check says: {fault}", "repair it from a backup"
        )
    for fault in db.schema_faults():
        yield blocker("plan.schema", str(db.path), fault, "is this a v1 plan store?")
    counts = db.counts()
    survey.figures |= {
        "threads": counts.threads, "tasks": counts.tasks, "edges": counts.edges, "ops": counts.ops,
        "plan store bytes": db.source.stat().st_size,
    }  # fmt: skip
    survey.figures |= {f"ops {name}": number for name, number in counts.ops_by_type.items()}
    yield from _replayed(survey, snapshot_of(survey.ctx))


def _replayed(survey: Survey, db: PlanDb) -> Iterator[Finding]:
    bad: list[BadRow] = []
    survey.figures[_HIGHEST] = 0

    def ops() -> Iterator[object]:
        for number, op in enumerate(db.ops(), 1):
            if number % 1000 == 0:
                survey.ctx.stop.check()
                survey.ctx.progress(Progress("replaying ops", number, survey.figure("ops")))
            if isinstance(op, BadRow):
                bad.append(op)
            elif op.lamport > survey.figure(_HIGHEST):
                survey.figures[_HIGHEST] = op.lamport
            yield op

    with Projection(survey.ctx.scratch) as projection:
        for odd in projection.feed(ops()):  # type: ignore[arg-type]
            yield from survey.named(
                warning(f"op.{odd.fault.value}", odd.op_id, f"v1 would refuse this op today: {odd.happened}",
                        "nothing: history is migrated as it is")
            )  # fmt: skip
        for row in bad:
            yield from survey.named(
                warning("op.bad_row", row.name, "; ".join(row.faults), "the step quarantines it by name")
            )
        differences = 0
        for one in compare_tables(projection, db.tasks(), db.edges()):
            differences += 1
            yield from survey.named(
                warning(
                    f"plan.derived_{one.table}", one.name, of_table(one),
                    "v1's table was changed by hand or damaged: the ops are what is migrated",
                )
            )  # fmt: skip
    survey.figures["derived rows that differ from a replay"] = differences


def decisions_in_redis(survey: Survey) -> Iterator[Finding]:
    """Redis answers; its decisions are counted, odd ones too; other clients and weak persistence are told."""
    settings = survey.ctx.settings.site
    client, address = connect_redis(settings), redis_address(settings)
    try:
        facts = decisions.server_facts(client, address)
        with Spool(survey.ctx.scratch) as spool:
            decisions.scan(
                client, address, spool, lambda n: survey.ctx.progress(Progress("scanning Redis", n, facts.keys))
            )
            faults: Counter[str] = Counter()
            good = size = 0
            for one in decisions.read(spool):
                if isinstance(one, decisions.BadDecision):
                    faults[one.fault.value] += 1
                else:
                    good += 1
                    size += one.record.size
    finally:
        client.close()
    survey.figures |= {
        "decisions": good, "decision bytes": size, "keys in Redis": facts.keys, "Redis version": facts.version,
        "Redis memory bytes": facts.used_memory_bytes,
    }  # fmt: skip
    for fault, number in faults.items():
        yield warning(
            f"decision.{fault}", f"{counted(number, 'key')} in Redis",
            f"no decision as v1 writes it: {DECISION[fault]}",
            "the step quarantines each by name",
        )  # fmt: skip
    for writer in facts.writers:
        yield warning("writer.redis", address, f"another client is connected: {writer}", "stop v1 before the cutover")
    if facts.persistence == "none":
        yield note(
            "redis.persistence", address, "it keeps nothing on disk: a crash loses the decisions", "back up first"
        )


def content_store(survey: Survey) -> Iterator[Finding]:
    """Every blob is read and its content compared with its name."""
    cas = survey.ctx.settings.site.cas_folder
    classes = dict.fromkeys((*(name for name, _ in blobs.SIZE_CLASSES), blobs.LARGER), 0)
    number = size = oddities = 0
    for found in blobs.inventory(cas):
        survey.ctx.stop.check()
        if isinstance(found, blobs.Oddity):
            oddities += 1
            leftover = found.fault is blobs.BlobFault.LEFTOVER
            say = note if leftover else warning
            remedy = "nothing: v1 never reads it" if leftover else "the step quarantines it by name"
            yield from survey.named(say(f"blob.{found.fault.value}", found.path, found.happened, remedy))
            continue
        number += 1
        size += found.size
        classes[blobs.size_class(found.size)] += 1
        survey.ctx.progress(Progress("hashing blobs", number, None, done_bytes=size))
    survey.figures |= {"blobs": number, "blob bytes": size, "odd files in the content store": oddities}
    survey.figures |= {f"blobs {name}": count for name, count in classes.items()}


def audit_log(survey: Survey) -> Iterator[Finding]:
    """Every line's and every envelope's signature; each thread replayed; gaps; artifacts that are gone."""
    found = audit_pass(survey.ctx)
    if found is None:
        return
    for line in found.bad:
        what = "; ".join(LINE[fault] for fault in line.faults)
        yield from survey.named(warning(f"audit.{line.faults[0]}", f"audit log, line {line.number}", what, _EXPORTED))
    for one in found.refusals:
        code = "history.artifact_gone" if one.artifact_gone else f"history.{one.fault}"
        yield from survey.named(
            warning(code, f"{one.thread_id} {one.envelope_id}".strip(),
                    f"v1 would refuse this history today: {one.happened}", "nothing: history is kept as it is")
        )  # fmt: skip
    for gap in found.gaps:
        yield from survey.named(note(f"audit.{gap.fault}", gap.subject, f"line {gap.line}: {gap.happened}"))
    survey.figures |= {
        "audit lines": found.lines, "audit log bytes": site.log_file(survey.ctx.settings.site).stat().st_size,
        "audit lines that are not sound": found.bad_count, "gaps in the audit log": found.gap_count,
        "threads replayed": found.threads, "threads v1 would refuse today": found.threads_refused,
    }  # fmt: skip
    survey.figures |= {f"envelopes {kind}": number for kind, number in found.envelopes_by_kind.items()}


def clock(survey: Survey) -> Iterator[Finding]:
    """The Lamport clock is there and not behind the ops."""
    path = site.clock_file(survey.ctx.settings.site)
    found = site.read_clock(path)
    if found.counter is None:
        yield warning(
            "site.clock", str(path), f"the Lamport clock can't be read: {found.trouble}", "restore it from a backup"
        )
        return
    survey.figures["Lamport clock"] = found.counter
    highest = survey.figure(_HIGHEST)
    if found.counter < highest:
        yield warning(
            "site.clock_behind", str(path), f"it stands at {found.counter:,}, and an op is stamped {highest:,}",
            f"v1 would give stamps twice: with v1 stopped, set its counter to {highest:,} or more",
        )  # fmt: skip


def writers(survey: Survey) -> Iterator[Finding]:
    """Who else has the site open, as far as this user may see."""
    settings = survey.ctx.settings.site
    for holder in site.holders([settings.plan_db, site.log_file(settings)]):
        if holder.writes:
            yield warning(
                "writer.file", str(holder.path), f"process {holder.pid} ({holder.command}) has it open for writing",
                "v1 may go on for now; what it adds is caught up by the next run. Stop it before the cutover",
            )  # fmt: skip
    if site.hot_journal(settings.plan_db):
        yield warning(
            "writer.journal", str(settings.plan_db), "a rollback journal lies beside it: somebody writes, or crashed",
            "stop v1 cleanly before the cutover",
        )  # fmt: skip


def bus(survey: Survey) -> Iterator[Finding]:
    """NATS answers and has v1's stream; the bus stays the same in v2, so its absence blocks nothing."""
    settings = survey.ctx.settings.site
    try:
        facts = bus_facts(settings)
    except EngineError as exc:
        yield warning("bus.unreachable", exc.subject, exc.happened, f"{exc.remedy}; nothing on the bus is migrated")
        return
    survey.figures |= {"NATS version": facts.version, "messages on the bus": facts.messages}
    if not facts.stream_exists:
        yield note(
            "bus.no_stream", f"stream {settings.stream}", "NATS has no such stream", "nothing on the bus is migrated"
        )
    elif not set(settings.subjects) <= set(facts.subjects):
        yield warning(
            "bus.subjects",
            f"stream {settings.stream}",
            f"it has subjects {', '.join(facts.subjects)}",
            "check site.subjects",
        )
