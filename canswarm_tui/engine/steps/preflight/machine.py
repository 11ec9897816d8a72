"""Preflight's checks of this machine: free disk where we write, memory, and an estimate of the time."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from canswarm_tui.engine.step import Finding
from canswarm_tui.engine.steps.preflight.survey import Survey, blocker, note, warning
from canswarm_tui.engine.text import bytes_text, duration_text
from canswarm_tui.engine.v2.plan_document.target import estimate

_JOURNAL_BYTES_A_RECORD = 250
_PLAN_BYTES_AN_OP = 400
_SPARE_BYTES = 64 * 2**20


def disk(survey: Survey) -> Iterator[Finding]:
    """Room for what will be written: backup, journal and exports, and the plan document in the site."""
    ctx, figure = survey.ctx, survey.figure
    site_bytes = sum(figure(n) for n in ("plan store bytes", "blob bytes", "audit log bytes", "Redis memory bytes"))
    records = figure("blobs") * 2 + figure("decisions")
    # A backup is proved by restoring it beside itself.
    needs = {
        ctx.settings.backup_folder: 2 * site_bytes,
        ctx.folder: records * _JOURNAL_BYTES_A_RECORD + site_bytes + figure("audit log bytes"),
        ctx.settings.site.plan_db.parent: figure("ops") * _PLAN_BYTES_AN_OP,
    }
    by_disk: dict[int, tuple[Path, int]] = {}
    for folder, needed in needs.items():
        there = _existing(folder)
        if not there.is_dir():
            yield blocker("disk.no_folder", str(there), "it is no folder, and we have to write there",
                          "set backup.dir or state_dir to another folder")  # fmt: skip
            continue
        first, sum_bytes = by_disk.get(there.stat().st_dev, (there, _SPARE_BYTES))
        by_disk[there.stat().st_dev] = (first, sum_bytes + needed)
        if not os.access(there, os.W_OK):
            yield blocker(
                "disk.read_only", str(folder), "we may not write there", "give us the right, or set another folder"
            )
    for folder, needed in by_disk.values():
        free = shutil.disk_usage(folder).free
        text = f"about {bytes_text(needed)} will be written to its disk, {bytes_text(free)} are free"
        if free < needed:
            yield blocker(
                "disk.full", str(folder), text, "free space, or set backup.dir and CANSWARM_STATE_DIR elsewhere"
            )
        else:
            yield note("disk.enough", str(folder), text)


def memory(survey: Survey) -> Iterator[Finding]:
    """The plan document against the budget, and the budget against what is free."""
    budget = survey.ctx.settings.engine.memory_budget_mib * 2**20
    ops = survey.figure("ops")
    needed = estimate(ops, survey.figure("plan store bytes") / max(1, ops))
    free = _available_memory()
    survey.figures["plan document memory estimate bytes"] = needed
    if needed > budget:
        yield note(
            "memory.partitioned", "plan document",
            f"whole it would take about {bytes_text(needed)} of memory, the budget is {bytes_text(budget)}: split",
            "raise engine.memory_budget_mib to have one document",
        )  # fmt: skip
    wanted = min(needed, budget)
    if free is not None and free < wanted:
        yield warning(
            "memory.low", "this machine", f"{bytes_text(free)} of memory are free, {bytes_text(wanted)} are needed",
            "free memory, or lower engine.memory_budget_mib",
        )  # fmt: skip


def duration(survey: Survey) -> Iterator[Finding]:
    """How long a run will take, from a short probe of this machine; said as what it is, an estimate."""
    speed = _probe()
    figure = survey.figure
    seconds = (
        figure("blobs") / 700 + figure("blob bytes") * 6 / 200e6 + figure("decisions") / 20_000
        + figure("ops") / 25_000 + figure("audit lines") / 6_000 + 5
    ) / speed  # fmt: skip
    survey.figures["estimated seconds"] = round(seconds)
    yield note(
        "time.estimate", "a whole run", f"about {duration_text(seconds)}, from a probe of this machine's speed alone",
        "networks and disks of the targets can make it longer; the run shows its own rate",
    )  # fmt: skip


def _probe() -> float:
    """This machine's speed as a ratio to the one on which the rates above were measured (2 cores, 450 MB/s SHA-256)."""
    block = os.urandom(1 << 20)
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < 0.15:
        hashlib.sha256(block).digest()
        rounds += 1
    per_core = rounds * len(block) / (time.perf_counter() - began) / 450e6
    return max(0.1, min(4.0, per_core * min(4, len(os.sched_getaffinity(0))) / 2))


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


def _available_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) * 1024
