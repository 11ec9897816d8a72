"""Decisions in etcd one page at a time, one of them beside Redis's value, and changes as they happen. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, section
from canswarm_tui.engine.health.facts import Entry, Page, Section
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v1.decisions import value_of
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address
from canswarm_tui.engine.v2 import etcd_client, etcd_watch

EXCERPT_CHARS = 2000


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change under `/swarm/decide/`; `what` is `created`, `changed` or `deleted`, `value` an excerpt."""

    key: str
    what: str
    revision: int
    value: str


class DecisionKeys:
    """Every key under the prefix of decisions, in the order of keys as bytes; a key is shown without the prefix.

    What is no UTF-8 goes through surrogate escapes, so that every key can be opened.
    """

    title = "decisions in etcd"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._etcd = settings.etcd.model_copy(update={"timeout_s": min(settings.etcd.timeout_s, LOOK_TIMEOUT_S)})
        self._root = settings.etcd.prefix.encode()

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        start = None if after is None else self._key(after)
        with closing(etcd_client.EtcdClient(self._etcd)) as client:
            found = client.page(self._key(prefix), start, limit=limit)
            total = client.count(self._key(prefix))
        entries = tuple(Entry(self._name(one.key), self._cells(one)) for one in found.entries)
        return Page(("bytes", "revision", "version"), entries, entries[-1].key if found.more else None, total)

    def open(self, key: str) -> tuple[Section, ...]:
        if key.startswith(self._settings.etcd.prefix):
            key = key.removeprefix(self._settings.etcd.prefix)
        with closing(etcd_client.EtcdClient(self._etcd)) as client:
            entry = client.get(self._key(key))
        if entry is None:
            return (
                section("etcd", key=self._settings.etcd.prefix + key, found="it is not there"),
                self._redis(key),
            )
        return (
            section(
                "etcd", key=self._settings.etcd.prefix + key, size_bytes=len(entry.value),
                create_revision=entry.create_revision, mod_revision=entry.mod_revision, version=entry.version,
                lease=f"{entry.lease:x}" if entry.lease else "none", value=shown(entry.value, EXCERPT_CHARS),
            ),
            self._redis(key, entry.value),
        )  # fmt: skip

    def _redis(self, key: str, ours: bytes | None = None) -> Section:
        name, address = key.encode("utf-8", "surrogateescape"), redis_address(self._settings.site)
        try:
            with closing(connect_redis(self._settings.site, LOOK_TIMEOUT_S)) as client:
                theirs = value_of(client, address, name)
        except EngineError as exc:
            return section("Redis", compared=f"no: {exc.happened}")
        if theirs is None:
            return section("Redis", compared="it has no string under this key")
        verdict = "it is only in Redis" if ours is None else "equal" if theirs == ours else "DIFFERS from etcd's value"
        return section("Redis", compared=verdict, size_bytes=len(theirs), value=shown(theirs, EXCERPT_CHARS))

    def _key(self, name: str) -> bytes:
        return self._root + name.encode("utf-8", "surrogateescape")

    def _name(self, key: bytes) -> str:
        return key[len(self._root) :].decode("utf-8", "surrogateescape")

    @staticmethod
    def _cells(one: etcd_client.Entry) -> tuple[str, ...]:
        return str(len(one.value)), str(one.mod_revision), str(one.version)


def watch(settings: Settings, stop: StopSignal) -> Iterator[KeyChange]:
    """Changes from now on until `stop` is set; raises `EngineError` when the server goes away."""
    root = settings.etcd.prefix.encode()
    with closing(etcd_client.EtcdClient(settings.etcd)) as client:
        client.count(root)  # finds an endpoint that answers
        url = client.endpoint
    for change in etcd_watch.watch(url, settings.etcd, root, stop.is_set):
        kind = "deleted" if change.deleted else "created" if change.entry.version == 1 else "changed"
        name = change.entry.key[len(root) :].decode("utf-8", "surrogateescape")
        yield KeyChange(name, kind, change.entry.mod_revision, shown(change.entry.value, EXCERPT_CHARS))
