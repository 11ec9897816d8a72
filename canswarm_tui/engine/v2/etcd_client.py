"""etcd as this tool uses it: several endpoints, one deadline for each call, ranges read in pages.

etcd3 knows one endpoint, has no paging (its range requests drop `limit` and `revision`) and no deadlines by default;
so its channel and messages are used, and the calls are made here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from canswarm_tui.engine.changes import changing, span
from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_connection import Connection, Message, PendingCall
from canswarm_tui.engine.v2.etcd_errors import AnswerTooLarge, Compacted
from canswarm_tui.engine.v2.etcd_stubs import rpc

PAGE = 5000
IN_FLIGHT = 4
"""Transactions on their way at once: more only wait in the server."""
MAX_TXN_OPS = 128
"""etcd's default --max-txn-ops."""


class Entry(NamedTuple):
    """One key of etcd and what it says of its history. `version` counts the writes since the key was created."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Page(NamedTuple):
    """A part of a prefix, in the order of keys as bytes; `total` counts all keys from its first key on."""

    entries: tuple[Entry, ...]
    total: int
    more: bool
    revision: int


class EtcdClient:
    """Stays with the endpoint that answers and goes to the next when it does not. Usable from several threads.

    A read asks each endpoint before it raises `Unreachable`. A write is sent once, because without an answer its
    effect is unknown; after a failure the next write goes to an endpoint that has just answered a read.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self.settings = settings
        self._connections = [Connection(url, settings) for url in settings.endpoints]
        self._mutex = threading.Lock()
        self._at = 0
        self._doubtful = False

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self._current().url

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def read(self, method: str, request: Message) -> Message:
        """The answer of the first endpoint that gives one; `method` must change nothing."""
        failure: Unreachable | None = None
        for _ in self._connections:
            connection = self._current()
            try:
                answer = connection.call(method, request)
            except Unreachable as exc:
                self._doubt(connection)
                failure = exc
            else:
                self._doubtful = False
                return answer
        assert failure is not None
        raise failure

    def write(self, method: str, request: Message) -> Message:
        """The answer; after `Unreachable` the effect is unknown."""
        connection = self._trusted()
        try:
            with changing(f"etcd {connection.url}", _asked(method, request)):
                return connection.call(method, request)
        except Unreachable:
            self._doubt(connection)
            raise

    def transact(self, requests: Iterable[Message]) -> Iterator[Message]:
        """The answers to transactions, in order, some of them on their way at once; built only when their turn comes.

        The same message may be given again and again, filled anew: it is made into bytes when it is taken.
        After an error the effect of all that were not yet answered is unknown.
        """
        connection = self._trusted()
        waiting: deque[PendingCall] = deque()
        source = iter(requests)
        try:
            for request in islice(source, IN_FLIGHT):
                waiting.append(connection.start_txn(request))
            while waiting:
                answer = waiting.popleft().result()
                for request in islice(source, 1):
                    waiting.append(connection.start_txn(request))
                yield answer
        except Unreachable:
            self._doubt(connection)
            raise
        finally:
            for call in waiting:
                call.cancel()

    def get(self, key: bytes) -> Entry | None:
        found = self.read("Range", rpc.RangeRequest(key=key)).kvs
        return entry(found[0]) if found else None

    def get_many(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """What is under each key, in order; None where nothing is. Not at one revision."""
        groups = [keys[at : at + MAX_TXN_OPS] for at in range(0, len(keys), MAX_TXN_OPS)]
        try:
            answers = list(self.transact(_ranges(group) for group in groups))
        except AnswerTooLarge:
            return [self.get(key) for key in keys]
        return [
            entry(op.response_range.kvs[0]) if op.response_range.kvs else None
            for answer in answers
            for op in answer.responses
        ]

    def count(self, prefix: bytes) -> int:
        """How many keys begin with `prefix`."""
        request = rpc.RangeRequest(key=prefix or b"\0", range_end=range_end(prefix), count_only=True)
        count: int = self.read("Range", request).count
        return count

    def page(
        self,
        prefix: bytes,
        after: bytes | None = None,
        *,
        limit: int = PAGE,
        revision: int = 0,
        serializable: bool = False,
        keys_only: bool = False,
    ) -> Page:
        """The keys with `prefix` that follow `after`, at `revision` (0: the newest); raises `Compacted` if it is gone.

        `serializable` asks only the member that answers, which may be behind the others.
        """
        answer = self.read(
            "Range",
            rpc.RangeRequest(
                key=(prefix or b"\0") if after is None else after + b"\0",
                range_end=range_end(prefix),
                limit=limit,
                revision=revision,
                serializable=serializable,
                keys_only=keys_only,
            ),
        )
        entries = tuple(
            Entry(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease) for kv in answer.kvs
        )
        return Page(entries, answer.count, answer.more, revision or answer.header.revision)

    def scan(
        self, prefix: bytes, *, after: bytes | None = None, serializable: bool = False, keys_only: bool = False
    ) -> Iterator[Entry]:
        """Every key with `prefix`, in the order of keys as bytes, as of the moment when the scan began.

        If the server compacts that moment away meanwhile, the scan goes on at the newest revision. Holds one page.
        """
        limit, revision = PAGE, 0
        while True:
            try:
                page = self.page(
                    prefix, after, limit=limit, revision=revision, serializable=serializable, keys_only=keys_only
                )
            except Compacted:
                revision = 0
                continue
            except AnswerTooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 8)
                continue
            yield from page.entries
            if not page.more:
                return
            after, revision = page.entries[-1].key, page.revision

    def _current(self) -> Connection:
        with self._mutex:
            return self._connections[self._at]

    def _doubt(self, failed: Connection) -> None:
        with self._mutex:
            if self._connections[self._at] is failed:
                self._at = (self._at + 1) % len(self._connections)
            self._doubtful = len(self._connections) > 1

    def _trusted(self) -> Connection:
        """The current connection, if there was doubt after it has answered a read that needs the whole cluster."""
        if self._doubtful:
            self.count(self.settings.prefix.encode())
        return self._current()


def _asked(method: str, request: Message) -> str:
    """A request that changes something, in a few words; its value is not told."""
    if method == "Txn":
        return f"{method} {span([op.request_put.key for op in request.success] or [b''])}"
    if method == "LeaseGrant":
        return f"{method} for {request.TTL} s"
    return f"{method} {span([request.key])}" + (" and all that begin so" if method == "DeleteRange" else "")


def entry(kv: Message) -> Entry:
    """A `KeyValue` of etcd's API."""
    return Entry(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def range_end(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`, as etcd wants it: `\\0` means to the end."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def _ranges(keys: Sequence[bytes]) -> Message:
    txn = rpc.TxnRequest()
    for key in keys:
        txn.success.add().request_range.key = key
    return txn
