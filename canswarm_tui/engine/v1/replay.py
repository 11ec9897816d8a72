"""v1's own check of history: each thread's envelopes replayed from the audit log in Lamport order.

An envelope counts once, however often it was delivered. A thread that fails is history that v1 would refuse today: a
warning by name, never a reason not to migrate. The lines go through a spool sorted by thread, so memory stays flat.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.v1.audit_line import DELIVER, PUBLISH, AuditLine, Carried
from canswarm_tui.engine.v1.policy import V1, Policy, Reason, decide

_BATCH: Final = 2000
_MAX_FLAWS: Final = 20
_MAX_BACK: Final = 1000
_LINE_BYTES: Final = 8
_SIDES: Final = {PUBLISH: b"P", DELIVER: b"D"}
_ORDER: Final = struct.Struct(">Q16s")
"""The end of a spool key, after the thread id: lamport, identity; so an envelope is kept once."""
_MAX_LAMPORT: Final = 2**64 - 1
CLOCK_TOLERANCE_NS: Final = 1_000_000_000
"""Several processes append to one log, so a line may be a little older than the one before."""


class ReplayFault(StrEnum):
    """Why v1 would refuse a thread today."""

    SIGNATURE = "signature_invalid"
    DENIED = "denied_by_policy"
    LAMPORT_REPEATED = "lamport_repeated"
    """Two envelopes of the thread have one Lamport value: their order is not determined."""
    SECOND_DECIDE = "second_decide"
    """A need was decided twice."""
    NO_FINALIZE = "no_finalize"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One reason, with the envelope it is about (its id, or empty) and the fact."""

    fault: ReplayFault
    envelope_id: str
    happened: str


@dataclass(frozen=True, slots=True)
class ThreadReplay:
    """The outcome for one thread; `flaws` are in replay order, the first 20 or so, `flaw_count` is all of them."""

    thread_id: str
    envelopes: int
    flaws: tuple[Flaw, ...]
    flaw_count: int

    @property
    def holds(self) -> bool:
        return self.flaw_count == 0


class GapFault(StrEnum):
    """What the log as a whole shows to be missing or out of place."""

    NEVER_PUBLISHED = "delivered_but_never_published"
    """The line of its publishing is missing: lost, or written to another machine's log."""
    NEVER_DELIVERED = "published_but_never_delivered"
    """Nobody listened, or the line of its delivery is missing."""
    CLOCK_WENT_BACK = "clock_went_back"


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing Lamport values are no gap: one clock serves all threads, and a value can be taken and never sent."""

    fault: GapFault
    line: int
    """A line that shows it."""
    subject: str
    """The envelope's id, or `line N`."""
    happened: str


class History:
    """Takes the lines of the log in order, then tells of each thread and of gaps. Close it, or use `with`."""

    def __init__(self, folder: Path | None = None) -> None:
        """Empty; its spools lie in `folder`."""
        self._threads = Spool(folder)
        self._marks = Spool(folder)
        self._pending: list[AuditLine] = []
        self._recent: set[bytes] = set()
        """Envelopes of the last batch: most deliveries follow their publishing closely and need no second look."""
        self._back: list[Gap] = []
        self._last_ts_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._threads.close()
        self._marks.close()

    def add(self, line: AuditLine) -> None:
        """The next line, in the log's order."""
        if line.ts_ns:
            if self._last_ts_ns - line.ts_ns > CLOCK_TOLERANCE_NS and len(self._back) < _MAX_BACK:
                self._back.append(_clock_gap(line, self._last_ts_ns))
            self._last_ts_ns = line.ts_ns
        if line.carried is not None:
            self._pending.append(line)
            if len(self._pending) >= _BATCH:
                self._flush()

    def replays(self, policy: Policy = V1) -> Iterator[ThreadReplay]:
        """One for each thread that an envelope names, sorted by thread id as bytes."""
        self._flush()
        for thread, entries in groupby(self._threads.items(), lambda entry: entry[0][: -_ORDER.size]):
            name = thread.decode("utf-8", "backslashreplace")
            yield _replay(name, (_unpack(value) for _, value in entries), policy)

    def gaps(self) -> Iterator[Gap]:
        """Places where the clock went back, at most the first 1,000, then envelopes with a missing side."""
        self._flush()
        yield from self._back
        for _, marks in groupby(self._marks.items(), lambda entry: entry[0][:-1]):
            sides = [(key[-1:], value) for key, value in marks]
            if len(sides) == 1:
                yield _side_gap(*sides[0])

    def _flush(self) -> None:
        if not self._pending:
            return
        carried = {line.carried.identity: line.carried for line in self._pending if line.carried is not None}
        fresh = [envelope for identity, envelope in carried.items() if identity not in self._recent]
        self._threads.put_many(map(_packed, fresh))
        self._recent = set(carried)
        self._marks.put_many(_mark(line) for line in self._pending if line.kind in _SIDES)
        self._pending.clear()


def _replay(thread_id: str, carried: Iterable[Carried], policy: Policy) -> ThreadReplay:
    flaws: list[Flaw] = []
    count = envelopes = lamport = 0
    finalized = False
    decided: set[str] = set()
    for envelope in carried:
        envelopes += 1
        found = [*_flaws(envelope, lamport, decided, policy)]
        lamport = envelope.lamport
        finalized |= envelope.facts.kind == "FINALIZE"
        if envelope.need_id is not None:
            decided.add(envelope.need_id)
        count += len(found)
        flaws += found[: _MAX_FLAWS - len(flaws)]
    if not finalized:
        count += 1
        flaws.append(Flaw(ReplayFault.NO_FINALIZE, "", "no FINALIZE: the thread is still open, or its end is lost"))
    return ThreadReplay(thread_id, envelopes, tuple(flaws), count)


def _flaws(envelope: Carried, lamport: int, decided: set[str], policy: Policy) -> Iterator[Flaw]:
    if not envelope.facts.signature_valid:
        yield Flaw(ReplayFault.SIGNATURE, envelope.id, "its signature does not hold")
    if envelope.lamport == lamport and envelope.facts.lamport_positive:
        yield Flaw(ReplayFault.LAMPORT_REPEATED, envelope.id, f"lamport {lamport} was used before")
    reasons = [reason for reason in decide(envelope.facts, policy).reasons if reason is not Reason.SIGNATURE_INVALID]
    if reasons:
        yield Flaw(ReplayFault.DENIED, envelope.id, ", ".join(reasons))
    if envelope.need_id in decided:
        yield Flaw(ReplayFault.SECOND_DECIDE, envelope.id, f"need {envelope.need_id!r} was decided before")


def _packed(carried: Carried) -> tuple[bytes, bytes]:
    lamport = min(max(carried.lamport, 0), _MAX_LAMPORT)
    thread = carried.thread_id.encode("utf-8", "surrogatepass")
    return thread + _ORDER.pack(lamport, carried.identity), pickle.dumps(carried)


def _unpack(value: bytes) -> Carried:
    carried = pickle.loads(value)  # noqa: S301 - our own temporary file
    assert isinstance(carried, Carried)
    return carried


def _clock_gap(line: AuditLine, before_ns: int) -> Gap:
    back_s = (before_ns - line.ts_ns) / 1e9
    return Gap(
        GapFault.CLOCK_WENT_BACK, line.number, f"line {line.number}", f"{back_s:.1f} s older than the line before"
    )


def _mark(line: AuditLine) -> tuple[bytes, bytes]:
    assert line.carried is not None
    name = line.carried.id.encode("utf-8", "backslashreplace")
    return line.carried.identity + _SIDES[line.kind], line.number.to_bytes(_LINE_BYTES, "big") + name


def _side_gap(side: bytes, mark: bytes) -> Gap:
    line, envelope_id = int.from_bytes(mark[:_LINE_BYTES], "big"), mark[_LINE_BYTES:].decode()
    if side == _SIDES[DELIVER]:
        return Gap(GapFault.NEVER_PUBLISHED, line, envelope_id, "delivered, but no line tells of its publishing")
    return Gap(GapFault.NEVER_DELIVERED, line, envelope_id, "published, but no line tells of a delivery")
