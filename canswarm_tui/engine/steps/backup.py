"""Backup: all of v1 in one folder, read back, and proved by restoring it into a scratch folder and comparing."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.compare import RestoreProof, compare_restored
from canswarm_tui.engine.backup.disk import Advance, Tell, is_folder
from canswarm_tui.engine.backup.make import back_up
from canswarm_tui.engine.backup.places import Places, walk
from canswarm_tui.engine.backup.restore import restore
from canswarm_tui.engine.backup.retention import remove_backup
from canswarm_tui.engine.backup.scratch_redis import clean_up_after_a_crash, number_of, scratch_database
from canswarm_tui.engine.backup.verify import Fault, verify_backup
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.durations import COMPARE, MAKE, READ_BACK, RESTORE, remember, took_since
from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.journal import Json
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Progress, Verdict
from canswarm_tui.engine.steps.keyed import Findings
from canswarm_tui.engine.text import bytes_text, counted, shown
from canswarm_tui.engine.v1 import decisions
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address

MEND = "keep it, and run the step again: it makes another backup"


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest backup of this run, from the journal."""

    folder: Path
    fingerprint: str
    created: str
    keep_until: str
    proved_at: str


class Backup:
    """Writes into the backup folder only. A site that has not moved since is not backed up again."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        last = _last(ctx)
        if last is not None and last.fingerprint == _fingerprint(ctx):
            return (f"nothing: the site has not moved since the backup {last.folder}",)
        days = ctx.settings.backup.retention_days
        return (
            f"back up .state, .cas, logs, .env and all of Redis into a new folder in {ctx.settings.backup_folder}",
            f"read it back, restore it into a scratch folder and compare; keep it for {days} days",
            f"the site has fingerprint {_fingerprint(ctx)}",
        )

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """The backup folder does not lie in what is backed up."""
        folder = ctx.settings.backup_folder.resolve()
        for part in Places.of(ctx.settings.site).paths.values():
            if folder.is_relative_to(part.resolve()):
                yield Finding(
                    "backup.inside", Level.BLOCKER, Kind.CONDITION, str(folder),
                    f"the backup folder lies inside {part}, which is backed up", "set backup.dir elsewhere",
                )  # fmt: skip

    def run(self, ctx: StepContext) -> Outcome:
        fingerprint = ctx.retry.call(lambda: _fingerprint(ctx))
        last = _last(ctx)
        manifest = None if last is None or last.fingerprint != fingerprint else _still_good(ctx, last)
        if last is not None and manifest is not None:
            words = f"nothing new: the site has not moved since the backup {last.folder}"
            return Outcome(unchanged=1, quarantined=_tell_skipped(ctx, manifest), summary=words)
        settings, began = ctx.settings, time.monotonic()
        done = ctx.retry.call(
            lambda: back_up(
                settings.site, settings.backup_folder, settings.backup.retention_days,
                stop=ctx.stop.check, tell=_teller(ctx),
            )
        )  # fmt: skip
        remember(ctx.journal, {MAKE: took_since(began, done.manifest.size_bytes)})
        ctx.journal.set_fact("last", {
            "folder": str(done.folder), "fingerprint": fingerprint, "created": done.manifest.created,
            "keep_until": done.manifest.keep_until, "proved_at": "",
        })  # fmt: skip
        quarantined = _tell_skipped(ctx, done.manifest)
        differences = _prove(ctx, done.folder)
        made = done.manifest
        result = counted(differences, "difference") if differences else "equal"
        summary = (
            f"{made.files:,} files ({bytes_text(made.size_bytes)}) and {made.redis_keys:,} Redis keys in {done.folder},"
            f" kept until {made.keep_until[:10]}; restored into a scratch folder and compared: {result}"
        )
        return Outcome(
            created=done.manifest.files, quarantined=quarantined, size_bytes=done.manifest.size_bytes, summary=summary,
            figures={"Redis keys": done.manifest.redis_keys, "folders": done.manifest.folders},
        )  # fmt: skip

    def verify(self, ctx: StepContext) -> Verdict:
        """Every byte of the backup against its manifest; by itself also the restore, compared anew."""
        last = _last(ctx)
        if last is None or not is_folder(last.folder):
            subject = "backup" if last is None else str(last.folder)
            ctx.found(_finding("backup.missing", subject, "the backup is not there any more", "run the step again"))
            return Verdict((Comparison("backups", "by presence", 1, 0),), 1, "the backup is missing")
        began = time.monotonic()
        try:
            verification = ctx.retry.call(lambda: verify_backup(last.folder, ctx.stop.check, _teller(ctx)))
        except SiteUnreadable as exc:
            _note_damage(ctx, [Fault(exc.subject, exc.happened)])
            return Verdict((Comparison("backups", "by digest", 1, 0),), 1, "the backup can't be read")
        remember(ctx.journal, {READ_BACK: took_since(began, verification.manifest.size_bytes)})
        if verification.faults:
            _note_damage(ctx, verification.faults)
        manifest, faults = verification.manifest, len(verification.faults)
        compared = manifest.files + manifest.redis_keys
        comparisons = [
            Comparison("files and Redis keys in the backup", "by digest", compared, max(0, compared - faults))
        ]
        text = f"{manifest.files:,} files and {manifest.redis_keys:,} Redis keys read back, {counted(faults, 'fault')}"
        differences = faults
        if faults:
            text += "; not restored, as it is damaged"
        elif not (ctx.fresh_verdicts and last.proved_at):
            proof = _restored(ctx, last.folder)
            _note_proof(ctx, holds=not proof.differences)
            differences += _tell_differences(ctx, proof)
            comparisons.append(_comparison(proof))
            text += f"; restored into a scratch folder and compared, {counted(len(proof.differences), 'difference')}"
        else:
            text += f"; the restore was compared at {last.proved_at}"
        return Verdict(
            tuple(comparisons), differences, text, {"keep until": last.keep_until, "folder": str(last.folder)}
        )

    def undo(self, ctx: StepContext) -> Outcome:
        """Remove the newest backup of this run; refused before its date."""
        last = _last(ctx)
        if last is None or not is_folder(last.folder):
            return Outcome(summary="there is no backup of this run")
        remove_backup(last.folder)
        ctx.journal.set_fact("last", None)
        return Outcome(removed=1, summary=f"the backup {last.folder} was removed")


def _prove(ctx: StepContext, folder: Path) -> int:
    """Restore into a scratch folder and a scratch database, compare; returns how many differences."""
    proof = _restored(ctx, folder)
    differences = _tell_differences(ctx, proof)
    if not differences:
        _note_proof(ctx)
    return differences


def _still_good(ctx: StepContext, last: _Last) -> m.Manifest | None:
    """The manifest of a backup that can be read and was proved, or is now; None: another one must be made."""
    if not is_folder(last.folder):
        return None
    try:
        manifest = m.Manifest.read(last.folder)
        if not last.proved_at:
            if _restored(ctx, last.folder).differences:
                return None
            _note_proof(ctx)
    except SiteUnreadable:  # damaged since
        return None
    return manifest


def _note_damage(ctx: StepContext, faults: Iterable[Fault]) -> None:
    """Every fault by name; from now on this backup proves nothing, and the next run makes another."""
    findings = Findings(ctx)
    for fault in faults:
        findings.add(_finding("backup.damaged", fault.name, fault.happened, MEND))
    findings.flush()
    ctx.journal.set_fact("last", {**_fact(ctx), "fingerprint": "damaged", "proved_at": ""})


def _note_proof(ctx: StepContext, *, holds: bool = True) -> None:
    """When the restore was compared and equal last; a proof that holds no more is taken back."""
    proved_at = datetime.now(UTC).isoformat(timespec="seconds") if holds else ""
    ctx.journal.set_fact("last", {**_fact(ctx), "proved_at": proved_at})


def _restored(ctx: StepContext, folder: Path) -> RestoreProof:
    return ctx.retry.call(lambda: _restored_once(ctx, folder))


def _restored_once(ctx: StepContext, folder: Path) -> RestoreProof:
    site = ctx.settings.site
    _clean_up(ctx)
    with _scratch_folder(ctx) as into, scratch_database(site, folder) as redis:
        if redis is None:
            ctx.found(_no_scratch_database(ctx))
        else:
            ctx.journal.set_fact("scratch", {"database": number_of(redis), "folder": str(folder)})
        size, began = m.Manifest.read(folder).size_bytes, time.monotonic()
        restore(folder, into, redis, stop=ctx.stop.check, tell=_teller(ctx))
        restored, began = took_since(began, size), time.monotonic()
        proof = compare_restored(folder, into, redis, scratch=ctx.scratch, stop=ctx.stop.check, tell=_teller(ctx))
        remember(ctx.journal, {RESTORE: restored, COMPARE: took_since(began, size)})
    ctx.journal.set_fact("scratch", None)
    return proof


def _clean_up(ctx: StepContext) -> None:
    """A trial that was killed has left its keys in the database that it had found empty."""
    left = ctx.journal.fact("scratch")
    if isinstance(left, dict):
        site, number, folder = ctx.settings.site, str(left["database"]), Path(str(left["folder"]))
        clean_up_after_a_crash(site, number, folder, ctx.stop.check)
        ctx.journal.set_fact("scratch", None)


@contextmanager
def _scratch_folder(ctx: StepContext) -> Iterator[Path]:
    into = ctx.scratch / "restored"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o700)
    try:
        yield into
    finally:
        shutil.rmtree(into, ignore_errors=True)


def _comparison(proof: RestoreProof) -> Comparison:
    compared = proof.compared.files + proof.compared.redis_keys
    equal = max(0, compared - len(proof.differences))
    return Comparison("files and Redis keys restored", "by content", compared, equal, proof.compared.size_bytes)


def _tell_differences(ctx: StepContext, proof: RestoreProof) -> int:
    findings = Findings(ctx)
    for unlike in proof.differences:
        findings.add(
            _finding("backup.restore_differs", unlike.name, unlike.happened, "don't rely on it; run the step again")
        )
    findings.flush()
    return len(proof.differences)


def _tell_skipped(ctx: StepContext, manifest: m.Manifest) -> int:
    """What could not be copied, by name; and what the plan store's copy says of itself."""
    findings = Findings(ctx)
    for skipped in manifest.skipped:
        findings.add(
            Finding(
                "backup.skipped", Level.WARNING, Kind.QUARANTINE, shown(skipped.name),
                f"it is not in the backup: {skipped.why}",
                "make it readable and run the step again, or accept with a reason that it is not backed up",
            )
        )  # fmt: skip
    plan = manifest.plan
    for fault in plan.integrity if plan is not None else ():
        findings.add(
            _finding("backup.plan_damaged", m.PLAN_COPY, f"SQLite says of the plan store: {fault}", "repair it")
        )
    findings.flush()
    return len(manifest.skipped)


def _finding(code: str, subject: str, happened: str, remedy: str) -> Finding:
    return Finding(code, Level.WARNING, Kind.DIFFERENCE, shown(subject), happened, remedy)


def _no_scratch_database(ctx: StepContext) -> Finding:
    return Finding(
        "backup.no_scratch_database", Level.WARNING, Kind.CONDITION, redis_address(ctx.settings.site),
        "it has no empty database into which the keys could be restored; they were read back, but not restored",
        "restore them into another Redis: `canswarm-tui rollback --from-backup … --into … --redis-url …`",
    )  # fmt: skip


def _teller(ctx: StepContext) -> Tell:
    def tell(at: Advance) -> None:
        ctx.progress(Progress(at.doing, at.files, at.total_files or None, at.size_bytes, at.total_bytes or None))

    return tell


def _fact(ctx: StepContext) -> dict[str, Json]:
    fact = ctx.journal.fact("last")
    assert isinstance(fact, dict)
    return fact


def _last(ctx: StepContext) -> _Last | None:
    fact = ctx.journal.fact("last")
    if not isinstance(fact, dict):
        return None
    text = {name: str(value) for name, value in fact.items()}
    return _Last(Path(text["folder"]), text["fingerprint"], text["created"], text["keep_until"], text["proved_at"])


def _fingerprint(ctx: StepContext) -> str:
    """What tells that the site has moved: names, sizes and times of its files, and the decisions in Redis."""
    sha = hashlib.sha256()
    for found in walk(Places.of(ctx.settings.site), with_store=True):
        ctx.stop.check()
        stand = found.status
        told = (
            found.part,
            found.relative,
            None if stand is None else (stand.st_mode, stand.st_size, stand.st_mtime_ns),
        )
        is_folder = stand is not None and (stand.st_mode & 0o170000) == 0o040000
        sha.update(repr(told if not is_folder else told[:2]).encode("utf-8", "backslashreplace"))
    client = connect_redis(ctx.settings.site)
    try:
        with Spool(ctx.scratch) as spool:
            address = redis_address(ctx.settings.site)
            decisions.scan(client, address, spool)
            for key, entry in spool.items():
                sha.update(len(key).to_bytes(8, "big") + key + decisions.lasting(entry))
            sha.update(str(decisions.server_facts(client, address).keys).encode())
    finally:
        client.close()
    return sha.hexdigest()[:16]
