"""Documentation: threads and tasks as CSV and JSON, and the audit log exported verbatim, each file read back."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, TextIO

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import NoSpace, SiteUnreadable
from canswarm_tui.engine.file_meter import FileMeter
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Verdict
from canswarm_tui.engine.steps.audit_pass import audit_pass
from canswarm_tui.engine.steps.plan_source import snapshot_of
from canswarm_tui.engine.v1 import site
from canswarm_tui.engine.v1.plan_rows import BadRow, Task

_CHUNK = 1 << 20
_COLUMNS = ("task_id", "thread_id", "task_type", "state", "last_lamport")


class Documentation:
    """Writes into the run's `exports` folder only."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        return (
            f"write threads.csv, threads.json, tasks.csv, tasks.json and audit-log.json to {_folder(ctx)}",
            "copy the audit log there as it is, with the SHA-256 of the copy compared",
        )

    def check(self, ctx: StepContext) -> Iterable[Finding]:  # noqa: ARG002 - the protocol's shape
        return ()

    def run(self, ctx: StepContext) -> Outcome:
        folder = _folder(ctx)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files: dict[str, str] = {}
        threads, tasks = _export_plan(ctx, folder, files)
        lines, bad = _export_log(ctx, folder, files)
        ctx.journal.set_fact("files", {**files})
        summary = (
            f"{threads:,} threads, {tasks:,} tasks and {lines:,} audit lines ({bad:,} not sound) exported to {folder}"
        )
        return Outcome(
            created=len(files), summary=summary,
            figures={
                "threads": threads, "tasks": tasks, "audit lines": lines, "audit lines not sound": bad,
                "exported files": len(files), "folder": str(folder),
            },
        )  # fmt: skip

    def verify(self, ctx: StepContext) -> Verdict:
        """Every exported file is there and is what was written; the log's copy is the log's beginning."""
        files = ctx.journal.fact("files")
        assert isinstance(files, dict)
        equal = 0
        for name, digest in files.items():
            if _sha256(_folder(ctx) / name) == digest:
                equal += 1
            else:
                ctx.found(_lost(_folder(ctx) / name))
        comparison = Comparison("exported files", "by digest", len(files), equal)
        return Verdict((comparison,), len(files) - equal, f"{equal} of {len(files)} exported files read back equal")

    def undo(self, ctx: StepContext) -> Outcome:
        """Remove the exported files that are still as they were written."""
        files = ctx.journal.fact("files")
        removed = 0
        for name, digest in (files if isinstance(files, dict) else {}).items():
            path = _folder(ctx) / name
            if _sha256(path) == digest:
                path.unlink()
                removed += 1
        return Outcome(removed=removed, summary=f"{removed} exported files were removed")


def _folder(ctx: StepContext) -> Path:
    return ctx.folder / "exports"


def _export_plan(ctx: StepContext, folder: Path, files: dict[str, str]) -> tuple[int, int]:
    db = snapshot_of(ctx)
    tasks = 0

    def rows() -> Iterator[Task]:
        nonlocal tasks
        tasks = 0
        for row in db.tasks():
            ctx.stop.check()
            if isinstance(row, BadRow):
                continue
            tasks += 1
            yield row

    bad = [row for row in db.tasks() if isinstance(row, BadRow)]
    ctx.found(*(_bad_task(row) for row in bad[:200]))
    threads = 0

    def thread_rows() -> Iterator[tuple[str]]:
        nonlocal threads
        threads = 0
        for thread in db.thread_ids():
            threads += 1
            yield (thread,)

    files["threads.csv"] = _written(folder / "threads.csv", lambda f: _csv(f, ("thread_id",), thread_rows()))
    files["threads.json"] = _written(folder / "threads.json", lambda f: _json(f, (t for (t,) in thread_rows())))
    task_rows: Callable[[], Iterator[tuple[object, ...]]] = lambda: (  # noqa: E731
        (t.task_id, t.thread_id, t.task_type, t.state, t.last_lamport) for t in rows()
    )
    files["tasks.csv"] = _written(folder / "tasks.csv", lambda f: _csv(f, _COLUMNS, task_rows()))
    files["tasks.json"] = _written(folder / "tasks.json", lambda f: _json(f, (asdict(t) for t in rows())))
    return threads, tasks


def _bad_task(row: BadRow) -> Finding:
    return Finding(
        "documentation.bad_task", Level.WARNING, Kind.CONDITION, row.name, "; ".join(row.faults),
        "it is left out of the export; tasks are derived from ops, which are migrated",
    )  # fmt: skip


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as exc:
        raise SiteUnreadable(str(path), exc.strerror or str(exc), "check the file's rights and its disk") from exc


def _export_log(ctx: StepContext, folder: Path, files: dict[str, str]) -> tuple[int, int]:
    """Copy the log up to its present size, and say what is not sound in it; returns lines and unsound lines."""
    path = site.log_file(ctx.settings.site)
    if not path.exists():
        return 0, 0
    size = path.stat().st_size
    sha = hashlib.sha256()
    target = folder / "swarm.jsonl"
    partial = target.with_suffix(".partial")
    partial.touch(mode=0o600)
    with _opened(path) as source, partial.open("wb") as copy:
        done, meter = 0, FileMeter("copying the audit log", size)
        while done < size and (chunk := source.read(min(_CHUNK, size - done))):
            ctx.stop.check()
            sha.update(chunk)
            done += copy.write(chunk)
            ctx.progress(meter.at(0, done))
        copy.flush()
        os.fsync(copy.fileno())
    partial.replace(target)
    files["swarm.jsonl"] = sha.hexdigest()
    found = audit_pass(ctx)
    assert found is not None
    summary = {
        "lines": found.lines, "not_sound": found.bad_count, "gaps": found.gap_count, "sha256": sha.hexdigest(),
        "bad_lines": [asdict(b) for b in found.bad], "gap_list": [asdict(g) for g in found.gaps],
        "refused_today": [asdict(r) for r in found.refusals],
    }  # fmt: skip
    files["audit-log.json"] = _written(folder / "audit-log.json", lambda f: json.dump(summary, f, indent=1))
    if found.reused:
        ctx.say("every signature of the audit log was checked by the preflight, and the log has not changed since")
    return found.lines, found.bad_count


def _written(path: Path, write: Callable[[TextIO], None]) -> str:
    """Write whole or not at all; returns the SHA-256 of the file as it was read back."""
    partial = path.with_name(path.name + ".partial")
    partial.touch(mode=0o600)
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise NoSpace(
            str(path), f"it could not be written: {exc.strerror}", "free space on its disk, then run again"
        ) from exc
    partial.replace(path)
    return _sha256(path)


def _csv(file: TextIO, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)


def _json(file: TextIO, items: Iterable[object]) -> None:
    """A JSON array, an item a line, streamed."""
    file.write("[")
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(item))
    file.write("\n]\n")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _lost(path: Path) -> Finding:
    return Finding(
        "documentation.changed", Level.WARNING, Kind.DIFFERENCE, str(path), "this export is missing or has changed",
        "run the step again: it writes it anew",
    )  # fmt: skip
