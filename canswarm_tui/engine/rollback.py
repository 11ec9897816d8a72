"""Rollback from backup: v1's state back as it was backed up, and what this run created in the targets removed.

Before anything is replaced, what is there now is backed up beside the journal, so that nothing written since is lost.
Everything is compared with the backup afterwards. It can be killed anywhere and called again. A target that does not
let itself be cleared does not keep v1 from coming back: it is told, and that step can be undone later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from canswarm_tui.engine.backup.compare import RestoreProof, compare_restored
from canswarm_tui.engine.backup.disk import Advance, disk_errors, is_folder
from canswarm_tui.engine.backup.make import back_up
from canswarm_tui.engine.backup.manifest import Manifest
from canswarm_tui.engine.backup.places import PLAN, PLAN_DB, SIDE_FILES, Places
from canswarm_tui.engine.backup.redis_dump import saved_keys
from canswarm_tui.engine.backup.restore import restore
from canswarm_tui.engine.backup.verify import verify_backup
from canswarm_tui.engine.checklist import STEPS, StepInfo
from canswarm_tui.engine.durations import COMPARE, MAKE, READ_BACK, RESTORE, Took, remember, took_since
from canswarm_tui.engine.errors import Blocked, EngineError, ExitCode, SiteUnreadable, Stopped
from canswarm_tui.engine.events import Emit, Said, StepProgressed
from canswarm_tui.engine.journal import Journal, Json, StepState, has_run
from canswarm_tui.engine.place import Place, place_of
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.step import Finding, Kind, Level, Outcome, Progress, Verb
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.engine.v1 import site as v1_site
from canswarm_tui.engine.v1.decisions import PREFIX

NAME = "rollback"
_STORE = frozenset(f"{PLAN}:{name}" for name in ("", PLAN_DB, *SIDE_FILES))


@dataclass(frozen=True, slots=True)
class Undo:
    """What became of one step's work at its target."""

    step: str
    removed: int = 0
    kept: int = 0
    """Created by this run, but changed since by somebody else; a finding names each."""
    error: EngineError | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did. `aside` holds a backup of what was there before it; None for a restore elsewhere."""

    backup: Path
    into: Path
    aside: Path | None
    proof: RestoreProof
    undos: tuple[Undo, ...] = ()
    """In the order in which they were done."""

    @property
    def exit_code(self) -> ExitCode:
        """Of the first undo that failed; else whether something needs a person."""
        for undo in self.undos:
            if undo.error is not None:
                return undo.error.exit_code
        kept = any(undo.kept for undo in self.undos)
        return ExitCode.ATTENTION if kept or self.proof.differences else ExitCode.DONE


@dataclass(frozen=True)
class Rollback:
    """One rollback; raises `EngineError`s."""

    settings: Settings
    emit: Emit
    stop: StopSignal

    def newest_backup(self) -> Path:
        """The backup that this run's backup step made last. Raises `Blocked` where there is none."""
        place = place_of(self.settings)
        last: object = None
        if place.journal.exists():
            journal = Journal.observe(place.journal)
            try:
                last = journal.step("backup").fact("last")
            finally:
                journal.close()
        if not isinstance(last, dict) or not is_folder(Path(str(last["folder"]))):
            raise Blocked(NAME, "this run has no backup", "name one with --from-backup DIR")
        return Path(str(last["folder"]))

    def elsewhere(self, folder: Path, into: Path, redis: SiteSettings | None) -> RolledBack:
        """Restore a backup into another folder (and Redis), and compare."""
        self._require_whole(folder)
        restore(folder, into, redis, stop=self.stop.check, tell=self._tell)
        proof = compare_restored(folder, into, redis, stop=self.stop.check, tell=self._tell)
        return RolledBack(folder, into, None, proof)

    def in_place(self, folder: Path) -> RolledBack:
        """v1's state back in the site itself, after its present state was backed up and the targets were cleared.

        Raises `Blocked` where v1 writes or the backup is damaged or another site's, `Busy` while another run is live.
        """
        root = self.settings.site.require_root()
        _require_same_site(folder, root)
        self._require_quiet()
        size, began = Manifest.read(folder).size_bytes, time.monotonic()
        self._require_whole(folder)
        taken = {READ_BACK: took_since(began, size)}
        place = place_of(self.settings)
        with disk_errors(root):
            self.settings.site.plan_db.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with Runner(self.settings, self.emit, self.stop).undoing() as (journal, undo_step), _begun(journal):
            before, began = self._stand(), time.monotonic()
            aside = self._set_aside(place)
            left = self._left(aside)
            taken[MAKE] = took_since(began, Manifest.read(aside).size_bytes)
            undos = self._undo_all(journal, undo_step)
            self._require_quiet()
            if self._stand() != before:
                happened = "v1 has written to it since it was set aside"
                raise Blocked(str(root), happened, "stop v1, then roll back again")
            done = RolledBack(folder, root, aside, self._put_back(folder, size, left, taken), undos)
            _record(journal, done)
            remember(journal.step(NAME), taken)
        return done

    def _require_whole(self, folder: Path) -> None:
        self._say(f"reading the backup {folder} back")
        verification = verify_backup(folder, self.stop.check, self._tell)
        if verification.faults:
            first = verification.faults[0]
            happened = f"{first.name}: {first.happened} ({counted(len(verification.faults), 'fault')} in all)"
            raise Blocked(
                str(folder), f"the backup is damaged: {happened}", "name another backup with --from-backup DIR"
            )

    def _require_quiet(self) -> None:
        site = self.settings.site
        writing = [h for h in v1_site.holders([site.plan_db, v1_site.log_file(site)]) if h.writes]
        if writing:
            who = ", ".join(f"{h.command} (process {h.pid})" for h in writing)
            raise Blocked(str(site.require_root()), f"v1 has it open for writing: {who}", "stop v1 first")

    def _stand(self) -> dict[Path, tuple[int, int, int] | None]:
        """What tells whether somebody writes whom we can't see."""
        site = self.settings.site
        return v1_site.fingerprint([site.plan_db, v1_site.log_file(site)])

    def _set_aside(self, place: Place) -> Path:
        self._say("backing up what is there now")
        into = place.folder / f"before-rollback-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        site, days = self.settings.site, self.settings.backup.retention_days
        try:
            done = back_up(site, into, days, stop=self.stop.check, tell=self._tell)
        except SiteUnreadable as exc:
            self._say(f"the plan store is copied as the files that it is: {exc.happened}")
            done = back_up(site, into, days, store_as_files=True, stop=self.stop.check, tell=self._tell)
        return done.folder

    def _left(self, aside: Path) -> frozenset[str]:
        """What could not be set aside, which stays as it is: nothing may be lost that only the site has.

        Raises `Blocked` for the plan store: v1 would not come back without it.
        """
        skipped = Manifest.read(aside).skipped
        for one in skipped:
            if one.name in _STORE:
                raise Blocked(
                    str(self.settings.site.plan_db.parent / one.name.partition(":")[2]),
                    f"it can't be backed up before it is replaced: {one.why}",
                    "give this user the right to read it, or move it away, then roll back again",
                )
            self._say(f"{shown(one.name)} stays as it is: it could not be backed up ({one.why})")
        return frozenset(one.name for one in skipped)

    def _undo_all(self, journal: Journal, undo_step: Callable[[StepInfo], Outcome]) -> tuple[Undo, ...]:
        records = journal.records()
        undos = []
        for info in reversed(STEPS):
            if not (info.writes_target and has_run(records.get(info.name))):
                continue
            try:
                outcome = undo_step(info)
                undos.append(Undo(info.name, outcome.removed, outcome.conflicts))
            except Stopped:
                raise
            except EngineError as exc:
                undos.append(Undo(info.name, error=exc))
        return tuple(undos)

    def _put_back(self, folder: Path, size_bytes: int, left: frozenset[str], taken: dict[str, Took]) -> RestoreProof:
        site = self.settings.site
        places = Places.of(site)
        redis = site if Manifest.read(folder).redis else None
        self._say(f"restoring {folder} into {site.require_root()}")
        others = 0 if redis is None else sum(not key.key.startswith(PREFIX) for key in saved_keys(folder))
        if others:
            keys = f"{counted(others, 'key')} of other programmes"
            self._say(f"Redis is brought back with {keys} too; what is there now stays in the backup made just now")
        began = time.monotonic()
        restore(folder, places, redis, replace=True, exact=True, leave=left, stop=self.stop.check, tell=self._tell)
        taken[RESTORE], began = took_since(began, size_bytes), time.monotonic()
        proof = compare_restored(folder, places, redis, stop=self.stop.check, tell=self._tell)
        taken[COMPARE] = took_since(began, size_bytes)
        return proof

    def _tell(self, at: Advance) -> None:
        progress = Progress(at.doing, at.files, at.total_files or None, at.size_bytes, at.total_bytes or None)
        self.emit(StepProgressed(NAME, Verb.RUN, progress))

    def _say(self, text: str) -> None:
        self.emit(Said(NAME, text))


def _require_same_site(folder: Path, root: Path) -> None:
    backed_up = Manifest.read(folder).site
    if backed_up != str(root.resolve()):
        raise Blocked(
            str(folder), f"it is a backup of {backed_up}, not of {root}",
            "restore it elsewhere with --into, or name that site with --site",
        )  # fmt: skip


@contextmanager
def _begun(journal: Journal) -> Iterator[None]:
    """What is told of the rollback if it ends within: that it did not end well, and why."""
    step = journal.step(NAME)
    step.set_state(StepState.RUNNING)
    try:
        yield
    except Exception as exc:
        step.set_state(StepState.STOPPED, error=str(exc) if isinstance(exc, EngineError) else type(exc).__name__)
        raise


def _record(journal: Journal, done: RolledBack) -> None:
    step = journal.step(NAME)
    facts: dict[str, Json] = {
        "backup": str(done.backup), "aside": str(done.aside), "undone": [u.step for u in done.undos if u.error is None]
    }  # fmt: skip
    sweep = step.note(Verb.RUN, "rolled back", facts)
    step.add_finding(Verb.RUN, sweep, [_difference(u.name, u.happened) for u in done.proof.differences])
    step.sweep_out(Verb.RUN, sweep)
    state = StepState.PROVED if done.exit_code is ExitCode.DONE else StepState.NEEDS_ATTENTION
    left = [u.step for u in done.undos if u.error is not None or u.kept]
    summary = f"rolled back to {done.backup}; what was there before is backed up in {done.aside}"
    if left:
        summary += f"; not undone in whole: {', '.join(left)}"
    step.set_state(state, outcome=Outcome(created=done.proof.compared.files, summary=summary))


def _difference(name: str, happened: str) -> Finding:
    return Finding(
        "rollback.differs", Level.WARNING, Kind.DIFFERENCE, shown(name), f"it is not as in the backup: {happened}",
        "stop what writes there, then roll back again",
    )  # fmt: skip


def with_redis(site: SiteSettings, url: str | None) -> SiteSettings | None:
    """The site's settings with another Redis, or None where none is named."""
    return None if url is None else site.model_copy(update={"redis_url": url})


TOLD_DIFFERENCES = 100


def told(done: RolledBack) -> Iterator[str]:
    """The rollback in sentences: from where, what was undone and what not, what was kept, how it compared."""
    yield f"restored {done.backup} into {done.into}"
    yield from map(_undo_told, done.undos)
    if done.aside is not None:
        yield f"what was there before is backed up in {done.aside}"
    compared, differences = done.proof.compared, done.proof.differences
    told = counted(len(differences), "difference")
    yield f"compared {compared.files:,} files and {compared.redis_keys:,} Redis keys: {told}"
    for unlike in differences[:TOLD_DIFFERENCES]:
        yield f"  {shown(unlike.name)}: {shown(unlike.happened)}"


def _undo_told(undo: Undo) -> str:
    if undo.error is not None:
        return shown(f"{undo.step} is not undone: {undo.error}; then `canswarm-tui undo {undo.step}`")
    kept = f", kept {undo.kept:,} that somebody has changed since" if undo.kept else ""
    return f"{undo.step} is undone: removed {undo.removed:,} that this run had created{kept}"


def described(done: RolledBack) -> dict[str, object]:
    """The rollback as plain data."""
    compared = done.proof.compared
    return {
        "backup": str(done.backup),
        "into": str(done.into),
        "aside": None if done.aside is None else str(done.aside),
        "undone": [{"step": u.step, "removed": u.removed, "kept": u.kept} for u in done.undos if u.error is None],
        "not_undone": [{"step": u.step, "error": str(u.error)} for u in done.undos if u.error is not None],
        "compared": {"files": compared.files, "size_bytes": compared.size_bytes, "redis_keys": compared.redis_keys},
        "differences": [{"name": u.name, "happened": u.happened} for u in done.proof.differences],
    }
