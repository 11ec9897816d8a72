"""What a plan document holds beside what v1's plan store holds: op for op in order, then every difference by name.

Equal stores are told in one walk side by side in constant memory. Only where that walk breaks are both sides put in
order by op_id on disk, so that what is missing, more, different or out of order has a name.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import cast

from canswarm_tui.engine.compare import Keyed, Pair, Side, side_by_side
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_rows import BadRow
from canswarm_tui.engine.v2.plan_document.rows import OP_COLUMNS, TASK_COLUMNS, Row, fault
from canswarm_tui.engine.v2.plan_document.store import Reading
from canswarm_tui.engine.v2.plan_document.views import Projection

_AT_ONCE = 1_000
_cells = attrgetter(
    "rowid", "op_id", "thread_id", "lamport", "actor_id", "op_type", "task_id", "payload_json", "timestamp_ns"
)
Report = Callable[[Finding], None]
Tick = Callable[[int], None]


def op_rows(db: PlanDb, bad: Callable[[BadRow], None]) -> Iterator[Row]:
    """The ops of a plan store in v1's order; rows that are none go to `bad`."""
    for op in db.ops():
        if isinstance(op, BadRow):
            bad(op)
        else:
            yield cast("Row", _cells(op))


@dataclass(frozen=True, slots=True)
class OpsCompared:
    comparison: Comparison
    quarantined: int
    """Ops of the site that no document can hold; the run has named them."""
    others: int
    """Ops that v2 has written since."""


@dataclass
class OpsComparison:
    """Compares the ops of both sides. `partitioned`: an op's place must be its rowid."""

    db: PlanDb
    reading: Reading
    partitioned: bool
    scratch: Path
    report: Report
    tick: Tick

    def run(self) -> OpsCompared:
        walked = self._side_by_side()
        return self._by_name() if walked is None else walked

    def _side_by_side(self) -> OpsCompared | None:
        """None where the two sides part."""
        first = 0 if self.partitioned else 1
        found_rows = self.reading.ops()
        found = next(found_rows, None)
        equal = quarantined = 0
        with closing(Projection()) as judge:
            for wanted in self._site():
                if found is not None and wanted[first:] == found[first:]:
                    equal += 1
                    found = next(found_rows, None)
                    if equal % _AT_ONCE == 0:
                        self.tick(equal)
                elif unfit(wanted, judge):
                    quarantined += 1
                else:
                    return None
        others = 0
        while found is not None:
            if found[0]:
                return None
            others += 1
            found = next(found_rows, None)
        return self._result(equal, equal, quarantined, others)

    def _by_name(self) -> OpsCompared:
        with Spool(self.scratch) as site, Spool(self.scratch) as there:
            fit, quarantined = self._fill_site(site)
            others = self._fill_target(there)
            differences = 0
            for finding in _op_differences(site, there):
                differences += 1
                self.report(finding)
            if not differences:
                self.report(self._order())
                differences = 1
        return self._result(fit, max(0, fit - differences), quarantined, others)

    def _fill_site(self, spool: Spool) -> tuple[int, int]:
        fit = quarantined = 0
        with closing(Projection(self.scratch / "judge.db")) as judge:
            rows = self._site()
            while batch := list(islice(rows, _AT_ONCE)):
                sound = [row for row in batch if not unfit(row, judge)]
                spool.put_many(map(_keyed_op, sound))
                fit += len(sound)
                quarantined += len(batch) - len(sound)
                self.tick(fit)
        return fit, quarantined

    def _fill_target(self, spool: Spool) -> int:
        others = 0
        rows = self.reading.ops()
        while batch := list(islice(rows, _AT_ONCE)):
            spool.put_many(_keyed_op(row) for row in batch if row[0])
            others += sum(not row[0] for row in batch)
            self.tick(0)
        return others

    def _site(self) -> Iterator[Row]:
        return op_rows(self.db, lambda _bad: None)

    def _order(self) -> Finding:
        with closing(Projection(self.scratch / "judge.db")) as judge:
            wanted = (row for row in self._site() if not unfit(row, judge))
            for expected, row in zip(wanted, self.reading.ops(), strict=False):
                if expected[1] != row[1] or (self.partitioned and expected[0] != row[0]):
                    break
        return Finding(
            "plan.order", Level.WARNING, Kind.DIFFERENCE, shown(expected[1]),
            f"every op is there, but not in v1's order: where v1 has this one (rowid {expected[0]}), the document has"
            f" {shown(row[1])} (place {row[0]})",
            "keep the document, find out who wrote it, undo the step and run it again",
        )  # fmt: skip

    def _result(self, compared: int, equal: int, quarantined: int, others: int) -> OpsCompared:
        size = sum(document.size for document in self.reading.documents)
        return OpsCompared(
            Comparison("ops in Automerge, in v1's order", "by content", compared, equal, size), quarantined, others
        )


def unfit(row: Row, judge: Projection) -> str:
    """Why the run had to quarantine this op, or nothing."""
    return fault(row) or judge.take(row)


def _keyed_op(row: Row) -> Keyed:
    return row[1].encode("utf-8", "backslashreplace"), repr(row[1:]).encode()


def _op_differences(site: Spool, there: Spool) -> Iterator[Finding]:
    for pair in side_by_side(site.items(), there.items()):
        if pair.side is not Side.EQUAL:
            yield _difference("plan.op", shown(pair.key), pair, OP_COLUMNS)


def compare_views(db: PlanDb, reading: Reading, report: Report) -> tuple[Comparison, Comparison]:
    """The derived tasks and edges in the documents against v1's tables, by content."""
    tasks = (
        (t.task_id.encode(), repr((t.task_id, t.thread_id, t.task_type, t.state, t.last_lamport)).encode())
        for t in db.tasks()
        if not isinstance(t, BadRow)
    )
    there = ((row[0].encode(), repr(row).encode()) for row in reading.tasks())
    edges = ((_edge_key(e.parent_id, e.child_id), b"") for e in db.edges() if not isinstance(e, BadRow))
    edges_there = ((_edge_key(*edge), b"") for edge in reading.edges())
    return (
        _compare("tasks in Automerge", "plan.task", TASK_COLUMNS, tasks, there, report),
        _compare("edges in Automerge", "plan.edge", (), edges, edges_there, report),
    )


def _edge_key(parent: str, child: str) -> bytes:
    # Parent, then child, in the order of their bytes: NUL is escaped so that it can part the two.
    return b"\0\0".join(end.encode().replace(b"\0", b"\0\1") for end in (parent, child))


def _compare(
    name: str, code: str, columns: Sequence[str], site: Iterable[Keyed], target: Iterable[Keyed], report: Report
) -> Comparison:
    compared = equal = 0
    for pair in side_by_side(site, target):
        compared += 1
        if pair.side is Side.EQUAL:
            equal += 1
            continue
        report(_difference(code, shown(pair.key.replace(b"\0\0", " → ".encode())), pair, columns))
    return Comparison(name, "by content", compared, equal)


def _difference(code: str, subject: str, pair: Pair, columns: Sequence[str]) -> Finding:
    suffix, happened = {
        Side.MISSING: ("missing", "v1 has it, the plan document has not"),
        Side.EXTRA: ("extra", "the plan document has it, v1 has not"),
        Side.DIFFERS: ("differs", f"v1 and the plan document differ in {_differing(pair, columns)}"),
    }[pair.side]
    return Finding(
        f"{code}_{suffix}", Level.WARNING, Kind.DIFFERENCE, subject, happened,
        "run the step again if the site has moved; else compare both and accept this with a reason, or undo the step",
        {side: shown(value) for side, value in (("site", pair.source), ("target", pair.target)) if value},
    )  # fmt: skip


def _differing(pair: Pair, columns: Sequence[str]) -> str:
    """The columns whose values are not written alike; all of them where that can't be told."""
    try:
        site, target = (
            list(map(repr, literal_eval((value or b"()").decode()))) for value in (pair.source, pair.target)
        )
    except ValueError:
        site, target = [], []
    differ = [name for name, ours, theirs in zip(columns, site, target, strict=False) if ours != theirs]
    return ", ".join(differ or columns)
