"""Benchmarks of the stores: inventory, decisions, blobs, beside the peers that people would use instead."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import cast

import redis

from benchmarks.measure import Result, median_ratio, seconds, server
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.rate import RateLimit
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import EtcdSettings, Settings
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.step import Verb
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.transfer import CopyPlan, copy
from canswarm_tui.engine.v1 import blobs, decisions
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import etcd3
from canswarm_tui.sandbox.binaries import ensure

PLAN = CopyPlan("records", "record", "the target", window=2)


def context(folder: Path, settings: Settings, *, journalled: bool = True) -> StepContext:
    """A context with a journal in a new folder; not journalled: its commits do nothing."""
    folder.mkdir(parents=True)
    journal = Journal.open(folder / "journal.db", {"site.root": "bench"}).step("bench")
    if not journalled:
        journal.commit = lambda *_args, **_kwargs: None  # type: ignore[method-assign]
    return StepContext(
        settings, journal, Verb.RUN, 1, StopSignal(), lambda _event: None, RateLimit(), folder, folder
    )  # fmt: skip


def records(count: int, size: int, seed: int) -> list[Record]:
    """Blobs of random content, sorted by hash."""
    made = []
    for number in range(count):
        content = hashlib.shake_128(f"{seed}:{number}".encode()).digest(size)
        digest = hashlib.sha256(content).digest()
        made.append(Record(digest.hex().encode(), digest, size, content))
    return sorted(made, key=lambda r: r.key)


def inventory(folder: Path, scale: float) -> Iterator[Result]:
    """Walking and hashing a content store, beside `rclone check` of it against a copy's hashes."""
    count = int(100_000 * scale)
    cas = folder / "cas"
    for record in records(count, 300, 1):
        path = blobs.blob_path(cas, record.key.decode())
        path.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(record.body, bytes)
        path.write_bytes(record.body)
    copy_of = folder / "copy"
    subprocess.run(["cp", "-r", str(cas), str(copy_of)], check=True)
    rclone = [str(Path(sys.executable).parent / "rclone"), "check", str(cas), str(copy_of), "--checkers", "8", "-q"]

    def peer() -> float:
        return count / seconds(lambda: subprocess.run(rclone, check=True))

    def ours() -> float:
        return count / seconds(lambda: sum(1 for _ in blobs.inventory(cas)))

    ratio, theirs, mine = median_ratio(peer, ours)
    yield Result(
        "inventory with full hashing / rclone check", ratio, 2.5, "×", True,
        f"{count:,} files of 300 B: {mine:,.0f}/s beside {theirs:,.0f}/s",
    )  # fmt: skip


def decisions_to_etcd(folder: Path, scale: float) -> Iterator[Result]:
    """Redis → etcd with journal, beside `etcdctl make-mirror` and the guide's own loop, each once a round."""
    count, few = int(200_000 * scale), int(6_000 * scale)
    ours: list[float] = []
    bare: list[float] = []
    mirrors, loops = [], []
    with server("redis", folder) as source:
        client = redis.Redis(port=source.port)
        fill_redis(client, count)
        for round_ in range(3):
            place = folder / f"round-{round_}"
            with server("etcd", place) as target, server("etcd", place / "other") as other:
                settings = Settings(etcd=EtcdSettings(endpoints=(target.endpoint,), timeout_s=30))
                etcd = EtcdClient(settings.etcd)
                # Who comes first finds the smaller store, so they take turns.
                for journalled in (True, False) if round_ % 2 else (False, True):
                    prefix = settings.etcd.model_copy(update={"prefix": f"/bench/{journalled}/"})
                    rate = _copy_decisions(
                        place / f"journal-{journalled}", settings, client, etcd, prefix, count, journalled=journalled
                    )
                    (ours if journalled else bare).append(rate)
                mirrors.append(_make_mirror(etcd, target.endpoint, other.endpoint, few))
                loops.append(_guides_loop(source.port, target.port, few))
                etcd.close()
    detail = f"{count:,} decisions: {median(ours):,.0f}/s beside"
    yield Result(
        "Redis → etcd, journalled / etcdctl make-mirror", ratio(ours, mirrors), 15, "×", True,
        f"{detail} {median(mirrors):,.0f}/s",
    )  # fmt: skip
    yield Result(
        "Redis → etcd, journalled / the guide's loop", ratio(ours, loops), 20, "×", True,
        f"{detail} {median(loops):,.0f}/s, with the package etcd3 on our faster stubs",
    )  # fmt: skip
    yield journal_share("decisions", ours, bare)


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the ratios of each round."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def journal_share(noun: str, ours: list[float], bare: list[float]) -> Result:
    """Below zero: noise was larger than the journal's cost."""
    shares = [100 * (1 - mine / without) for mine, without in zip(ours, bare, strict=True)]
    each = ", ".join(f"{share:.1f}" for share in shares)
    return Result(
        f"the journal's share, {noun}", median(shares), 5, "%", False,
        f"with and without commits, in changing order, round by round: {each} %",
    )  # fmt: skip


def fill_redis(client: redis.Redis, count: int) -> None:
    """That many decisions as v1 writes them."""
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        need = hashlib.sha256(str(number).encode()).hexdigest()[:36]
        value = {
            "need_id": need, "proposal_id": need[::-1], "epoch": 1, "lamport": number + 1, "k_plan": 1,
            "decider_id": "lCMGN13xVaQo/j3EOxXiGhXC1heIuDW0KKxojZakDl4=", "timestamp_ns": 1795423412870333193,
        }  # fmt: skip
        pipe.set(f"decide:{need}", json.dumps(value))
        if number % 5000 == 4999:
            pipe.execute()
    pipe.execute()


def _copy_decisions(
    folder: Path, settings: Settings, client: redis.Redis, etcd: EtcdClient, prefix: EtcdSettings, count: int,
    *, journalled: bool,
) -> float:  # fmt: skip
    ctx = context(folder, settings, journalled=journalled)

    def work() -> None:
        with Spool(folder) as spool:
            decisions.scan(client, "Redis", spool)
            good = (one.record for one in decisions.read(spool) if isinstance(one, decisions.Decision))
            outcome = copy(good, decision_sink(etcd, prefix), ctx, PLAN)
            assert outcome.created == count

    took = seconds(work)
    ctx.journal.close()
    return count / took


def _make_mirror(etcd: EtcdClient, source: str, target: str, count: int) -> float:
    """Keys a second of `etcdctl make-mirror` into an empty cluster, told by the keys that arrive there."""
    from canswarm_tui.engine.v2.etcd_stubs import rpc

    for number in range(count):
        etcd.write("Put", rpc.PutRequest(key=b"/mirror/%08d" % number, value=b"x" * 250))
    there = EtcdClient(EtcdSettings(endpoints=(target,)))
    command = [
        str(ensure("etcdctl")),
        "make-mirror",
        "--endpoints",
        source,
        "--prefix",
        "/mirror/",
        target.removeprefix("http://"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as mirror:
        began = time.perf_counter()
        deadline = began + 120
        while (arrived := there.count(b"/mirror/")) < count and time.perf_counter() < deadline:
            time.sleep(0.01)
        took = time.perf_counter() - began
        mirror.kill()
    there.close()
    assert arrived == count
    return count / took


def _guides_loop(redis_port: int, etcd_port: int, count: int) -> float:
    """The guide's migrate_consensus for `count` keys: KEYS, then GET and put one by one, but nothing printed."""
    r = redis.from_url(f"redis://127.0.0.1:{redis_port}", decode_responses=True)
    e = etcd3.client(host="127.0.0.1", port=etcd_port)
    keys = cast("list[str]", r.keys("decide:*"))[:count]

    def work() -> None:
        for key in keys:
            e.put("/guide/" + key.replace("decide:", ""), r.get(key))

    took = seconds(work)
    e.close()
    return len(keys) / took
