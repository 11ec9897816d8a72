"""A list far too long to hold, in the interface in a pseudo-terminal: how long its pages take, and what it costs."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.interface import DOWN, opened, prepared
from benchmarks.measure import Result, resident_mib
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_client import MAX_TXN_OPS, EtcdClient
from canswarm_tui.engine.v2.etcd_connection import Message
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.sandbox import stack
from canswarm_tui.screens.browse import PAGE
from tests.end_to_end.terminal import Terminal

PREFIX = "/bench/lists/"
ESCAPE = "\x1b"
OPENINGS, TURNS = 5, 15


def lists(folder: Path, scale: float) -> Iterator[Result]:
    """Decisions in etcd, paged from the server by the installed program."""
    folder.mkdir(exist_ok=True)
    needs = sorted(hashlib.sha256(str(number).encode()).hexdigest()[:36] for number in range(int(1_000_000 * scale)))
    servers = folder / "servers"
    stack.up(servers)
    try:
        environment = {**prepared(folder, servers, threads=100), "CANSWARM_ETCD__PREFIX": PREFIX}
        _fill_etcd(environment["CANSWARM_ETCD__ENDPOINTS"], needs)
        with opened(environment) as terminal:
            yield from _paged(terminal, needs)
    finally:
        stack.down(servers)


def _fill_etcd(endpoint: str, needs: Sequence[str]) -> None:
    with closing(EtcdClient(EtcdSettings(endpoints=(endpoint,), timeout_s=30))) as client:
        groups = (needs[at : at + MAX_TXN_OPS] for at in range(0, len(needs), MAX_TXN_OPS))
        written = sum(len(answer.responses) for answer in client.transact(map(_puts, groups)))
    assert written == len(needs)


def _puts(needs: Sequence[str]) -> Message:
    """Decisions about as large as v1's."""
    txn = rpc.TxnRequest()
    for need in needs:
        put = txn.success.add().request_put
        put.key, put.value = f"{PREFIX}{need}".encode(), need.encode() * 7
    return txn


def _paged(terminal: Terminal, needs: Sequence[str]) -> Iterator[Result]:
    """`needs` are the keys in etcd's order."""
    terminal.press("d")
    terminal.until(lambda text: "Diagnostics" in text)
    terminal.settle(1.0)
    terminal.press(DOWN + DOWN)
    terminal.until(lambda text: "of quota" in text)
    openings = []
    for _ in range(OPENINGS):
        terminal.settle()
        openings.append(_until_page(terminal, "\r", 1, needs))
        terminal.settle()
        terminal.press(ESCAPE)
        terminal.until(lambda text: "Diagnostics" in text)
    terminal.settle()
    _until_page(terminal, "\r", 1, needs)
    turns = []
    for number in range(2, 2 + TURNS):
        terminal.settle()
        turns.append(_until_page(terminal, "n", number, needs))
    name = f"a list of {len(needs):,} decisions"
    yield Result(
        f"{name} opens in", 1000 * statistics.median(openings), 1000, "ms", False,
        f"from the key to its first page painted, read from etcd; the median of {OPENINGS}, "
        f"the slowest {1000 * max(openings):.0f} ms",
    )  # fmt: skip
    yield Result(
        f"{name}: its next page", 1000 * statistics.median(turns), 1000, "ms", False,
        f"{PAGE} decisions, from the key to the page painted; the median of {TURNS}, "
        f"the slowest {1000 * max(turns):.0f} ms",
    )  # fmt: skip
    yield Result(
        f"{name}: memory of the interface", resident_mib(terminal.pid), 150, "MiB", False,
        f"after {OPENINGS} openings and {TURNS} pages",
    )  # fmt: skip


def _until_page(terminal: Terminal, key: str, number: int, needs: Sequence[str]) -> float:
    """Seconds from the key until the bytes came that painted this page's first decision and the list's length."""
    first = needs[(number - 1) * PAGE]
    began = time.perf_counter()
    terminal.press(key)
    terminal.until(lambda text: first in text and f"{len(needs):,}" in text and f"page {number}" in text)
    return terminal.read_at - began
