"""Rollback from backup: v1's state back as it was backed up, and what this run created in the targets removed.

Before anything is replaced, what is there now is backed up beside the journal, so that nothing written since is lost.
Everything is compared with the backup afterwards. It can be killed anywhere and called again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from canswarm_tui.engine.backup.compare import RestoreProof, compare_restored
from canswarm_tui.engine.backup.disk import Advance
from canswarm_tui.engine.backup.make import back_up
from canswarm_tui.engine.backup.places import Places
from canswarm_tui.engine.backup.restore import restore
from canswarm_tui.engine.backup.verify import verify_backup
from canswarm_tui.engine.checklist import STEPS
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.events import Emit, Said, StepProgressed
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.journal.journal import Json
from canswarm_tui.engine.lock import hold_run
from canswarm_tui.engine.place import Place, place_of, site_identity
from canswarm_tui.engine.runner import Runner, has_run
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.step import Finding, Kind, Level, Outcome, Progress, Verb
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v1 import site as v1_site

NAME = "rollback"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did. `aside` holds a backup of what was there before it; None for a restore elsewhere."""

    backup: Path
    into: Path
    aside: Path | None
    undone: tuple[str, ...]
    """Steps whose work at the targets was removed, in the order in which that was done."""
    proof: RestoreProof


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
        if not isinstance(last, dict) or not Path(str(last["folder"])).is_dir():
            raise Blocked(NAME, "this run has no backup", "name one with --from-backup DIR")
        return Path(str(last["folder"]))

    def elsewhere(self, folder: Path, into: Path, redis: SiteSettings | None) -> RolledBack:
        """Restore a backup into another folder (and Redis), and compare."""
        self._require_whole(folder)
        restore(folder, into, redis, stop=self.stop.check, tell=self._tell)
        proof = compare_restored(folder, into, redis, stop=self.stop.check, tell=self._tell)
        return RolledBack(folder, into, None, (), proof)

    def in_place(self, folder: Path) -> RolledBack:
        """v1's state back in the site itself, after its present state was backed up and the targets were cleared."""
        self._require_whole(folder)
        self._require_quiet()
        place = place_of(self.settings)
        place.make()
        aside = self._set_aside(place)
        undone = self._undo_all(place)
        proof = self._put_back(folder)
        self._record(place, folder, aside, undone, proof)
        return RolledBack(folder, self.settings.site.require_root(), aside, undone, proof)

    def _require_whole(self, folder: Path) -> None:
        self._say(f"reading the backup {folder} back")
        verification = verify_backup(folder, self.stop.check, self._tell)
        if verification.faults:
            first = verification.faults[0]
            happened = f"{first.name}: {first.happened} (and {len(verification.faults) - 1} more)"
            raise Blocked(
                str(folder), f"the backup is damaged: {happened}", "name another backup with --from-backup DIR"
            )

    def _require_quiet(self) -> None:
        site = self.settings.site
        writing = [h for h in v1_site.holders([site.plan_db, v1_site.log_file(site)]) if h.writes]
        if writing:
            who = ", ".join(f"{h.command} (process {h.pid})" for h in writing)
            raise Blocked(str(site.require_root()), f"v1 has it open for writing: {who}", "stop v1 first")

    def _set_aside(self, place: Place) -> Path:
        self._say("backing up what is there now")
        into = place.folder / f"before-rollback-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        done = back_up(
            self.settings.site, into, self.settings.backup.retention_days, stop=self.stop.check, tell=self._tell
        )
        return done.folder

    def _undo_all(self, place: Place) -> tuple[str, ...]:
        if not place.journal.exists():
            return ()
        journal = Journal.observe(place.journal)
        try:
            records = journal.records()
        finally:
            journal.close()
        undone = []
        for info in reversed(STEPS):
            if info.writes_target and has_run(records.get(info.name)):
                Runner(self.settings, self.emit, self.stop).undo(info.name)
                undone.append(info.name)
        return tuple(undone)

    def _put_back(self, folder: Path) -> RestoreProof:
        site = self.settings.site
        places = Places.of(site)
        self._say(f"restoring {folder} into {site.require_root()}")
        with hold_run(site.require_root() / ".state", ()):
            restore(folder, places, site, replace=True, exact=True, stop=self.stop.check, tell=self._tell)
            return compare_restored(folder, places, site, stop=self.stop.check, tell=self._tell)

    def _record(self, place: Place, folder: Path, aside: Path, undone: tuple[str, ...], proof: RestoreProof) -> None:
        journal = Journal.open(place.journal, site_identity(self.settings))
        try:
            step = journal.step(NAME)
            facts: dict[str, Json] = {"backup": str(folder), "aside": str(aside), "undone": list(undone)}
            sweep = step.note(Verb.RUN, "rolled back", facts)
            step.add_finding(Verb.RUN, sweep, [_difference(u.name, u.happened) for u in proof.differences])
            step.sweep_out(Verb.RUN, sweep)
            state = StepState.NEEDS_ATTENTION if proof.differences else StepState.PROVED
            step.set_state(state, outcome=Outcome(created=proof.compared.files, summary=f"rolled back to {folder}"))
        finally:
            journal.close()

    def _tell(self, at: Advance) -> None:
        progress = Progress(at.doing, at.files, at.total_files or None, at.size_bytes, at.total_bytes or None)
        self.emit(StepProgressed(NAME, Verb.RUN, progress))

    def _say(self, text: str) -> None:
        self.emit(Said(NAME, text))


def _difference(name: str, happened: str) -> Finding:
    return Finding(
        "rollback.differs", Level.WARNING, Kind.DIFFERENCE, shown(name), f"it is not as in the backup: {happened}",
        "stop what writes there, then roll back again",
    )  # fmt: skip


def with_redis(site: SiteSettings, url: str | None) -> SiteSettings | None:
    """The site's settings with another Redis, or None where none is named."""
    return None if url is None else site.model_copy(update={"redis_url": url})


def described(done: RolledBack) -> dict[str, object]:
    """The rollback as plain data."""
    compared = done.proof.compared
    return {
        "backup": str(done.backup),
        "into": str(done.into),
        "aside": None if done.aside is None else str(done.aside),
        "undone": list(done.undone),
        "compared": {"files": compared.files, "size_bytes": compared.size_bytes, "redis_keys": compared.redis_keys},
        "differences": [{"name": u.name, "happened": u.happened} for u in done.proof.differences],
    }
