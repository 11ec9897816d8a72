"""Decisions in etcd: created in batches, never overwritten, and each one known to be ours or not.

A batch is a few transactions. Each holds up to 126 nested ones, `if the key is absent, put it, else read it`, and one
put more: a marker of the run under `/swarm/migration/<tag>/created/`. etcd gives everything that one transaction
creates the same revision, so a key is ours exactly when its create_revision is that of one of our markers. That can
be read at any time afterwards, so it does not matter whether the answer to the write ever came.

A transaction that got no answer may still arrive later, even after somebody has looked. Therefore `settle` first puts
a fence, `/swarm/migration/<tag>/fence`, and every transaction compares its mod_revision with the one it was built
for: what has not arrived by then never will. A fence has a lease of an hour, far longer than a request can be on its
way, and goes by itself. Markers stay until `forget` or `sweep`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from canswarm_tui.engine.changes import span, tell_change
from canswarm_tui.engine.errors import Busy, Defect, NoSpace, SettingsError
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Wanted
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_client import MAX_TXN_OPS, Entry, EtcdClient, entry, range_end
from canswarm_tui.engine.v2.etcd_connection import Message
from canswarm_tui.engine.v2.etcd_stubs import rpc

CAS_MAP_PREFIX = b"/swarm/cas/"
MIGRATION_PREFIX = b"/swarm/migration/"
MAX_REQUEST_BYTES = 1_572_864
"""etcd's default --max-request-bytes."""
MAX_RECORD_BYTES = 1_500_000
"""Largest key and value together that can be migrated; a larger record is to be quarantined."""
EXISTING_SHOWN_BYTES = 4096

_KEYS_A_TXN = MAX_TXN_OPS - 2
_TXN_BYTES = 1_550_000
_FENCE_TTL_S = 3600
_Slot = tuple[Message, Message, Message]
"""What of a nested transaction changes from key to key: the comparison, the put (also its value), the read."""
_TAG = re.compile(r"[a-z0-9-]{1,64}")


class EtcdSink:
    """A `Sink` of immutable records under one prefix: key is the record's key after the prefix, value its content."""

    max_records = 32 * _KEYS_A_TXN
    max_bytes = 16 * 1024 * 1024

    def __init__(self, client: EtcdClient, prefix: bytes) -> None:
        self._client = client
        self.prefix = prefix

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        """As `Sink` says. Raises `Busy` when another run has settled this batch meanwhile: nothing was written then."""
        bodies: dict[bytes, bytes] = {}
        for record in batch:
            bodies.setdefault(record.key, _body(record))
        fence = self._client.get(_fence_key(tag))
        fence_revision = 0 if fence is None else fence.mod_revision
        chunks = list(_chunks(bodies.items(), len(self.prefix)))
        existing: dict[bytes, Entry] = {}
        answers = self._client.transact(self._creations(chunks, tag, fence_revision))
        for chunk, answer in zip(chunks, answers, strict=True):
            if not answer.succeeded:
                raise Busy(f"batch {tag}", "another run has taken it over", "wait for that run, or stop it")
            existing |= (left := _left_alone(chunk, answer))
            self._tell("created", [self.prefix + key for key in chunk if key not in left], answer)
        ours = self._markers(tag) if any(bodies[key] == found.value for key, found in existing.items()) else frozenset()
        return [
            Landed(record.key, Fate.CREATED)
            if record.key not in existing and _body(record) == bodies[record.key]
            else _judge_body(record, existing.get(record.key), bodies[record.key], ours)
            for record in batch
        ]

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:
        """As `Sink` says; what is ABSENT now stays absent until it is written again."""
        self._raise_fence(tag)
        ours = self._markers(tag)
        return [
            _judge(wanted, found, ours)
            for wanted, found in zip(batch, self._client.get_many(self._keys(batch)), strict=True)
        ]

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:  # noqa: ARG002  receipts outlive markers
        """Deletes a key that still has the wanted value and was never written since it was created; any tag will do."""
        found = self._client.get_many(self._keys(batch))
        doomed = {
            seen.key: seen.mod_revision
            for wanted, seen in zip(batch, found, strict=True)
            if seen is not None and seen.version == 1 and _digest(seen.value) == wanted.digest
        }
        removed = self._delete_unchanged(doomed)
        return [Removal.GONE if seen is None else removed.get(seen.key, Removal.KEPT) for seen in found]

    def replace(self, record: Record, shown: bytes) -> bytes | None:
        """Put `record` over another value that somebody was shown and decided against (`shown`: its SHA-256).

        Returns the whole value that was replaced; None, with nothing written, if something else is there by now.
        """
        found = self._client.get(self.prefix + record.key)
        if found is None or _digest(found.value) != shown:
            return None
        same = _compare(found.key, rpc.Compare.MOD, mod_revision=found.mod_revision)
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=found.key, value=_body(record)))
        answer = self._client.write("Txn", rpc.TxnRequest(compare=[same], success=[put]))
        return found.value if answer.succeeded else None

    def create(self, record: Record) -> bool:
        """Put a record back as somebody's, without a marker; False, with nothing written, where one is by now."""
        key = self.prefix + record.key
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=_body(record)))
        answer = self._client.write("Txn", rpc.TxnRequest(compare=[_absent(key)], success=[put]))
        return bool(answer.succeeded)

    def delete(self, entry: Entry) -> bool:
        """Delete the record of an entry that `get` gave; False, with nothing done, if it has changed since."""
        key = self.prefix + entry.key
        return self._delete_unchanged({key: entry.mod_revision})[key] is not Removal.KEPT

    def get(self, key: bytes) -> Entry | None:
        """What is under the record key `key`; the entry's key is without the prefix."""
        found = self._client.get(self.prefix + key)
        return None if found is None else found._replace(key=key)

    def count(self) -> int:
        return self._client.count(self.prefix)

    def scan(self, *, after: bytes | None = None, serializable: bool = False) -> Iterator[Entry]:
        """All records, sorted by key; the entries' keys are without the prefix. See `EtcdClient.scan`."""
        skip = len(self.prefix)
        start = None if after is None else self.prefix + after
        for found in self._client.scan(self.prefix, after=start, serializable=serializable):
            yield Entry(found[0][skip:], *found[1:])

    def forget(self, tag: str) -> None:
        """Remove the markers of one batch, once its receipts are safe."""
        self._delete_range(_created_prefix(tag), range_end(_created_prefix(tag)))

    def sweep(self, run_id: str, open_tags: Iterable[str]) -> None:
        """Remove the markers and fences of a run (tags `<run_id>-<number>`), but for those of batches still open.

        `open_tags` are those of every step of the run: nothing else tells what an interrupted batch has created.
        """
        run = MIGRATION_PREFIX + f"{run_id}-".encode()
        at = run + b"0"
        for kept in sorted(map(_tag_prefix, open_tags)):
            self._delete_range(at, kept)
            at = range_end(kept)
        self._delete_range(at, run + b":")

    def _keys(self, batch: Iterable[Wanted]) -> list[bytes]:
        return [self.prefix + wanted.key for wanted in batch]

    def _creations(self, chunks: Iterable[Mapping[bytes, bytes]], tag: str, fence_revision: int) -> Iterator[Message]:
        """One message, filled anew for each chunk: making it takes four times as long, where a copy spends its time."""
        fence = _compare(_fence_key(tag), rpc.Compare.MOD, mod_revision=fence_revision)
        txn, slots = rpc.TxnRequest(), list[_Slot]()
        for chunk in chunks:
            if len(chunk) != len(slots):
                txn = rpc.TxnRequest(success=[rpc.RequestOp(request_put=rpc.PutRequest())])
                slots = [_add_creation(txn.success) for _ in chunk]
            # The marker's name is new each time: a batch that is written again must not lose what it did before.
            marker = _created_prefix(tag) + secrets.token_hex(8).encode()
            txn.success[0].request_put.key = marker
            del txn.compare[:]
            txn.compare.extend((fence, _absent(marker)))
            for (absent, put, there), (key, body) in zip(slots, chunk.items(), strict=True):
                absent.key = put.key = there.key = self.prefix + key
                put.value = body
            yield txn

    def _markers(self, tag: str) -> frozenset[int]:
        """The revisions at which batch `tag` created something."""
        return frozenset(found.create_revision for found in self._client.scan(_created_prefix(tag)))

    def _raise_fence(self, tag: str) -> None:
        # Out of space, etcd takes no fence; but neither does it take what a late transaction would put.
        with suppress(NoSpace):
            lease = self._client.write("LeaseGrant", rpc.LeaseGrantRequest(TTL=_FENCE_TTL_S)).ID
            self._client.write("Put", rpc.PutRequest(key=_fence_key(tag), lease=lease))

    def _delete_unchanged(self, revisions: Mapping[bytes, int]) -> dict[bytes, Removal]:
        """Delete each key that still has this mod_revision; the comparison and the deletion are one."""
        keys = list(revisions)
        groups = [keys[at : at + MAX_TXN_OPS - 1] for at in range(0, len(keys), MAX_TXN_OPS - 1)]
        requests = (rpc.TxnRequest(success=[_delete_at(key, revisions[key]) for key in group]) for group in groups)
        outcome: dict[bytes, Removal] = {}
        for group, answer in zip(groups, self._client.transact(requests), strict=True):
            fates = {key: _removal(op.response_txn) for key, op in zip(group, answer.responses, strict=True)}
            self._tell("deleted", [key for key in group if fates[key] is Removal.REMOVED], answer)
            outcome |= fates
        return outcome

    def _tell(self, did: str, keys: list[bytes], answer: Message) -> None:
        if keys:
            tell_change(f"etcd {self._client.endpoint}", f"Txn {did} {span(keys)}, revision {answer.header.revision}")

    def _delete_range(self, first: bytes, end: bytes) -> None:
        self._client.write("DeleteRange", rpc.DeleteRangeRequest(key=first, range_end=end))


def decision_sink(client: EtcdClient, settings: EtcdSettings) -> EtcdSink:
    """Decisions: key is the need id in UTF-8, value Redis's bytes."""
    prefix = settings.prefix.encode()
    if not prefix or any(p.startswith(prefix) or prefix.startswith(p) for p in (MIGRATION_PREFIX, CAS_MAP_PREFIX)):
        raise SettingsError(
            "etcd.prefix",
            f"{settings.prefix!r} covers keys that are not decisions",
            "use a prefix of its own, such as /swarm/decide/",
        )
    return EtcdSink(client, prefix)


def cas_map_sink(client: EtcdClient) -> EtcdSink:
    """The map for large blobs: key is the SHA-256 in hex, value the CID as text."""
    return EtcdSink(client, CAS_MAP_PREFIX)


def fits(key: bytes, size: int) -> bool:
    """Whether etcd takes a record with this key and a content of `size` bytes; else it is to be quarantined."""
    return 3 * len(key) + size <= MAX_RECORD_BYTES


def _body(record: Record) -> bytes:
    return record.body if isinstance(record.body, bytes) else record.body.read_bytes()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _created_prefix(tag: str) -> bytes:
    return _tag_prefix(tag) + b"created/"


def _fence_key(tag: str) -> bytes:
    return _tag_prefix(tag) + b"fence"


def _tag_prefix(tag: str) -> bytes:
    if not _TAG.fullmatch(tag):
        raise Defect(f"tag {tag!r}", "not a tag that can be part of an etcd key", "report this")
    return MIGRATION_PREFIX + tag.encode() + b"/"


def _chunks(bodies: Iterable[tuple[bytes, bytes]], prefix_size: int) -> Iterator[dict[bytes, bytes]]:
    """Cut into what one transaction can hold, by number and by bytes."""
    chunk: dict[bytes, bytes] = {}
    size = 0
    for key, body in bodies:
        if not fits(key, len(body)):
            raise Defect(f"decision {key!r}", "larger than etcd accepts and not quarantined", "report this")
        # The key travels three times: compared, put, read.
        weight = 3 * (prefix_size + len(key)) + len(body) + 64
        if chunk and (len(chunk) == _KEYS_A_TXN or size + weight > _TXN_BYTES):
            yield chunk
            chunk, size = {}, 0
        chunk[key] = body
        size += weight
    if chunk:
        yield chunk


def _compare(key: bytes, target: int, **expected: int) -> Message:
    return rpc.Compare(key=key, target=target, result=rpc.Compare.EQUAL, **expected)


def _absent(key: bytes) -> Message:
    return _compare(key, rpc.Compare.VERSION, version=0)


def _add_creation(ops: Message) -> _Slot:
    """Append `if a key is absent, put it, else read it`; returns the three messages that name the key."""
    txn = ops.add().request_txn
    absent = txn.compare.add()
    absent.version = 0
    absent.target, absent.result = rpc.Compare.VERSION, rpc.Compare.EQUAL
    return absent, txn.success.add().request_put, txn.failure.add().request_range


def _left_alone(chunk: Mapping[bytes, bytes], answer: Message) -> dict[bytes, Entry]:
    """What was there already, by record key; the first answer is the marker's."""
    return {
        key: entry(op.response_txn.responses[0].response_range.kvs[0])
        for key, op in zip(chunk, answer.responses[1:], strict=True)
        if not op.response_txn.succeeded
    }


def _judge_body(record: Record, existing: Entry | None, written: bytes, ours: frozenset[int]) -> Landed:
    """The fate of a record that another was in the way of: at the target, or earlier in the same batch."""
    there = written if existing is None else existing.value
    if _body(record) != there:
        return Landed(record.key, Fate.CONFLICT, existing=there[:EXISTING_SHOWN_BYTES])
    assert existing is not None
    return Landed(record.key, Fate.CREATED if existing.create_revision in ours else Fate.PRESENT)


def _judge(wanted: Wanted, found: Entry | None, ours: frozenset[int]) -> Landed:
    if found is None:
        return Landed(wanted.key, Fate.ABSENT)
    if _digest(found.value) != wanted.digest:
        return Landed(wanted.key, Fate.CONFLICT, existing=found.value[:EXISTING_SHOWN_BYTES])
    return Landed(wanted.key, Fate.CREATED if found.create_revision in ours else Fate.PRESENT)


def _delete_at(key: bytes, mod_revision: int) -> Message:
    return rpc.RequestOp(
        request_txn=rpc.TxnRequest(
            compare=[_compare(key, rpc.Compare.MOD, mod_revision=mod_revision)],
            success=[rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key, count_only=True))],
        )
    )


def _removal(answer: Message) -> Removal:
    if answer.succeeded:
        return Removal.REMOVED
    return Removal.KEPT if answer.responses[0].response_range.count else Removal.GONE
