"""A sink in memory that can fail before or after the effect, at the n-th call: the twin that tests the transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Wanted


@dataclass
class MemorySink:
    """Holds (digest, tag) by key. `fail` maps a call's number (from 1, writes only) to 'before', 'half' or 'after'."""

    max_records: int = 3
    max_bytes: int = 1 << 20
    held: dict[bytes, tuple[bytes, str]] = field(default_factory=dict)
    fail: dict[int, str] = field(default_factory=dict)
    writes: int = 0
    created: int = 0

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        self.writes += 1
        when = self.fail.get(self.writes)
        if when == "before":
            raise Unreachable("memory", "no answer", "try again")
        part = batch[: len(batch) // 2] if when == "half" else batch
        landed = [self._put(r, tag) for r in part]
        if when is not None:
            raise Unreachable("memory", "no answer", "try again")
        return landed

    def _put(self, record: Record, tag: str) -> Landed:
        if record.key not in self.held:
            self.held[record.key] = (record.digest, tag)
            self.created += 1
            return Landed(record.key, Fate.CREATED)
        return self._look(Wanted(record.key, record.digest, record.size), "")

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:
        return [self._look(w, tag) for w in batch]

    def _look(self, wanted: Wanted, tag: str) -> Landed:
        there = self.held.get(wanted.key)
        if there is None:
            return Landed(wanted.key, Fate.ABSENT)
        if there[0] != wanted.digest:
            return Landed(wanted.key, Fate.CONFLICT, existing=there[0])
        return Landed(wanted.key, Fate.CREATED if there[1] == tag else Fate.PRESENT)

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:
        return [self._remove(w, tag) for w in batch]

    def _remove(self, wanted: Wanted, tag: str) -> Removal:
        there = self.held.get(wanted.key)
        if there is None:
            return Removal.GONE
        if there != (wanted.digest, tag):
            return Removal.KEPT
        del self.held[wanted.key]
        return Removal.REMOVED
