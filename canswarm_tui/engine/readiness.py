"""Rollback readiness: the backups, the proof that they restore, and what a rollback would do now, step by step.

Times are those of the same work in this run, at the same speed, each with what it is taken from; never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from canswarm_tui.engine.backup.disk import is_folder
from canswarm_tui.engine.backup.retention import Kept, list_backups
from canswarm_tui.engine.checklist import STEPS, StepInfo
from canswarm_tui.engine.durations import COMPARE, MAKE, READ_BACK, RESTORE, TOOK, Took, from_fact, verbs_took
from canswarm_tui.engine.journal import Journal, Json, ReceiptFate, has_run
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Verb


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a rollback. `count`: records that this run created there, None where nothing is counted."""

    what: str
    count: int | None = None
    seconds: float | None = None
    """None: nothing like it was measured yet."""
    basis: str = ""
    """The work that took this long when it was done last: `backup`, `copy`, `undo` or `rollback`; empty for none."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """How well the way back is prepared."""

    backups: tuple[Kept, ...]
    newest: Path | None
    """The backup that a rollback would restore: the newest of this run, if it is there."""
    proved_at: datetime | None
    """When its restore was last compared, equal."""
    plan: tuple[Planned, ...]
    trouble: str = ""
    """Why the newest backup of this run can't be restored; empty where nothing is known against it."""

    @property
    def known_s(self) -> float:
        """Seconds of the steps whose time is known."""
        return sum(step.seconds or 0.0 for step in self.plan)

    @property
    def unknown(self) -> int:
        """How many steps have no known time."""
        return sum(step.seconds is None for step in self.plan)


def readiness(settings: Settings) -> Readiness:
    """Reads backup folder and journal; raises `EngineError`s. Changes nothing."""
    root = settings.site.require_root()
    backups = tuple(list_backups(settings.backup_folder, root))
    path = place_of(settings).journal
    if not path.exists():
        return Readiness(backups, None, None, tuple(_plan({}, {}, 0, ())))
    journal = Journal.observe(path)
    try:
        newest, proved_at = _newest(journal.step("backup").fact("last"))
        trouble = next((b.trouble for b in backups if b.folder == newest and b.manifest is None), "")
        if trouble:
            newest = proved_at = None
        size = next((b.manifest.size_bytes for b in backups if b.folder == newest and b.manifest is not None), 0)
        plan = _plan(_part_times(journal), _undo_times(journal), size, _undone(journal))
        return Readiness(backups, newest, proved_at, tuple(plan), trouble)
    finally:
        journal.close()


def _plan(
    parts: Mapping[str, tuple[Took, str]],
    undo_times: Mapping[str, tuple[Took, str]],
    size_bytes: int,
    undone: tuple[tuple[StepInfo, int], ...],
) -> Iterator[Planned]:
    def part(what: str, name: str) -> Planned:
        took, basis = parts.get(name, (None, ""))
        return Planned(what, None, None if took is None else took.for_amount(size_bytes), basis)

    yield part("read the newest backup back, whole", READ_BACK)
    yield part("back up what is in the site now", MAKE)
    for info, count in undone:
        took, basis = undo_times.get(info.name, (None, ""))
        yield Planned(f"undo {info.title}", count, None if took is None else took.for_amount(count), basis)
    yield part("restore the backup into the site", RESTORE)
    yield part("compare every file and key with it", COMPARE)


def _undone(journal: Journal) -> tuple[tuple[StepInfo, int], ...]:
    """Steps that a rollback undoes, the last first, with how many records of each are this run's."""
    records = journal.records()
    chosen = [info for info in reversed(STEPS) if info.writes_target and has_run(records.get(info.name))]
    return tuple((info, _ours(journal, info.name)) for info in chosen)


def _ours(journal: Journal, step: str) -> int:
    """By receipts; the plan store has one for its whole document, and remembers how many ops are in it."""
    view = journal.step(step)
    ops = view.fact("ops")
    return ops if isinstance(ops, int) else view.count_receipts((ReceiptFate.CREATED, ReceiptFate.REPLACED))


def _part_times(journal: Journal) -> dict[str, tuple[Took, str]]:
    return {
        name: (took, step)
        for step in ("backup", "rollback")
        for name, took in from_fact(journal.step(step).fact(TOOK)).items()
    }


def _undo_times(journal: Journal) -> dict[str, tuple[Took, str]]:
    took = verbs_took(journal)
    copies = {step: (one, "copy") for (step, verb), one in took.items() if verb is Verb.RUN}
    undos = {step: (one, "undo") for (step, verb), one in took.items() if verb is Verb.UNDO}
    return copies | undos


def _newest(last: Json) -> tuple[Path | None, datetime | None]:
    if not isinstance(last, dict):
        return None, None
    folder = Path(str(last.get("folder", "")))
    try:
        proved = datetime.fromisoformat(str(last.get("proved_at", "")))
    except ValueError:
        proved = None
    return (folder if is_folder(folder) else None), proved
