"""Preflight's checks by name, and how each came out, as the journal keeps it; light, for those who only show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from canswarm_tui.engine.journal.schema import Json

FACT: Final = "checks"
"""The fact of the preflight step that holds them: name → `Checked` without its name."""
BY: Final = "check"
"""The detail of a finding that names its check."""
TITLES: Final[Mapping[str, str]] = {
    "site": "the parts of the site", "writers": "other writers", "plan-store": "plan store", "clock": "Lamport clock",
    "decisions": "decisions in Redis", "content": "content store", "audit": "audit log",
    "decided": "decisions that the audit log names", "bus": "bus", "etcd": "etcd", "minio": "S3 endpoint (MinIO)",
    "ipfs": "IPFS", "opa": "OPA", "policy": "own policy", "disk": "disk", "memory": "memory", "time": "time",
}  # fmt: skip
"""In the order in which they are made."""


@dataclass(frozen=True, slots=True)
class Checked:
    """How one check came out, at `at` (seconds since the epoch), after `seconds`: findings by level."""

    name: str
    at: float
    seconds: float
    blockers: int
    warnings: int
    notes: int

    @property
    def word(self) -> str:
        """The gravest level that it found, or `fine`."""
        found = (("blocker", self.blockers), ("warning", self.warnings), ("note", self.notes))
        return next((word for word, count in found if count), "fine")

    def as_fact(self) -> dict[str, Json]:
        facts: dict[str, Json] = asdict(self)
        return facts


def checked_of(fact: Json) -> dict[str, Checked]:
    """Checks that have come out, by name; what is not as `Checked` writes it is left out."""
    found: dict[str, Checked] = {}
    for name, one in fact.items() if isinstance(fact, dict) else ():
        try:
            found[name] = Checked(**one)  # type: ignore[arg-type]
        except TypeError:
            continue
    return found
