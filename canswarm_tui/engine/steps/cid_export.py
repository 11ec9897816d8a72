"""The map of v1 hash to CID as a file for people and scripts: `exports/ipfs-cids.csv`, written and read back."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level
from canswarm_tui.engine.text import shown

_HEAD = ["sha256", "cid", "size_bytes"]


def cid_file(ctx: StepContext) -> Path:
    return ctx.folder / "exports" / "ipfs-cids.csv"


def export_cids(ctx: StepContext) -> int:
    """Write every v1 hash with its CID and size, sorted; returns how many."""
    path = cid_file(ctx)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    partial = path.with_suffix(".partial")
    count = 0
    with partial.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file)
        writer.writerow(_HEAD)
        for count, row in enumerate(_expected(ctx), 1):  # noqa: B007 - the last one is the number
            writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return count


def verify_export(ctx: StepContext) -> Comparison:
    """Every blob that has arrived beside its line of the file; what is unlike becomes one finding."""
    compared = equal = 0
    rows = _rows(cid_file(ctx))
    row = next(rows, None)
    for wanted in _expected(ctx):
        compared += 1
        while row is not None and row[:1] < wanted[:1]:
            row = next(rows, None)
        equal += row == wanted
    if equal < compared:
        happened = f"{compared - equal:,} of {compared:,} blobs are not in it as they are in IPFS"
        remedy = "run the step again: it writes the file anew"
        path = shown(str(cid_file(ctx)))
        ctx.found(Finding("cid.export", Level.WARNING, Kind.DIFFERENCE, path, happened, remedy))
    return Comparison("CIDs in the exported map", "by content", compared, equal)


def _expected(ctx: StepContext) -> Iterator[list[str]]:
    for receipt in ctx.journal.receipts():
        yield [receipt.key.decode(), receipt.place, str(receipt.size)]


def _rows(path: Path) -> Iterator[list[str]]:
    """Behind the heading, up to the end or a damage; none where the file is away."""
    try:
        with path.open(newline="", encoding="ascii", errors="backslashreplace") as file:
            lines = csv.reader(file)
            next(lines, None)
            yield from lines
    except (OSError, csv.Error):
        return
