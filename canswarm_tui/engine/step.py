"""What a step is and what it says: findings, progress, outcome, verdict. All values are frozen.

A step has four verbs and no memory; what must survive a crash is in the journal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from canswarm_tui.engine.text import shown

if TYPE_CHECKING:
    from canswarm_tui.engine.context import StepContext
    from canswarm_tui.engine.journal import StepJournal

Figure = int | float | str


class Verb(StrEnum):
    CHECK = "check"
    RUN = "run"
    VERIFY = "verify"
    UNDO = "undo"


class Level(StrEnum):
    NOTE = "note"
    WARNING = "warning"
    BLOCKER = "blocker"


class Kind(StrEnum):
    """What sort of thing was found; the last three need a person, see `Finding.needs_person`."""

    CONDITION = "condition"
    """A fact about the site, a server or this machine."""
    QUARANTINE = "quarantine"
    """A record of the site that can't be migrated as it is; left where it is."""
    DIFFERENCE = "difference"
    """The target does not hold what it should."""
    CONFLICT = "conflict"
    """The target already held something else under the same name; never overwritten."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the operator must know.

    `code` names the sort of finding (`blob.wrong_hash`), `subject` the thing (a key, a path), `happened` the fact,
    `remedy` what to do. `details` holds further facts by name, such as both values of a conflict.
    """

    code: str
    level: Level
    kind: Kind
    subject: str
    happened: str
    remedy: str
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_person(self) -> bool:
        return self.kind is not Kind.CONDITION

    @property
    def told_details(self) -> dict[str, str]:
        """`details` for people: the record's key as it is called at site and target, not as hexadecimal digits."""
        told = dict(self.details)
        if "key" in told:
            with suppress(ValueError):
                told["key"] = shown(bytes.fromhex(told["key"]))
        return told

    def identity(self, step: str) -> str:
        """A short name that stays the same from run to run: the same trouble with the same thing in the same step."""
        digest = hashlib.sha256(f"{step}\0{self.code}\0{self.subject}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:10]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verb is, taken at one instant. Records are what the step counts: blobs, decisions, ops, lines."""

    doing: str
    """What is being done now, in the operator's words: `copying`, `reading back`, `hashing`."""
    done: int
    total: int | None
    done_bytes: int = 0
    total_bytes: int | None = None
    rate: float | None = None
    """Records a second over the last few seconds; None when not known yet."""
    eta_s: float | None = None
    """Seconds to the end; None rather than a guess."""
    waiting: str = ""
    """Why nothing moves at the moment; empty when it does."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    limit_records_s: float | None = None
    """The rate limit as it is now, in records a second; None: no limit. Filled in by the context."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run or an undo did, in records."""

    created: int = 0
    """Written by this run and acknowledged."""
    present: int = 0
    """Already at the target with equal content, so left alone."""
    unchanged: int = 0
    """Had a receipt from earlier in this run of the migration: nothing to do."""
    removed: int = 0
    """Taken away by an undo."""
    quarantined: int = 0
    conflicts: int = 0
    size_bytes: int = 0
    """Bytes written."""
    summary: str = ""
    """One sentence for the operator."""
    skipped: bool = False
    """True: honestly not done, `summary` says why (such as: no test command is configured)."""
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing compared with another, such as `blobs in MinIO`."""

    name: str
    proof: str
    """How it was compared: `by content`, `by digest` or `by presence`."""
    compared: int
    equal: int
    size_bytes: int = 0

    @property
    def different(self) -> int:
        return self.compared - self.equal


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a verify; each difference was also reported as a finding, by name."""

    comparisons: tuple[Comparison, ...]
    differences: int
    """Records missing at the target, different there, or there without a source."""
    summary: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.differences == 0 and all(c.different == 0 for c in self.comparisons)


class Keep(StrEnum):
    """Which side of a conflict a person keeps."""

    TARGET = "target"
    SITE = "site"


class Step(Protocol):
    """One unit of work. `plan`, `check` and `verify` write nothing to site or target."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        """Exactly what `run` would do now, a sentence each, with counts; the same words for the same site and target.

        Ends with a digest of the set where it copies one, so that a site that has moved gives another plan.
        """
        ...

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        """Look before running: yields what was found; a blocker forbids the run."""
        ...

    def run(self, ctx: StepContext) -> Outcome:
        """Do it: idempotent, and resumes after a stop or a crash."""
        ...

    def verify(self, ctx: StepContext) -> Verdict:
        """Read site and target and compare; trusts no receipt."""
        ...

    def undo(self, ctx: StepContext) -> Outcome:
        """Remove what intents and receipts call ours, and nothing else."""
        ...


class Resolver(Protocol):
    """A step whose conflicts a person can resolve."""

    def resolve(self, ctx: StepContext, finding: Finding, keep: Keep) -> Outcome:
        """Keep the target's value (and say so in the receipt), or put the site's there, the other one kept for undo."""
        ...


class Rechecker(Protocol):
    """A step of several checks, each of which can be made again by itself."""

    def require_made(self, journal: StepJournal, name: str) -> None:
        """Raise `SettingsError` for a name that no check has, `Blocked` where the others were not made yet."""
        ...

    def recheck(self, ctx: StepContext, name: str) -> Outcome:
        """Make one check again; the outcome is that of all."""
        ...
