"""Which findings are listed: by level, kind, step and words, each turned to its next value by a key."""

from __future__ import annotations

from dataclasses import dataclass, replace

from canswarm_tui.engine.checklist import STEP_NAMES
from canswarm_tui.engine.journal import StoredFinding
from canswarm_tui.engine.step import Kind

LEVELS = ("waiting", "blocker", "warning", "note", "all")
KINDS = ("all", *(kind.value for kind in Kind))
STEPS = ("all", *STEP_NAMES)
_VALUES = {"level": LEVELS, "kind": KINDS, "step": STEPS}


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """All four must pass."""

    level: str = LEVELS[0]
    kind: str = "all"
    step: str = "all"
    words: str = ""
    """Each must occur in code, subject, fact, remedy or details, in any case."""

    def passes(self, found: StoredFinding) -> bool:
        finding = found.finding
        if self.level == LEVELS[0] and not found.wants_decision:
            return False
        if self.level not in (LEVELS[0], "all", finding.level.value):
            return False
        # What a step keeps apart in the journal, such as the map of CIDs, is listed with it.
        if self.kind not in ("all", finding.kind.value) or self.step not in ("all", found.step.removesuffix("-map")):
            return False
        if not self.words:
            return True
        there = (
            found.id,
            finding.code,
            finding.subject,
            finding.happened,
            finding.remedy,
            *finding.told_details.values(),
        )
        text = "\0".join(there).casefold()
        return all(word in text for word in self.words.casefold().split())

    def next(self, what: str) -> FindingFilter:
        """With the next value of `level`, `kind` or `step`, after the last one the first."""
        values = _VALUES[what]
        value = values[(values.index(getattr(self, what)) + 1) % len(values)]
        return replace(self, **{what: value})

    def with_level(self, level: str) -> FindingFilter:
        return replace(self, level=level)

    def with_words(self, words: str) -> FindingFilter:
        return replace(self, words=words)
