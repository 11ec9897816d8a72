"""The plan store of a site as a step reads it: a consistent copy, its size, its identity, and progress over it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.rate import Meter
from canswarm_tui.engine.step import Progress
from canswarm_tui.engine.steps.plan_compare import op_rows
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v2.plan_document.files import file_errors
from canswarm_tui.engine.v2.plan_document.rows import Row

SAMPLE_OPS = 20_000
"""How many ops the mean size of a row is taken from."""


@dataclass(frozen=True, slots=True)
class Source:
    """A consistent copy of the site's plan store, and what was found in it."""

    db: PlanDb
    ops: int
    mean_row_bytes: float
    identity: bytes


class Telling:
    """Progress of one verb, with a rate for each thing that is done."""

    def __init__(self, ctx: StepContext, total: int) -> None:
        self._ctx, self._total = ctx, total
        self._doing = ""
        self._meter = Meter()

    def __call__(self, doing: str, done: int) -> None:
        if doing != self._doing:
            self._doing, self._meter = doing, Meter()
        self._meter.count(done)
        self._ctx.progress(
            Progress(doing, done, self._total, rate=self._meter.rate(), eta_s=self._meter.eta_s(self._total))
        )


def copy_aside(ctx: StepContext) -> Source:
    """v1's writer is held up for milliseconds only: everything is read from a copy."""
    path, db = ctx.settings.site.plan_db, snapshot_of(ctx)
    sample = list(islice(op_rows(db, lambda _: None), SAMPLE_OPS))
    mean = sum(map(_row_bytes, sample)) / len(sample) if sample else 0.0
    # The first op of an append-only log is the same wherever the site is moved or copied to.
    first = sample[0][1].encode("utf-8", "backslashreplace") if sample else b""
    return Source(db, db.counts().ops, mean, first or str(path.resolve()).encode("utf-8", "surrogateescape"))


def snapshot_of(ctx: StepContext) -> PlanDb:
    """The site's plan store as of now, copied into the scratch folder: a long read of the file itself locks v1 out."""
    path = ctx.settings.site.plan_db

    def pages(done: int, total: int) -> None:
        ctx.stop.check()
        ctx.progress(Progress("copying plan.db aside", done, total))

    def take() -> PlanDb:
        copy = work_folder(ctx, "snapshot") / "plan.db"
        PlanDb.open(path, ctx.scratch).snapshot(copy, pages)
        return PlanDb.open(copy, ctx.scratch)

    return ctx.retry.call(take)


def _row_bytes(row: Row) -> int:
    return 24 + sum(len(cell) for cell in row if isinstance(cell, str))


def work_folder(ctx: StepContext, name: str) -> Path:
    folder = ctx.scratch / name
    with file_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
