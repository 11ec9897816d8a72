"""An empty database of the site's own Redis, in which a restore is tried; left as empty as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from canswarm_tui.engine.backup.redis_dump import BATCH, batches, saved_keys
from canswarm_tui.engine.errors import Refused, WrongAnswer
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address, redis_errors

HIGHEST = 15
"""Databases of a Redis with default settings are 0 to 15."""


@contextmanager
def scratch_database(site: SiteSettings, folder: Path) -> Iterator[SiteSettings | None]:
    """Settings that lead to an empty database, or None where there is none; afterwards the backup's keys are removed.

    Only keys that the backup in `folder` names are removed, one by one: whatever else has come there stays.
    """
    scratch = _empty(site)
    try:
        yield scratch
    finally:
        if scratch is not None:
            _clean(scratch, folder)


def _empty(site: SiteSettings) -> SiteSettings | None:
    parts = urlsplit(site.redis_url)
    if parts.scheme == "unix":
        return None
    own = parts.path.strip("/") or "0"
    for number in range(HIGHEST, -1, -1):
        if str(number) == own:
            continue
        other = site.model_copy(update={"redis_url": urlunsplit((*parts[:2], f"/{number}", *parts[3:]))})
        client = connect_redis(other)
        try:
            with redis_errors(redis_address(other)):
                if client.dbsize() == 0:
                    return other
        except (Refused, WrongAnswer):  # no such database, or not for this user
            continue
        finally:
            client.close()
    return None


def _clean(site: SiteSettings, folder: Path) -> None:
    client = connect_redis(site)
    try:
        with redis_errors(redis_address(site)):
            for batch in batches(saved_keys(folder), BATCH):
                client.delete(*(key.key for key in batch))
    finally:
        client.close()
