"""A backup's keys put back into a Redis, and compared with what a Redis holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from canswarm_tui.engine.backup.disk import Stop
from canswarm_tui.engine.backup.redis_dump import BATCH, batches, live_keys, saved_keys
from canswarm_tui.engine.backup.redis_values import RedisKey, put_keys
from canswarm_tui.engine.changes import span, tell_change
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.text import counted
from canswarm_tui.engine.v1.decisions import PREFIX
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address, redis_errors

EXPIRY_TOLERANCE_MS: Final = 2000
"""Times to live are told in milliseconds from now, by two clocks, over a network."""


def require_empty(site: SiteSettings) -> None:
    """Raises `Blocked` where the database holds any key."""
    address = redis_address(site)
    client = connect_redis(site)
    with redis_errors(address):
        count = client.dbsize()
        some: bytes | None = client.execute_command("RANDOMKEY")  # type: ignore[no-untyped-call]
        client.close()
    if some is not None:  # the count knows keys whose time has run out; this answer does not
        raise Blocked(address, f"the database holds {counted(count, 'key')}", "name an empty database, or say replace")


def put_back(folder: Path, site: SiteSettings, exact: bool, stop: Stop) -> tuple[int, tuple[str, ...]]:
    """Replaces every key of the backup; with `exact` removes other `decide:` keys. Returns (keys, names removed)."""
    client = connect_redis(site)
    count = 0
    removed: list[str] = []
    with redis_errors(redis_address(site)):
        for batch in batches(saved_keys(folder), BATCH):
            stop()
            put_keys(client, batch)
            tell_change(redis_address(site), f"put back {span([key.key for key in batch])}")
            count += len(batch)
        if exact:
            for saved, live in side_by_side(saved_keys(folder), live_keys(site, None, stop)):
                if saved is None and live is not None and live.key.startswith(PREFIX):
                    client.delete(live.key)
                    tell_change(redis_address(site), f"DEL {span([live.key])}")
                    removed.append(live.name)
        client.close()
    return count, tuple(removed)


def side_by_side(
    saved: Iterator[RedisKey], live: Iterator[RedisKey]
) -> Iterator[tuple[RedisKey | None, RedisKey | None]]:
    """Two streams sorted by key, merged: (in the backup or None, in Redis or None)."""
    left, right = next(saved, None), next(live, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.key < right.key):
            yield left, None
            left = next(saved, None)
        elif left is None or right.key < left.key:
            yield None, right
            right = next(live, None)
        else:
            yield left, right
            left, right = next(saved, None), next(live, None)


def difference(saved: RedisKey, live: RedisKey) -> str:
    """How a key differs from its backup, or empty: type, meaning, time of its end."""
    if saved.type != live.type:
        return f"it is a {live.type} and was a {saved.type}"
    if saved.digest != live.digest:
        return "it has another value"
    ours, theirs = saved.expires_ms, live.expires_ms
    if (ours is None) != (theirs is None):
        return "it expires and did not" if ours is None else "it does not expire and did"
    if ours is not None and theirs is not None and abs(ours - theirs) > EXPIRY_TOLERANCE_MS:
        return f"it expires {abs(ours - theirs)} ms {'later' if theirs > ours else 'earlier'}"
    return ""
