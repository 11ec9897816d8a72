"""What preflight's checks share: the figures they fill in, and short ways to say a finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.step import Figure, Finding, Kind, Level
from canswarm_tui.engine.text import shown

NAMED_AT_MOST = 200
"""Findings of one sort that are named one by one; the rest are counted."""


@dataclass
class Survey:
    """One preflight: its context, and the figures of the inventory as the checks find them."""

    ctx: StepContext
    figures: dict[str, Figure] = field(default_factory=dict)
    _named: dict[str, int] = field(default_factory=dict)

    def figure(self, name: str) -> int:
        """A figure found by an earlier check, 0 when it is not known."""
        value = self.figures.get(name, 0)
        return int(value) if isinstance(value, int | float) else 0

    def named(self, finding: Finding) -> Iterator[Finding]:
        """The finding, unless its sort has been named often enough; `left_out` tells how many were not."""
        count = self._named[finding.code] = self._named.get(finding.code, 0) + 1
        if count <= NAMED_AT_MOST:
            yield finding

    def left_out(self) -> Iterator[Finding]:
        """One finding for each sort that was too many to name since the last call."""
        counts, self._named = self._named, {}
        for code, count in counts.items():
            if count > NAMED_AT_MOST:
                yield warning(
                    f"{code}.more", f"{count:,} of {code}", f"{NAMED_AT_MOST} are named, the others are like them",
                    "the step that migrates them names every one",
                )  # fmt: skip


def warning(code: str, subject: str, happened: str, remedy: str, details: Mapping[str, str] | None = None) -> Finding:
    return Finding(code, Level.WARNING, Kind.CONDITION, shown(subject), happened, remedy, details or {})


def note(code: str, subject: str, happened: str, remedy: str = "nothing") -> Finding:
    return Finding(code, Level.NOTE, Kind.CONDITION, shown(subject), happened, remedy)


def blocker(code: str, subject: str, happened: str, remedy: str, blocks: str = "") -> Finding:
    """A blocker; `blocks` names the only steps it blocks, comma-separated, or none for all."""
    return Finding(
        code, Level.BLOCKER, Kind.CONDITION, shown(subject), happened, remedy, {"blocks": blocks} if blocks else {}
    )
