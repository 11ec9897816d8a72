"""One decision three ways: Redis's value, etcd's value, and the receipt."""

from __future__ import annotations

from contextlib import closing

from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import duration_text, shown
from canswarm_tui.engine.three_ways.values import Held, held, held_receipt, pairs_of, parted_at
from canswarm_tui.engine.three_ways.view import Sides
from canswarm_tui.engine.v1.decisions import PREFIX
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address, redis_errors
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import Entry, EtcdClient


def in_etcd(settings: Settings, journal: Journal, key: bytes) -> Sides:
    """`key` is the need id in UTF-8; both values byte for byte."""
    site, value = _redis(settings, key)
    with closing(EtcdClient(settings.etcd)) as client:
        entry = decision_sink(client, settings.etcd).get(key)
    target = _etcd(settings, key, entry)
    receipt = held_receipt(journal.step("decisions").receipt(key))
    parted = parted_at(value, entry.value) if value is not None and entry is not None else ""
    return Sides("decision", site, target, receipt, pairs_of(site, target, receipt), (parted,) if parted else ())


def _redis(settings: Settings, key: bytes) -> tuple[Held, bytes | None]:
    address = redis_address(settings.site)
    where = f"{address}, key {shown(PREFIX + key, 200)}"
    with closing(connect_redis(settings.site)) as client, redis_errors(address):
        kind = client.type(PREFIX + key)
        if kind not in (b"string", b"none"):
            return Held(where, problem=f"it is a {shown(kind, 40)} and not a string"), None
        value, ttl_ms = client.get(PREFIX + key), client.pttl(PREFIX + key)
    if not isinstance(value, bytes):
        return Held(where), None
    expires = isinstance(ttl_ms, int) and ttl_ms >= 0
    return held(where, value, *((f"Redis forgets it in {duration_text(ttl_ms / 1000)}",) if expires else ())), value


def _etcd(settings: Settings, key: bytes, entry: Entry | None) -> Held:
    where = f"etcd {', '.join(settings.etcd.endpoints)}, key {shown(settings.etcd.prefix.encode() + key, 200)}"
    if entry is None:
        return Held(where)
    written = "written once" if entry.version == 1 else f"written {entry.version:,} times"
    return held(where, entry.value, f"revision {entry.mod_revision:,}, {written} since it was created")
