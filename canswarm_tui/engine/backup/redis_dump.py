"""All keys of v1's Redis database in a backup: sorted by key, in files of JSON lines, and read back from them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import redis

from canswarm_tui.engine.backup.disk import Stop, disk_errors
from canswarm_tui.engine.backup.redis_values import RedisKey, read_keys
from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address, redis_errors

FILE_BYTES: Final = 64 << 20
"""A file is closed when it has passed this."""
BATCH: Final = 500
_SCAN_COUNT: Final = 1000
_PATTERN: Final = "redis-*.jsonl"

Item = TypeVar("Item")


def dump(site: SiteSettings, folder: Path, scratch: Path, stop: Stop) -> int:
    """Writes every key of the database into `folder`; returns how many. Keys are sorted as bytes, each there once."""
    count = 0
    with _Lines(folder) as lines:
        for key in live_keys(site, scratch, stop):
            lines.write(key.line())
            count += 1
    return count


def live_keys(site: SiteSettings, scratch: Path | None, stop: Stop) -> Iterator[RedisKey]:
    """What the database holds, sorted by key as bytes. SCAN repeats keys and has no order: a spool gives both."""
    address = redis_address(site)
    client = connect_redis(site)
    try:
        with redis_errors(address), Spool(scratch) as names:
            _scan(client, names, stop)
            for batch in batches(names.items(), BATCH):
                stop()
                yield from read_keys(client, [key for key, _ in batch])
    finally:
        client.close()


def saved_keys(folder: Path) -> Iterator[RedisKey]:
    """What a backup holds, in its order; raises `SiteUnreadable`."""
    for path in sorted(folder.glob(_PATTERN)):
        with disk_errors(path), path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield RedisKey.parse(line)
                except (ValueError, KeyError) as exc:
                    raise SiteUnreadable(str(path), f"line {number} is damaged", "name another backup") from exc


def batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Lists of at most `size`."""
    while batch := list(islice(items, size)):
        yield batch


def _scan(client: redis.Redis, names: Spool, stop: Stop) -> None:
    cursor = 0
    while True:
        stop()
        cursor, keys = client.execute_command("SCAN", cursor, "COUNT", _SCAN_COUNT)  # type: ignore[no-untyped-call]
        names.put_many((key, b"") for key in keys)
        if cursor == 0:
            return


class _Lines:
    """Files `redis-00001.jsonl` and so on, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, line: bytes) -> None:
        if self._file is None or self._file.tell() >= FILE_BYTES:
            self.__exit__()
            self._number += 1
            path = self._folder / f"redis-{self._number:05}.jsonl"
            path.touch(mode=0o600)
            self._file = path.open("wb", buffering=1 << 20)
        self._file.write(line)
