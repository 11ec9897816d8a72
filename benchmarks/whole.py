"""Benchmarks of the policy, of a million ops, and of a whole site from preflight to final verification."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.measure import Result, median_ratio, peak_memory, seconds, server
from canswarm_tui.engine.conformance import conformance_set
from canswarm_tui.engine.settings import OpaSettings, PolicySettings
from canswarm_tui.engine.v2.plan_document import store
from canswarm_tui.engine.v2.plan_document.target import PlanTarget, choose_partitions, site_actor
from canswarm_tui.sandbox import site_redis, stack
from canswarm_tui.sandbox.site import write_site


def policy(folder: Path, scale: float) -> Iterator[Result]:
    """The shipped WASM in batches, beside the same Rego in OPA over HTTP, one request after another."""
    from canswarm_tui.engine.v2.policy.opa_client import OpaClient
    from canswarm_tui.engine.v2.policy.policy_opa import OpaSink, records_of
    from canswarm_tui.engine.v2.policy.policy_wasm import WasmPolicy
    from canswarm_tui.engine.v2.policy.source import load_source, shipped_wasm

    cases = [json.dumps(case.input).encode() for case in conformance_set()]
    source = load_source(PolicySettings())
    shipped = shipped_wasm()
    wasm = WasmPolicy(shipped.wasm, shipped.sha256, source.document)
    rounds = max(1, int(20 * scale))
    with server("opa", folder) as opa, OpaClient(OpaSettings(url=opa.endpoint)) as client:
        arrived = records_of(source)
        OpaSink(client, [r.key for r in arrived]).write(arrived, "bench-1")
        few = list(islice(cases, 500))
        ratio, over_http, batched = median_ratio(
            lambda: len(few) / seconds(lambda: [client.decide(one) for one in few]),
            lambda: len(cases) * rounds / seconds(lambda: [list(wasm.decide_batch(cases)) for _ in range(rounds)]),
        )
    yield Result(
        "policy in WASM, batched / OPA over HTTP one by one", ratio, 30, "×", True,
        f"{batched:,.0f}/s beside {over_http:,.0f}/s",
    )  # fmt: skip


def million_ops(folder: Path, scale: float) -> Iterator[Result]:
    """A million ops into Automerge, saved, loaded again from the disk, and compared field for field."""
    count = int(1_000_000 * scale)
    payload = json.dumps({"type": "build", "spec": "x" * 150})
    states = ("DRAFT", "DECIDED", "VERIFIED", "FINAL")

    def rows() -> Iterator[tuple[int, str, str, int, str, str, str, str, int]]:
        for n in range(1, count + 1):
            thread = f"thread-{n // 11:08d}"
            if n % 11 == 1:
                kind, body = "ADD_TASK", payload
            else:
                kind, body = "STATE", json.dumps({"state": states[n % 4]})
            yield (
                n,
                f"op-{n:09d}",
                thread,
                n,
                "lCMGN13xVaQo/j3EOxXiGhXC1heIuDW0KKxojZakDl4=",
                kind,
                thread,
                body,
                2**60 + n,
            )

    budget = 1024 * 2**20
    target = PlanTarget(
        folder / "plan.bin", folder / "plan", site_actor(b"bench"), choose_partitions(count, 300, budget, 2)
    )
    (folder / "scratch").mkdir()
    (folder / "plan").mkdir()
    tools = store.Tools(folder / "scratch", 2)

    def work() -> None:
        store.publish(store.prepare(target, rows(), tools))
        reading = store.read(target, tools)
        compared = 0
        for expected, found in zip(rows(), reading.ops(), strict=True):
            assert found == expected
            compared += 1
        assert compared == count

    with peak_memory() as peak:
        took = seconds(work)
    detail = f"{count:,} ops in {target.partitions} documents, all processes together"
    yield Result("ops into Automerge, saved, reloaded, compared", took, 60 * scale, "s", False, detail)
    yield Result("peak memory meanwhile", peak[0], 1500, "MiB", False, detail)


def whole_site(folder: Path, scale: float) -> Iterator[Result]:
    """`canswarm-tui run` on a generated site, every step and every verification."""
    threads = int(10_000 * scale)
    servers = folder / "servers"
    stack.up(servers)
    try:
        environment = {**os.environ, **stack.environment(servers), "CANSWARM_SITE__ROOT": str(folder / "site"),
                       "CANSWARM_STATE_DIR": str(folder / "state")}  # fmt: skip
        write_site(folder / "site", threads, 1)
        from canswarm_tui.engine.settings import SiteSettings

        redis_url = environment["CANSWARM_SITE__REDIS_URL"]
        site_redis.load(folder / "site" / "redis.jsonl", SiteSettings(root=folder / "site", redis_url=redis_url))
        command = [sys.executable, "-m", "canswarm_tui", "run", "--yes", "--json"]
        done: list[subprocess.CompletedProcess[str]] = []

        def run() -> None:
            done.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=False))

        with peak_memory() as peak:
            first = seconds(run)
        assert done[0].returncode == 0, done[0].stderr[-2000:]
        again = seconds(run)
        assert done[1].returncode == 0, done[1].stderr[-2000:]
    finally:
        stack.down(servers)
    detail = f"{threads:,} threads, every step, verification included; a second run with nothing new {again:.0f} s"
    yield Result("a whole site", first, 180 * scale, "s", False, detail)
    yield Result("peak memory of the whole run, all processes", peak[0], 1500, "MiB", False, f"{threads:,} threads")
