"""Ops on their way in: looked at, projected, and laid out in scratch files, one set for each document.

A document is built from its own file alone, so a site of any size passes through a few buffers here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.v2.plan_document.frames import CHUNK_ROWS, Spool
from canswarm_tui.engine.v2.plan_document.rows import Rejected, Row, fault
from canswarm_tui.engine.v2.plan_document.target import PlanTarget
from canswarm_tui.engine.v2.plan_document.views import Projection

_BUFFERED_ROWS: Final = 32_768
_LOOK_EVERY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Lot:
    """The input of one document, as scratch files of rows."""

    ops: Path
    tasks: Path
    edges: Path
    op_count: int
    task_count: int
    edge_count: int


def lay_out(
    rows: Iterable[Row],
    target: PlanTarget,
    scratch: Path,
    look: Callable[[int], None],
    rejected: Callable[[Rejected], None],
) -> tuple[Lot, ...]:
    """One lot for each document, in order. `rows` come in v1's order; `look` hears how many came so far."""
    lots = len(target.documents)
    ops, tasks, edges = (_spools(scratch, kind, lots) for kind in ("ops", "tasks", "edges"))
    with closing(Projection(scratch / "projection.db")) as projection:
        for count, row in enumerate(rows, 1):
            if count % _LOOK_EVERY == 0:
                look(count)
            reason = fault(row) or projection.take(row)
            if reason:
                rejected(Rejected(row[0], str(row[1]), reason))
            else:
                ops[target.part_of(row[2])].add(row)
        for task in projection.tasks(as_made=True):
            tasks[target.part_of(task[1])].add(task)
        for thread_id, parent, child in projection.owned_edges():
            edges[target.part_of(thread_id)].add((parent, child))
    for spool in (*ops, *tasks, *edges):
        spool.flush()
    return tuple(
        Lot(o.path, t.path, e.path, o.count, t.count, e.count) for o, t, e in zip(ops, tasks, edges, strict=True)
    )


def _spools(scratch: Path, kind: str, lots: int) -> list[Spool]:
    chunk = max(1, min(CHUNK_ROWS, _BUFFERED_ROWS // lots))
    return [Spool(scratch / f"{number:04d}.{kind}", chunk) for number in range(lots)]
