"""An empty database of the site's own Redis, in which a restore is tried; left as empty as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from canswarm_tui.engine.backup.disk import Stop, never_stop
from canswarm_tui.engine.backup.redis_dump import BATCH, batches, live_keys, saved_keys
from canswarm_tui.engine.backup.redis_restore import difference, side_by_side
from canswarm_tui.engine.backup.redis_values import RedisKey
from canswarm_tui.engine.errors import Refused, SiteUnreadable, WrongAnswer
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


def number_of(site: SiteSettings) -> str:
    """Of the database that the settings lead to."""
    return urlsplit(site.redis_url).path.strip("/") or "0"


def clean_up_after_a_crash(site: SiteSettings, number: str, folder: Path, stop: Stop = never_stop) -> None:
    """Removes what a killed trial of the backup in `folder` left in the database that was empty before it.

    Only keys that are just as in the backup: what somebody has put there since stays.
    """
    if not folder.is_dir() or number == number_of(site):
        return
    scratch = _with_number(site, number)
    client = connect_redis(scratch)
    try:
        with redis_errors(redis_address(scratch)):
            for saved, live in side_by_side(saved_keys(folder), live_keys(scratch, None, stop)):
                if saved is not None and live is not None and not difference(saved, live):
                    client.delete(live.key)
    finally:
        client.close()


def _readable_keys(folder: Path) -> Iterator[RedisKey]:
    """Up to a damage of the backup: a trial has restored no key behind it."""
    with suppress(SiteUnreadable):
        yield from saved_keys(folder)


def _with_number(site: SiteSettings, number: str) -> SiteSettings:
    parts = urlsplit(site.redis_url)
    return site.model_copy(update={"redis_url": urlunsplit((*parts[:2], f"/{number}", *parts[3:]))})


def _empty(site: SiteSettings) -> SiteSettings | None:
    if urlsplit(site.redis_url).scheme == "unix":
        return None
    for number in map(str, range(HIGHEST, -1, -1)):
        if number == number_of(site):
            continue
        other = _with_number(site, number)
        client = connect_redis(other)
        try:
            with redis_errors(redis_address(site)):  # what the operator knows it by
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
            for batch in batches(_readable_keys(folder), BATCH):
                client.delete(*(key.key for key in batch))
    finally:
        client.close()
