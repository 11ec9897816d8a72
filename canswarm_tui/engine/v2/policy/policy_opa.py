"""The policy in OPA: a keyed set of two sorts of records, `data/…` and `policies/…`, only ever created.

Whether a batch of ours created a record is told by a marker, a data document that names what was absent just before;
it goes when the journal has the receipts. Rules go live only as a whole and with their own data: where one record of
a batch is in conflict, or anything else stands in our package, nothing of the batch is created. OPA has no condition
for policies, so between that look and the write another publisher could come; the read-back tells. An undo leaves an
empty `swarm` object in OPA's data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from canswarm_tui.engine.errors import EngineError, Refused, WrongAnswer
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Wanted
from canswarm_tui.engine.v2.policy.answer import DATA_PATH, PACKAGE, Json, compact
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.source import PolicySource

DATA: Final = b"data/"
POLICIES: Final = b"policies/"
DATA_KEY: Final = DATA + "/".join(DATA_PATH).encode()
ID_PREFIX: Final = "swarm/"
"""Of the ids under which our modules stand in OPA."""
EXISTING_BYTES: Final = 4096
_MARKER: Final = "canswarm-tui-{tag}"


def records_of(source: PolicySource) -> list[Record]:
    """What is published, sorted by key: the data first, because the rules deny everything without it."""
    pairs = [(DATA_KEY, source.data)]
    pairs += [(POLICIES + (ID_PREFIX + name).encode(), text) for name, text in source.modules]
    return [Record(key, hashlib.sha256(text).digest(), len(text), text) for key, text in sorted(pairs)]


class OpaSink:
    """Creates what is absent; something else under our path, our id or in our package is a conflict."""

    max_records = 1000
    max_bytes = 64 << 20

    def __init__(self, client: OpaClient, own: Collection[bytes]) -> None:
        """`own` are the keys of the whole policy, which arrives in one batch or in several."""
        self._client = client
        self._own = frozenset(own)

    def held(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """What the server holds for each key that is there: a module's raw text, or data as compact JSON."""
        found = {POLICIES + module.id.encode(): module.raw for module in self._client.modules()}
        for key in keys:
            if key.startswith(DATA):
                document = self._client.data(_path(key))
                if document is not None:
                    found[key] = compact(document)
        return {key: found[key] for key in keys if key in found}

    def strangers(self) -> dict[bytes, bytes]:
        """What is in our package or under our data path and is not our own, by the key it would have."""
        data = ".".join(DATA_PATH)
        modules = self._client.modules()
        found = {
            POLICIES + m.id.encode(): m.raw
            for m in modules
            if m.package == PACKAGE or m.package == data or m.package.startswith(f"{data}.")
        }
        if not any(module.package == PACKAGE for module in modules):
            found |= self._data_in_the_way()
        return {key: raw for key, raw in found.items() if key not in self._own}

    def _data_in_the_way(self) -> dict[bytes, bytes]:
        """Data where our rules would be, while no rules are there; or a value where both need an object."""
        top = self._client.data(DATA_PATH[:1])
        if top is not None and not isinstance(top, dict):
            return {DATA + DATA_PATH[0].encode(): compact(top)}
        package = PACKAGE.split(".")
        there = self._client.data(package)
        return {} if there is None else {DATA + "/".join(package).encode(): compact(there)}

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        keys = [record.key for record in batch]
        held = self.held(keys)
        obstacle = next(iter((self.strangers() | _conflicts(batch, held)).items()), None)
        absent = [] if obstacle else [record for record in batch if record.key not in held]
        if absent:
            self._mark(tag, {record.key for record in absent})
        created = self._create(absent)
        if len(created) < len(absent):
            held = self.held(keys)
        return [self._landed(record, held.get(record.key), created, obstacle) for record in batch]

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:
        ours = self._marked(tag)
        held = self.held([wanted.key for wanted in batch])
        return [_settled(wanted, held.get(wanted.key), ours) for wanted in batch]

    def forget(self, tag: str) -> None:
        """Take the marker of a batch away: the journal has its receipts."""
        self._client.delete_data(_marker(tag))

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:  # noqa: ARG002 - receipts say what is ours
        """Rules go before the data that they need; what has changed since is kept."""
        held = self.held([wanted.key for wanted in batch])
        fates = {
            wanted.key: self._remove(wanted, held.get(wanted.key))
            for wanted in sorted(batch, key=lambda wanted: wanted.key, reverse=True)
        }
        return [fates[wanted.key] for wanted in batch]

    def replace(self, record: Record) -> None:
        """Overwrite what is under the record's key: a person has decided that."""
        assert isinstance(record.body, bytes)
        self._put(record.key, record.body, overwrite=True)

    def _mark(self, tag: str, keys: set[bytes]) -> None:
        """Name what is about to be created, beside what an earlier attempt of this batch has named."""
        names = sorted(key.decode() for key in keys | self._marked(tag))
        self._client.replace_data(_marker(tag), compact({"creates": list[Json](names)}))

    def _marked(self, tag: str) -> set[bytes]:
        marker = self._client.data(_marker(tag))
        names = marker.get("creates") if isinstance(marker, dict) else None
        return {str(name).encode() for name in names} if isinstance(names, list) else set()

    def _create(self, absent: Sequence[Record]) -> set[bytes]:
        """The keys that were created; data that appeared meanwhile is not among them.

        Modules may need each other, in any order: those that don't compile yet are tried again after the others.
        """
        waiting, created = list(absent), set[bytes]()
        while waiting:
            failed: list[Record] = []
            complaint: EngineError | None = None
            for record in waiting:
                assert isinstance(record.body, bytes)
                try:
                    if self._put(record.key, record.body, overwrite=False):
                        created.add(record.key)
                except WrongAnswer as exc:
                    failed.append(record)
                    complaint = exc
            if complaint is not None and len(failed) == len(waiting):
                raise Refused(
                    complaint.subject, f"it does not accept the policy: {complaint.happened}", "mend the Rego"
                ) from complaint
            waiting = failed
        return created

    def _put(self, key: bytes, body: bytes, *, overwrite: bool) -> bool:
        """False where data was there already and was left alone."""
        if not key.startswith(DATA):
            self._client.put_module(key.removeprefix(POLICIES).decode(), body)
        elif overwrite:
            self._client.replace_data(_path(key), body)
        else:
            return self._client.create_data(_path(key), body)
        return True

    @staticmethod
    def _landed(
        record: Record, held: bytes | None, created: Collection[bytes], obstacle: tuple[bytes, bytes] | None
    ) -> Landed:
        if record.key in created:
            return Landed(record.key, Fate.CREATED)
        if held is not None and hashlib.sha256(held).digest() == record.digest:
            return Landed(record.key, Fate.PRESENT)
        if held is None and obstacle is not None:
            name = obstacle[0].removeprefix(POLICIES).decode()
            return Landed(record.key, Fate.CONFLICT, name, obstacle[1][:EXISTING_BYTES])
        return Landed(record.key, Fate.CONFLICT, "", (held or b"")[:EXISTING_BYTES])

    def _remove(self, wanted: Wanted, held: bytes | None) -> Removal:
        if held is None:
            return Removal.GONE
        if hashlib.sha256(held).digest() != wanted.digest:
            return Removal.KEPT
        if wanted.key.startswith(DATA):
            gone = self._client.delete_data(_path(wanted.key))
        else:
            gone = self._client.delete_module(wanted.key.removeprefix(POLICIES).decode())
        return Removal.REMOVED if gone else Removal.GONE


def _conflicts(batch: Sequence[Record], held: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What stands under a record's key and is something else."""
    return {
        one.key: held[one.key]
        for one in batch
        if one.key in held and hashlib.sha256(held[one.key]).digest() != one.digest
    }


def _settled(wanted: Wanted, held: bytes | None, ours: Collection[bytes]) -> Landed:
    if held is None:
        return Landed(wanted.key, Fate.ABSENT)
    if hashlib.sha256(held).digest() != wanted.digest:
        return Landed(wanted.key, Fate.CONFLICT, "", held[:EXISTING_BYTES])
    return Landed(wanted.key, Fate.CREATED if wanted.key in ours else Fate.PRESENT)


def _path(key: bytes) -> list[str]:
    return key.removeprefix(DATA).decode().split("/")


def _marker(tag: str) -> tuple[str]:
    return (_MARKER.format(tag=tag),)
