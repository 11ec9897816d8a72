"""Decisions in etcd: created once, never overwritten, and ours or not ours told exactly, whatever happens."""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canswarm_tui.engine.errors import Busy, Defect, NoSpace, SettingsError, Unreachable
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Sink, Wanted
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2 import decisions
from canswarm_tui.engine.v2.decisions import MIGRATION_PREFIX, EtcdSink, cas_map_sink, decision_sink, fits
from canswarm_tui.engine.v2.etcd_client import Entry, EtcdClient
from canswarm_tui.engine.v2.etcd_connection import Message
from canswarm_tui.engine.v2.etcd_facts import read_facts
from canswarm_tui.engine.v2.etcd_stubs import rpc
from tests.engine.v2.etcd_process import answers, client_of, put, running_etcd, until


def record(key: bytes | str, body: bytes = b"value") -> Record:
    name = key.encode() if isinstance(key, str) else key
    return Record(name, hashlib.sha256(body).digest(), len(body), body)


def wanted(records: Iterable[Record]) -> list[Wanted]:
    return [Wanted(r.key, r.digest, r.size) for r in records]


def fates(landed: Sequence[Landed]) -> list[Fate]:
    return [one.fate for one in landed]


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[EtcdClient]:
    with client_of(etcd_endpoint) as client:
        yield client


@pytest.fixture
def sink(client: EtcdClient) -> EtcdSink:
    return EtcdSink(client, f"/test/{uuid.uuid4().hex}/".encode())


@pytest.fixture
def tag() -> str:
    return f"{uuid.uuid4().hex[:12]}-1"


def test_it_is_a_sink(sink: EtcdSink) -> None:
    def takes(_: Sink) -> None: ...

    takes(sink)


def test_absent_keys_are_created_with_their_bytes_and_a_second_write_changes_nothing(sink: EtcdSink, tag: str) -> None:
    names = ["default-need", "a:b", "a/b/c", "Entscheidung-ä-決", "", " ", "x\0y", "\u202e"]
    records = [record(name, b"\xff\x00 of " + name.encode()) for name in names]
    assert fates(sink.write(records, tag)) == [Fate.CREATED] * len(records)
    before = list(sink.scan())
    assert {e.key: e.value for e in before} == {r.key: r.body for r in records}
    assert [e.key for e in before] == sorted(r.key for r in records)
    assert fates(sink.write(records, "another-run-1")) == [Fate.PRESENT] * len(records)
    assert list(sink.scan()) == before


def test_another_value_is_a_conflict_that_shows_what_is_there_and_leaves_it(sink: EtcdSink, tag: str) -> None:
    sink.write([record("k", b"theirs"), record("big", b"x" * 5000)], "theirs-1")
    landed = sink.write([record("new"), record("k", b"ours"), record("big", b"y")], tag)
    assert landed == [
        Landed(b"new", Fate.CREATED),
        Landed(b"k", Fate.CONFLICT, existing=b"theirs"),
        Landed(b"big", Fate.CONFLICT, existing=b"x" * 4096),
    ]
    kept = sink.get(b"k")
    assert kept is not None
    assert (kept.key, kept.value) == (b"k", b"theirs")
    settled = sink.settle(wanted([record("new"), record("k", b"ours"), record("gone")]), tag)
    assert fates(settled) == [Fate.CREATED, Fate.CONFLICT, Fate.ABSENT]


def test_thousands_in_one_batch_all_have_their_own_outcome(sink: EtcdSink, tag: str) -> None:
    theirs = [record(f"{n}") for n in range(0, 1000, 7)]
    sink.write(theirs, "theirs-1")
    records = [record(f"{n}") for n in range(1000)]
    expected = [Fate.PRESENT if n % 7 == 0 else Fate.CREATED for n in range(1000)]
    assert fates(sink.write(records, tag)) == expected
    assert fates(sink.settle(wanted(records), tag)) == expected
    assert sink.count() == 1000


def test_the_same_key_twice_in_a_batch_keeps_the_first_and_loses_no_ownership(sink: EtcdSink, tag: str) -> None:
    batch = [record("k", b"1"), record("k", b"1"), record("k", b"2")]
    expected = [Landed(b"k", Fate.CREATED), Landed(b"k", Fate.CREATED), Landed(b"k", Fate.CONFLICT, existing=b"1")]
    assert sink.write(batch, tag) == expected
    assert sink.settle(wanted(batch), tag) == expected


def test_what_a_lost_acknowledgement_created_is_ours_also_for_the_next_write(sink: EtcdSink, tag: str) -> None:
    first, second = record("a"), record("b")
    sink.write([first], tag)  # pretend that nobody heard the answer
    assert fates(sink.write([first, second], tag)) == [Fate.CREATED, Fate.CREATED]
    assert fates(sink.settle(wanted([first, second]), tag)) == [Fate.CREATED, Fate.CREATED]
    assert fates(sink.settle(wanted([first]), "another-1")) == [Fate.PRESENT]


def test_a_transaction_that_arrives_after_settling_does_nothing(client: EtcdClient, sink: EtcdSink, tag: str) -> None:
    [late] = sink._creations([{b"k": b"value"}], tag, 0)
    assert fates(sink.settle(wanted([record("k")]), tag)) == [Fate.ABSENT]
    [answer] = client.transact([late])
    assert not answer.succeeded
    assert fates(sink.settle(wanted([record("k")]), tag)) == [Fate.ABSENT]
    assert fates(sink.write([record("k")], tag)) == [Fate.CREATED]


def test_a_run_whose_batch_was_settled_by_another_writes_nothing(client: EtcdClient, sink: EtcdSink, tag: str) -> None:
    class Overtaken(EtcdClient):
        def transact(self, requests: Iterable[Message]) -> Iterator[Message]:
            sink.settle([], tag)
            return super().transact(requests)

    zombie = EtcdSink(Overtaken(client.settings), sink.prefix)
    with pytest.raises(Busy):
        zombie.write([record("k")], tag)
    assert sink.count() == 0


def test_undo_removes_what_is_unchanged_and_keeps_the_rest(client: EtcdClient, sink: EtcdSink, tag: str) -> None:
    records = [record(name) for name in ("same", "changed", "rewritten", "gone")]
    sink.write(records, tag)
    sink.forget(tag)
    put(client, sink.prefix + b"changed", b"other")
    put(client, sink.prefix + b"rewritten", b"value")
    sink.remove(wanted([record("gone")]), tag)
    expected = [Removal.REMOVED, Removal.KEPT, Removal.KEPT, Removal.GONE]
    assert sink.remove(wanted(records), tag) == expected
    assert [e.key for e in sink.scan()] == [b"changed", b"rewritten"]


def test_a_key_that_changes_between_the_look_and_the_deletion_is_kept(client: EtcdClient, sink: EtcdSink) -> None:
    class Interfering(EtcdClient):
        def get_many(self, keys: Sequence[bytes]) -> list[Entry | None]:
            found = super().get_many(keys)
            put(client, sink.prefix + b"k", b"changed")
            return found

    sink.write([record("k"), record("l")], "a-1")
    hasty = EtcdSink(Interfering(client.settings), sink.prefix)
    assert hasty.remove(wanted([record("k"), record("l")]), "a-1") == [Removal.KEPT, Removal.REMOVED]


def test_every_transaction_that_changed_something_is_told_to_the_log_and_no_other(
    sink: EtcdSink, tag: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("canswarm_tui"), "propagate", True)
    caplog.set_level(logging.INFO, logger="canswarm_tui.engine.changes")
    batch = [record(f"told-{n}") for n in range(3)]
    sink.write(batch, tag)
    said = [line for line in caplog.messages if "told-" in line]
    assert [line.split(": ", 1)[1].split(", revision")[0] for line in said] == [
        f"Txn created {sink.prefix.decode()}told-0 … {sink.prefix.decode()}told-2 (3)"
    ]
    caplog.clear()
    sink.write(batch, tag)
    assert not [line for line in caplog.messages if "told-" in line]
    sink.remove(wanted(batch), tag)
    assert [line for line in caplog.messages if "Txn deleted" in line and "(3)" in line]


def test_hundreds_are_removed_at_once(sink: EtcdSink, tag: str) -> None:
    records = [record(f"{n}") for n in range(300)]
    sink.write(records, tag)
    assert sink.remove(wanted(records), tag) == [Removal.REMOVED] * 300
    assert sink.count() == 0


def test_a_conflict_is_resolved_only_over_the_value_that_was_shown(sink: EtcdSink) -> None:
    sink.write([record("k", b"theirs")], "a-1")
    ours = record("k", b"ours")
    assert sink.replace(ours, hashlib.sha256(b"something else").digest()) is None
    assert sink.replace(ours, hashlib.sha256(b"theirs").digest()) == b"theirs"
    assert [e.value for e in sink.scan()] == [b"ours"]
    assert sink.replace(record("absent"), hashlib.sha256(b"").digest()) is None
    assert sink.count() == 1


def test_markers_go_when_forgotten_and_a_sweep_leaves_other_runs(client: EtcdClient, sink: EtcdSink) -> None:
    run, other = uuid.uuid4().hex[:8], uuid.uuid4().hex[:8]
    for tag in (f"{run}-1", f"{run}-12", f"{other}-1"):
        sink.write([record(tag)], tag)
    of_run, of_other = MIGRATION_PREFIX + run.encode(), MIGRATION_PREFIX + other.encode()
    sink.forget(f"{run}-1")
    assert client.count(of_run) == 1
    sink.settle([], f"{run}-3")
    sink.sweep(run, [])
    assert client.count(of_run) == 0
    assert client.count(of_other) == 1


def test_a_sweep_leaves_the_markers_of_batches_that_are_open(client: EtcdClient, sink: EtcdSink) -> None:
    run = uuid.uuid4().hex[:8]
    records = {f"{run}-{n}": record(f"{n}") for n in (1, 2, 10, 12, 120)}
    for tag, one in records.items():
        sink.write([one], tag)
    still_open = [f"{run}-{n}" for n in (2, 12)]
    sink.sweep(run, still_open)
    judged = {tag: sink.settle(wanted([one]), tag)[0].fate for tag, one in records.items()}
    assert {tag for tag, fate in judged.items() if fate is Fate.CREATED} == set(still_open)


def test_large_values_are_split_over_transactions_and_the_limit_itself_goes_through(sink: EtcdSink, tag: str) -> None:
    limit = decisions.MAX_RECORD_BYTES
    records = [record(f"{n}", bytes([n]) * 400_000) for n in range(8)] + [record("x", b"x" * (limit - 3))]
    assert fits(b"x", limit - 3)
    assert not fits(b"x", limit - 2)
    assert fates(sink.write(records, tag)) == [Fate.CREATED] * 9
    assert fates(sink.settle(wanted(records), tag)) == [Fate.CREATED] * 9
    assert [len(e.value) for e in sink.scan()] == [400_000] * 8 + [limit - 3]
    with pytest.raises(Defect):
        sink.write([record("y", b"y" * limit)], tag)


def test_large_blobs_have_their_cid_under_a_prefix_of_their_own(client: EtcdClient) -> None:
    digest = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
    sink = cas_map_sink(client)
    sink.write([record(digest, b"bafybeid")], "a-1")
    found = client.get(f"/swarm/cas/{digest}".encode())
    assert found is not None
    assert found.value == b"bafybeid"
    sink.remove(wanted([record(digest, b"bafybeid")]), "a-1")


@pytest.mark.parametrize("prefix", ["", "/", "/swarm/", "/swarm/cas/", "/swarm/migration/x/"])
def test_a_prefix_that_covers_other_keys_is_refused(client: EtcdClient, prefix: str) -> None:
    with pytest.raises(SettingsError):
        decision_sink(client, EtcdSettings(prefix=prefix))
    assert decision_sink(client, EtcdSettings()).prefix == b"/swarm/decide/"


def _free_space(client: EtcdClient) -> None:
    channel = client._current()._client.channel
    maintenance = rpc.MaintenanceStub(channel)
    newest = client.page(b"/t/", limit=1).revision
    rpc.KVStub(channel).Compact(rpc.CompactionRequest(revision=newest, physical=True), 5)
    maintenance.Defragment(rpc.DefragmentRequest(), 5)
    for alarm in maintenance.Alarm(rpc.AlarmRequest(action=rpc.AlarmRequest.GET), 5).alarms:
        disarm = rpc.AlarmRequest(action=rpc.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
        maintenance.Alarm(disarm, 5)


def _room_for(sink: EtcdSink, records: list[Record]) -> bool:
    """Writes one more; etcd looks at its size a little late."""
    try:
        sink.write([records[sink.count()]], "a-1")
    except NoSpace as exc:
        assert "alarm disarm" in exc.remedy  # noqa: PT017
        return False
    return True


def test_out_of_space_the_state_is_still_told_and_undone_and_freed_space_lets_it_go_on(tmp_path: Path) -> None:
    quota = f"--quota-backend-bytes={4 * 1024**2}"
    with running_etcd(tmp_path, extra=(quota,)) as etcd, client_of(etcd.endpoint) as client:
        sink = EtcdSink(client, b"/t/")
        records = [record(f"{n:02}", bytes([n]) * 500_000) for n in range(40)]
        until(lambda: not _room_for(sink, records), what="etcd is full")
        assert any("NOSPACE" in alarm for alarm in read_facts(client).alarms)
        settled = fates(sink.settle(wanted(records), "a-1"))
        created = settled.count(Fate.CREATED)
        assert created > 2
        assert settled == [Fate.CREATED] * created + [Fate.ABSENT] * (len(records) - created)
        assert sink.remove(wanted(records[:created]), "a-1") == [Removal.REMOVED] * created
        _free_space(client)
        assert fates(sink.write(records[:2], "a-1")) == [Fate.CREATED] * 2


def test_a_server_killed_in_mid_write_has_each_record_either_created_or_absent(tmp_path: Path) -> None:
    records = [record(f"{n:06}", b"%d" % n) for n in range(60_000)]
    with running_etcd(tmp_path) as etcd, client_of(etcd.endpoint) as client:
        sink = EtcdSink(client, b"/t/")
        killer = threading.Timer(0.3, etcd.kill)
        killer.start()
        with pytest.raises(Unreachable):
            sink.write(records, "a-1")
        killer.join()
        etcd.start()
        until(lambda: answers(client), what="etcd answers")
        settled = sink.settle(wanted(records), "a-1")
        assert set(fates(settled)) == {Fate.CREATED, Fate.ABSENT}
        rest = [r for r, landed in zip(records, settled, strict=True) if landed.fate is Fate.ABSENT]
        assert set(fates(sink.write(rest, "a-1"))) == {Fate.CREATED}
        assert set(fates(sink.settle(wanted(records), "a-1"))) == {Fate.CREATED}
        assert [(e.key, e.value, e.version) for e in sink.scan()] == [(r.key, r.body, 1) for r in records]


class Unlucky(EtcdClient):
    """Loses the connection when the n-th transaction is applied or about to be: nobody hears its answer."""

    def __init__(self, settings: EtcdSettings) -> None:
        super().__init__(settings)
        self.answers_heard: int | None = None

    def transact(self, requests: Iterable[Message]) -> Iterator[Message]:
        for heard, answer in enumerate(super().transact(requests)):
            if heard == self.answers_heard:
                raise Unreachable(self.endpoint, "injected", "none")
            yield answer


KEYS = [f"key-{n}".encode() for n in range(12)]


@dataclass(frozen=True)
class WriteUnheard:
    keys: list[bytes]
    answers_heard: int


@dataclass(frozen=True)
class Settle:
    keys: list[bytes]


@dataclass(frozen=True)
class ForeignWrite:
    key: bytes
    value: bytes


Event = WriteUnheard | Settle | ForeignWrite
_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=12, unique=True)
_event: st.SearchStrategy[Event] = st.one_of(
    st.builds(WriteUnheard, _keys, st.integers(0, 5)),
    st.builds(Settle, _keys),
    st.builds(ForeignWrite, st.sampled_from(KEYS), st.sampled_from([b"site", b"foreign"])),
)


def _site(keys: Iterable[bytes]) -> list[Record]:
    return [record(key, b"site") for key in keys]


def _happen(event: Event, client: Unlucky, sink: EtcdSink, tag: str, foreign: dict[bytes, bytes]) -> None:
    client.answers_heard = None
    match event:
        case WriteUnheard(keys, answers_heard):
            client.answers_heard = answers_heard
            with suppress(Unreachable):
                sink.write(_site(keys), tag)
        case Settle(keys):
            sink.settle(wanted(_site(keys)), tag)
        case ForeignWrite(key, value):
            if fates(sink.write([record(key, value)], f"f{tag}")) == [Fate.CREATED]:
                foreign.setdefault(key, value)
    client.answers_heard = None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(_event, max_size=10), batch=st.permutations(KEYS))
def test_ownership_and_final_state_are_exact_however_writes_fail(
    etcd_endpoint: str, events: list[Event], batch: list[bytes]
) -> None:
    tag = f"{uuid.uuid4().hex[:12]}-1"
    foreign: dict[bytes, bytes] = {}
    client = Unlucky(EtcdSettings(endpoints=(etcd_endpoint,)))
    sink = EtcdSink(client, f"/test/{tag}/".encode())
    with closing(client), mock.patch.object(decisions, "_KEYS_A_TXN", 2):
        for event in events:
            _happen(event, client, sink, tag, foreign)
        settled = {landed.key: landed.fate for landed in sink.settle(wanted(_site(batch)), tag)}
        rest = [key for key in batch if settled[key] is Fate.ABSENT]
        settled |= {landed.key: landed.fate for landed in sink.write(_site(rest), tag)}
        there = {e.key: e.value for e in sink.scan()}
    expected = {None: Fate.CREATED, b"site": Fate.PRESENT, b"foreign": Fate.CONFLICT}
    assert settled == {key: expected[foreign.get(key)] for key in KEYS}
    assert there == {key: foreign.get(key, b"site") for key in KEYS}
