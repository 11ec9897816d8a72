"""Peak memory of the decisions step, for few and for many: planned, copied, compared, in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import redis

from benchmarks.measure import Result, server
from benchmarks.stores import context, fill_redis
from canswarm_tui.engine.settings import EtcdSettings, Settings, SiteSettings
from canswarm_tui.engine.steps.decisions import Decisions

FEW, MANY = 10_000, 1_000_000


def flatness(folder: Path, scale: float) -> Iterator[Result]:
    """The same step on a hundred times as many decisions."""
    few, many = (_peak_mib(folder / str(count), count) for count in (int(FEW * scale), int(MANY * scale)))
    detail = f"{FEW * scale:,.0f}: {few:,.0f} MiB, {MANY * scale:,.0f}: {many:,.0f} MiB; planned, copied and compared"
    yield Result("memory for 100 times as many decisions", many / few, 1.5, "×", False, detail)


def _peak_mib(folder: Path, count: int) -> float:
    with server("redis", folder) as source, server("etcd", folder) as target:
        fill_redis(redis.Redis(port=source.port), count)
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", str(source.port), target.endpoint, str(folder), str(count)],
            check=True,
            stdout=subprocess.PIPE,
        )
    return float(json.loads(child.stdout)["peak_mib"])


def _run(redis_port: str, etcd: str, folder: str, count: str) -> None:
    site = SiteSettings(root=Path(folder), redis_url=f"redis://127.0.0.1:{redis_port}/0")
    ctx = context(Path(folder) / "run", Settings(site=site, etcd=EtcdSettings(endpoints=(etcd,), timeout_s=60)))
    step = Decisions()
    step.plan(ctx)
    outcome, verdict = step.run(ctx), step.verify(ctx)
    assert outcome.created == int(count)
    assert verdict.passed
    assert verdict.comparisons[0].equal == int(count)
    ctx.journal.close()
    print(json.dumps({"peak_mib": _own_peak_mib()}))


def _own_peak_mib() -> float:
    """Of this process alone: `ru_maxrss` would count the parent's, inherited at its start."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    _run(*sys.argv[1:])
