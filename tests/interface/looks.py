"""Backends and lists that a test leads, for the diagnostics screens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from canswarm_tui.engine.errors import EngineError, Refused, Unreachable
from canswarm_tui.engine.health.facts import Check, CheckVerdict, Condition, Entry, Look, Page, Section
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding, Kind, Level

ALARM = Finding(
    "etcd.alarm", Level.WARNING, Kind.CONDITION, "etcd-1", "it has raised NOSPACE: it takes no writes",
    "compact, defragment, then disarm the alarm",
)  # fmt: skip
FACTS = (
    Section("etcd-1", (("version", "3.6.5"), ("leader", "yes"), ("db bytes", 40 << 20), ("in use bytes", 12 << 20))),
    Section("members", (("etcd-1", "http://127.0.0.1:2380"),)),
)


def answers(name: str, text: str = "7.2") -> Look:
    sections = FACTS if name == "etcd" else (Section("server", (("version", text), ("memory bytes", 3 << 20))),)
    worries = (ALARM,) if name == "etcd" else ()
    return Look(name, f"{name}.example:1", 3.0, Condition.ANSWERS, sections, worries)


def refuses(name: str) -> Look:
    error = Refused(name, "the password is wrong", "set site.redis_password")
    return Look(name, f"{name}.example:1", 4.0, Condition.REFUSES, error=error)


def down(name: str) -> Look:
    error = Unreachable(name, "no connection (refused)", "check that it runs")
    return Look(name, f"{name}.example:1", 2.0, Condition.DOWN, error=error)


def looks(**changed: Callable[[Settings], Look]) -> dict[str, Callable[[Settings], Look]]:
    """Every backend answers, but for those given."""
    names = ("redis", "nats", "etcd", "minio", "ipfs", "opa", "automerge")
    made: dict[str, Callable[[Settings], Look]] = {name: lambda _s, name=name: answers(name) for name in names}  # type: ignore[misc]
    return made | changed


@dataclass
class Numbers:
    """So many entries `key-0000000`; `go` holds a page back until a test lets it come."""

    count: int
    title: str = "decisions in etcd"
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[str | None] = field(default_factory=list)
    fails: EngineError | None = None
    extra: str = ""

    def __post_init__(self) -> None:
        self.go.set()

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        self.go.wait(10)
        self.asked.append(after)
        if self.fails is not None:
            raise self.fails
        first = 0 if after is None else int(after.removeprefix("key-")) + 1
        if prefix:
            first = max(first, int(prefix.removeprefix("key-").ljust(7, "0")))
        keys = [f"key-{n:07d}" for n in range(first, min(self.count, first + limit))]
        keys = [key for key in keys if key.startswith(prefix)]
        entries = tuple(Entry(key + self.extra, (str(len(key)), "12", "1")) for key in keys)
        more = bool(keys) and first + len(keys) < self.count and not prefix
        return Page(("bytes", "revision", "version"), entries, keys[-1] if more else None, self.count)

    def open(self, key: str) -> tuple[Section, ...]:
        return (Section("etcd", (("key", key), ("value", '{"epoch": 1}'))), Section("Redis", (("equal", "yes"),)))


def checked(backend: str, verdict: CheckVerdict = CheckVerdict.FINE, symptom: str = "") -> Check:
    """A guided check of a backend, in the shape of a real one."""
    remedy = "" if verdict is CheckVerdict.FINE else "`etcdctl compact 71204`, `etcdctl defrag`, `etcdctl alarm disarm`"
    return Check(
        f"{backend}.space", backend, symptom or "writes fail: mvcc: database space exceeded",
        ("alarms: NOSPACE on 8e9e05c52164694d", "store 2.0 GiB, 100.0 % of the quota of 2.0 GiB"), verdict,
        "the store has reached its quota, so etcd refuses every write", remedy,
        'ETCDCTL_PASSWORD="$CANSWARM_ETCD__PASSWORD" etcdctl --endpoints=http://etcd-1.example:2379 --user=root '
        "alarm list && etcdctl --endpoints=http://etcd-1.example:2379 endpoint status --write-out=table",
    )  # fmt: skip


def guided(**changed: Callable[[Settings], tuple[Check, ...]]) -> dict[str, Callable[[Settings], tuple[Check, ...]]]:
    """One check of every backend is fine, but for those given."""
    made: dict[str, Callable[[Settings], tuple[Check, ...]]] = {
        name: lambda _s, name=name: (checked(name, symptom=f"{name} does not answer, or requests time out"),)  # type: ignore[misc]
        for name in ("redis", "nats", "etcd", "minio", "ipfs", "opa", "automerge", "wasm")
    }
    return made | changed
