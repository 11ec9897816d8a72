"""Changes in etcd as they happen, and up to where history is gone, which only a watch tells. Reads only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_client import Entry, entry, range_end
from canswarm_tui.engine.v2.etcd_connection import Connection
from canswarm_tui.engine.v2.etcd_errors import translated
from canswarm_tui.engine.v2.etcd_stubs import rpc

_POLL_S = 0.2


class Change(NamedTuple):
    """One event: the entry after it; of a deleted key only the key and the revision are known."""

    entry: Entry
    deleted: bool


def watch(url: str, settings: EtcdSettings, prefix: bytes, stopped: Callable[[], bool]) -> Iterator[Change]:
    """Changes under `prefix` at one endpoint from now on until `stopped`; raises `EngineError` when it goes away."""
    create = rpc.WatchCreateRequest(key=prefix or b"\0", range_end=range_end(prefix))
    with closing(Connection(url, settings)) as connection:
        connection.call("Range", rpc.RangeRequest(key=prefix or b"\0", count_only=True))
        call = connection.watch(rpc.WatchRequest(create_request=create), None)
        ended = threading.Event()
        threading.Thread(target=_cancel_when, args=(call, stopped, ended), name="etcd-watch-stop", daemon=True).start()
        try:
            with translated(url):
                for answer in call:
                    for event in answer.events:
                        yield Change(entry(event.kv), event.type == 1)
        except EngineError:
            if not stopped():
                raise
        finally:
            ended.set()
            call.cancel()


def compacted_revision(url: str, settings: EtcdSettings) -> int | None:
    """The revision below which history is gone; None where it was never compacted or etcd doesn't say in time."""
    key = settings.prefix.encode()  # where this user has rights, if anywhere
    create = rpc.WatchCreateRequest(key=key, start_revision=1)
    with closing(Connection(url, settings)) as connection:
        connection.call("Range", rpc.RangeRequest(key=key, count_only=True))
        call = connection.watch(rpc.WatchRequest(create_request=create), settings.timeout_s)
        try:
            with translated(url):
                for answer in call:
                    if answer.compact_revision:
                        return int(answer.compact_revision)
        except EngineError:
            return None
        finally:
            call.cancel()
    return None


def _cancel_when(call: Any, stopped: Callable[[], bool], ended: threading.Event) -> None:
    while not ended.wait(_POLL_S):
        if stopped():
            call.cancel()
            return
