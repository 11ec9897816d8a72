"""How long work took here: parts of a backup and a rollback by the clock, whole verbs by the journal's history."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from canswarm_tui.engine.journal import Journal, Json, StepJournal
from canswarm_tui.engine.step import Verb

READ_BACK, MAKE, RESTORE, COMPARE = "read back", "make", "restore", "compare"
"""The parts of a backup and its proof, and of a rollback."""
TOOK = "took"
"""The fact of a step that holds what its parts took."""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds for an amount: bytes for the parts of a backup, records for a verb."""

    seconds: float
    amount: int

    def for_amount(self, amount: int) -> float:
        """Seconds for another amount at the same speed; the same seconds where either is nothing."""
        return self.seconds * amount / self.amount if self.amount and amount else self.seconds


def took_since(began: float, amount: int) -> Took:
    """Since a moment of the monotonic clock."""
    return Took(time.monotonic() - began, amount)


def remember(journal: StepJournal, taken: Mapping[str, Took]) -> None:
    """Keep what parts took, beside the parts that were timed before."""
    known = {**from_fact(journal.fact(TOOK)), **taken}
    journal.set_fact(TOOK, {name: [round(took.seconds, 3), took.amount] for name, took in known.items()})


def from_fact(fact: Json) -> dict[str, Took]:
    """What `remember` kept; empty where nothing was timed."""
    rows = fact.items() if isinstance(fact, dict) else ()
    return {name: Took(float(row[0]), int(row[1])) for name, row in rows if isinstance(row, list)}  # type: ignore[arg-type]


def verbs_took(journal: Journal) -> dict[tuple[str, Verb], Took]:
    """The newest complete copy and undo of each step that moved anything, by (step, verb)."""
    began: dict[tuple[str, str], float] = {}
    found: dict[tuple[str, Verb], Took] = {}
    for at, step, verb, what, data in _history(journal):
        if what == "started":
            began[step, verb] = at
        elif what == "ended" and (step, verb) in began:
            moved = data.get("moved", 0)
            if isinstance(moved, int) and moved > 0:
                found[step, Verb(verb)] = Took(at - began[step, verb], moved)
    return found


def _history(journal: Journal) -> Iterator[tuple[float, str, str, str, dict[str, Json]]]:
    after = 0
    while rows := journal.history(after=after):
        yield from (row[1:] for row in rows)
        after = rows[-1][0]
