"""A close look at v1's Redis, and its decisions by SCAN, a page at a time. Reads only."""

from __future__ import annotations

import re
from contextlib import closing

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, Reading, looked, section, worry
from canswarm_tui.engine.health.facts import Entry, Look, Page, Section
from canswarm_tui.engine.place import without_secrets
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.engine.v1.decisions import count_decisions, scan_page, server_facts, value_of
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address

COUNT_AT_MOST = 500_000
"""Keys of any name that are passed while counting decisions; a second or two."""
EXCERPT_CHARS = 2000


def look(settings: Settings) -> Look:
    """Version, memory, persistence, clients and how many decisions there are."""
    url = settings.site.redis_url
    return looked("redis", without_secrets(url), (url,), lambda: _read(settings))


def _read(settings: Settings) -> Reading:
    address = redis_address(settings.site)
    with closing(connect_redis(settings.site, LOOK_TIMEOUT_S)) as client:
        facts = server_facts(client, address)
        decisions, whole = count_decisions(client, address, COUNT_AT_MOST)
    sections = [
        section(
            "server", version=facts.version, memory_bytes=facts.used_memory_bytes, persistence=facts.persistence,
            clients=facts.clients,
        ),
        section(
            "decisions", pattern="decide:*", decisions=decisions if whole else f"at least {decisions:,}",
            keys_of_any_name=facts.keys, keys_that_expire=facts.expiring_keys,
        ),
        Section("other connections", tuple((f"{n}", one) for n, one in enumerate(facts.writers[:50], 1))),
    ]  # fmt: skip
    worries = []
    if facts.persistence == "none":
        remedy = "turn on AOF (appendonly yes) or snapshots until the migration is proved"
        worries.append(worry("redis.not_persistent", address, "a crash would lose every decision", remedy))
    if facts.expiring_keys:
        happened = f"{counted(facts.expiring_keys, 'key')} with a time to live, and v1 writes none"
        worries.append(worry("redis.expiring", address, happened, "find out who set it; PERSIST the decisions"))
    return sections, worries


class Decisions:
    """`decide:*` in Redis as SCAN gives them: in no order, and a key may come twice while keys change."""

    title = "decisions in Redis"

    def __init__(self, settings: Settings) -> None:
        self._site = settings.site

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        if after is not None and not re.fullmatch(r"\d+", after):
            raise SettingsError(after[:80], "it is no cursor of SCAN", "begin at the first page")
        name = prefix.removeprefix("decide:").encode("utf-8", "surrogateescape")
        address = redis_address(self._site)
        with closing(connect_redis(self._site, LOOK_TIMEOUT_S)) as client:
            cursor, found = scan_page(client, address, int(after or 0), limit, name)
        entries = tuple(Entry(k.decode("utf-8", "surrogateescape"), (str(size),)) for k, size in found)
        return Page(("bytes",), entries, str(cursor) if cursor else None)

    def open(self, key: str) -> tuple[Section, ...]:
        name = key.removeprefix("decide:").encode("utf-8", "surrogateescape")
        with closing(connect_redis(self._site, LOOK_TIMEOUT_S)) as client:
            value = value_of(client, redis_address(self._site), name)
        if value is None:
            return (section("Redis", key=f"decide:{key}", found="there is no string under this key"),)
        return (section("Redis", key=f"decide:{key}", size_bytes=len(value), value=shown(value, EXCERPT_CHARS)),)
