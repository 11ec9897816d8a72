"""What the plan store's step finds, in the operator's words."""

from __future__ import annotations

from pathlib import Path

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal import Receipt
from canswarm_tui.engine.step import Finding, Kind, Level
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.v1.plan_rows import BadRow
from canswarm_tui.engine.v2.plan_document.rows import Conflict, Rejected


def not_writable(folder: Path) -> Finding:
    return Finding(
        "plan.not_writable", Level.BLOCKER, Kind.CONDITION, str(folder),
        "this program may not write there, and that is where v2 looks for the plan document",
        "give its user the right to write into this folder",
    )  # fmt: skip


def partitioned(ops: int, needed_bytes: int, documents: int) -> Finding:
    return Finding(
        "plan.partitioned", Level.NOTE, Kind.CONDITION, "plan store",
        f"one document of {ops:,} ops would take about {bytes_text(needed_bytes)} of memory, so {documents} documents"
        " are written",
        "nothing; to have one document, raise engine.memory_budget_mib before the first run",
    )  # fmt: skip


def told_file(digest: bytes, size_bytes: int) -> str:
    return f"SHA-256 {digest.hex()}, {size_bytes:,} bytes"


def foreign_file(path: Path, key: bytes, digest: bytes, receipt: Receipt | None) -> Finding:
    site = f"as this run last wrote it: SHA-256 {receipt.digest.hex()}" if receipt else "not written yet"
    return Finding(
        "plan.conflict", Level.WARNING, Kind.CONFLICT, str(path),
        "a plan document is there that this run did not write; it was not overwritten",
        "find out who wrote it, then `canswarm-tui findings resolve ID --keep target` or `--keep site`",
        {"key": key.hex(), "site": site, "target": told_file(digest, path.stat().st_size)},
    )  # fmt: skip


def changed_file(path: Path) -> Finding:
    return Finding(
        "plan.changed", Level.WARNING, Kind.CONDITION, str(path),
        "the file has changed since this run wrote it", "find out who wrote it; v2 does so once it runs",
    )  # fmt: skip


def damaged_file(error: EngineError) -> Finding:
    return Finding("plan.damaged", Level.WARNING, Kind.DIFFERENCE, error.subject, error.happened, error.remedy)


def bad_row(bad: BadRow) -> Finding:
    return Finding(
        "plan.bad_row", Level.WARNING, Kind.QUARANTINE, shown(bad.name),
        f"the row is no op as v1 writes it: {'; '.join(bad.faults)}",
        "mend the row in plan.db and run the step again, or accept it with a reason: it is not migrated",
        {"rowid": str(bad.rowid)},
    )  # fmt: skip


def unfit_op(rejected: Rejected) -> Finding:
    return Finding(
        "plan.op_unfit", Level.WARNING, Kind.QUARANTINE, shown(rejected.op_id),
        f"no plan document can hold this op: {rejected.reason}",
        "mend the row in plan.db and run the step again, or accept it with a reason: it is not migrated",
        {"rowid": str(rejected.place)},
    )  # fmt: skip


def changed_op(conflict: Conflict) -> Finding:
    return Finding(
        "plan.op_conflict", Level.WARNING, Kind.DIFFERENCE, shown(conflict.op_id),
        "the row has changed in the site since it was migrated; v1's log is append-only. The document keeps its own",
        "find out who changed the row; undo the step and run it again, or accept it with a reason",
        {"site": shown(repr(conflict.wanted[1:])), "target": shown(repr(conflict.there[1:]))},
    )  # fmt: skip


def missing_file(path: Path) -> Finding:
    return Finding(
        "plan.missing", Level.WARNING, Kind.DIFFERENCE, str(path),
        "the plan document is not there", "run the step again: it writes it anew",
    )  # fmt: skip


def kept_file(path: Path) -> Finding:
    return Finding(
        "plan.kept", Level.WARNING, Kind.CONFLICT, str(path),
        "this run wrote the file, but it has changed since, so it was kept",
        "look at it; remove it yourself if nobody needs it, then accept this finding",
    )  # fmt: skip
