"""Decisions on real Redis and etcd: copied once, compared byte for byte, conflicts left alone, undone exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from canswarm_tui.engine.errors import Blocked, ExitCode, SettingsError
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import EtcdSettings, Settings, SiteSettings
from canswarm_tui.engine.step import Keep, Kind
from canswarm_tui.engine.v2.decisions import EtcdSink, decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.sandbox.servers import Server
from tests.engine.steps.running import Bench, Killed, kill_at, without_needs


def decision(need_id: str, proposal: str = "p") -> bytes:
    value = {
        "need_id": need_id, "proposal_id": proposal, "epoch": 1, "lamport": 7, "k_plan": 1, "decider_id": "d",
        "timestamp_ns": 2**60,
    }  # fmt: skip
    return json.dumps(value).encode()


@pytest.fixture
def site(v1_site: Path, clean_redis: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(clean_redis)
    for need in ("plain", "with:colon/and slash", "ünïcode", "default-need"):
        client.set(f"decide:{need}", decision(need))
    client.set("other:key", b"not ours")
    yield client
    client.close()


@pytest.fixture
def bench(
    site: redis.Redis,
    v1_site: Path,
    clean_redis: str,
    etcd_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    without_needs(monkeypatch)
    prefix = f"/test/{tmp_path.name}/decide/"
    return Bench(
        Settings(
            site=SiteSettings(root=v1_site, redis_url=clean_redis),
            etcd=EtcdSettings(endpoints=(etcd_endpoint,), prefix=prefix),
            state_dir=tmp_path / "state",
        )
    )


@pytest.fixture
def sink(bench: Bench) -> Iterator[EtcdSink]:
    client = EtcdClient(bench.settings.etcd)
    yield decision_sink(client, bench.settings.etcd)
    client.close()


def test_decisions_arrive_byte_for_byte_and_are_proved(bench: Bench, sink: EtcdSink) -> None:
    assert bench.run("decisions").created == 4
    assert {e.key.decode(): e.value for e in sink.scan()} == {
        need: decision(need) for need in ("plain", "with:colon/and slash", "ünïcode", "default-need")
    }
    assert bench.record("decisions").state is StepState.PROVED


def test_a_second_run_leaves_every_key_as_it_was_and_a_new_decision_is_all_that_a_third_writes(
    bench: Bench, sink: EtcdSink, site: redis.Redis
) -> None:
    bench.run("decisions")
    before = list(sink.scan())
    assert bench.run("decisions").created == 0
    assert list(sink.scan()) == before
    site.set("decide:late", decision("late"))
    outcome = bench.run("decisions")
    assert (outcome.created, outcome.unchanged) == (1, 4)
    assert [e for e in sink.scan() if e.key != b"late"] == before


def test_a_key_that_is_no_decision_is_quarantined_by_name_and_the_rest_goes_on(bench: Bench, site: redis.Redis) -> None:
    site.set("decide:bad", b"{not json")
    site.lpush("decide:list", "x")
    runner = bench.runner()
    assert runner.run(["decisions"]).exit_code is ExitCode.ATTENTION
    found = {f.finding.subject: f.finding.kind for f in bench.findings("decisions")}
    assert found == {"decide:bad": Kind.QUARANTINE, "decide:list": Kind.QUARANTINE}
    assert bench.record("decisions").state is StepState.NEEDS_ATTENTION
    assert bench.record("decisions").verdict is not None


def test_a_value_that_was_there_before_is_kept_and_shown_with_ours(
    bench: Bench, sink: EtcdSink, site: redis.Redis
) -> None:
    theirs = decision("plain", "another proposal")
    _put(sink, b"plain", theirs)
    assert bench.runner().run(["decisions"]).exit_code is ExitCode.ATTENTION
    (stored,) = bench.findings("decisions")
    assert stored.finding.kind is Kind.CONFLICT
    assert stored.finding.details["target"] == theirs.decode()
    assert stored.finding.details["site"] == decision("plain").decode()
    assert _value(sink, b"plain") == theirs


@pytest.mark.parametrize("keep", list(Keep))
def test_a_conflict_can_be_resolved_either_way_and_an_undo_puts_back_what_was_there(
    bench: Bench, sink: EtcdSink, keep: Keep
) -> None:
    theirs = decision("plain", "another proposal")
    _put(sink, b"plain", theirs)
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    assert bench.runner().resolve(stored, keep, "operator", "because").exit_code is ExitCode.DONE
    assert _value(sink, b"plain") == (theirs if keep is Keep.TARGET else decision("plain"))
    assert bench.runner().run(["decisions"]).exit_code is ExitCode.DONE
    bench.undo("decisions")
    assert {e.key: e.value for e in sink.scan()} == {b"plain": theirs}


@pytest.mark.parametrize("keep", list(Keep))
def test_what_somebody_changes_after_the_copy_can_be_resolved_either_way_too(
    bench: Bench, sink: EtcdSink, keep: Keep
) -> None:
    bench.run("decisions")
    _put(sink, b"plain", b"changed since")
    assert bench.verify("decisions").differences == 1
    (stored,) = bench.findings("decisions")
    assert (stored.finding.code, stored.finding.kind) == ("decision.differs", Kind.CONFLICT)
    assert bench.runner().resolve(stored, keep, "operator", "because").exit_code is ExitCode.DONE
    assert _value(sink, b"plain") == (b"changed since" if keep is Keep.TARGET else decision("plain"))
    verdict = bench.verify("decisions")
    assert verdict.differences == 0
    assert verdict.passed is (keep is Keep.SITE)
    assert bench.record("decisions").state is (StepState.PROVED if keep is Keep.SITE else StepState.DONE)
    bench.undo("decisions")
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"changed since"}


def test_the_targets_value_can_not_be_kept_once_the_sites_stands_in_its_place(bench: Bench, sink: EtcdSink) -> None:
    _put(sink, b"plain", b"theirs")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    with pytest.raises(Blocked, match="something else by now than what the finding shows"):
        bench.runner().resolve(stored, Keep.TARGET, "operator", "a second thought")
    assert bench.record("decisions").state is not StepState.STOPPED
    bench.undo("decisions")
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"theirs"}


def test_of_two_values_that_a_person_had_replaced_an_undo_puts_the_later_one_back(bench: Bench, sink: EtcdSink) -> None:
    bench.run("decisions")
    for theirs in (b"changed once", b"changed again"):
        _put(sink, b"plain", theirs)
        bench.verify("decisions")
        (stored,) = bench.findings("decisions")
        bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    bench.undo("decisions")
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"changed again"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_value_of_this_run_that_a_person_had_renewed_is_removed_by_an_undo(
    bench: Bench, sink: EtcdSink, times: int
) -> None:
    bench.run("decisions")
    client = redis.Redis.from_url(bench.settings.site.redis_url)
    for epoch in range(times):
        client.set("decide:plain", decision("plain").replace(b'"epoch": 1', b'"epoch": 1%d' % epoch))
        bench.runner().run(["decisions"])
        (stored,) = bench.findings("decisions")
        bench.runner().resolve(stored, Keep.SITE, "operator", "the site has moved")
        assert bench.runner().run(["decisions"]).exit_code is ExitCode.DONE
    client.close()
    bench.undo("decisions")
    assert list(sink.scan()) == []


def test_a_renewed_value_that_somebody_has_changed_since_is_kept_by_an_undo(bench: Bench, sink: EtcdSink) -> None:
    bench.run("decisions")
    client = redis.Redis.from_url(bench.settings.site.redis_url)
    client.set("decide:plain", decision("plain").replace(b'"epoch": 1', b'"epoch": 7'))
    client.close()
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    bench.runner().resolve(stored, Keep.SITE, "operator", "the site has moved")
    _put(sink, b"plain", b"theirs")
    assert bench.undo("decisions").conflicts == 1
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"theirs"}


def test_a_value_that_nobody_was_shown_is_not_overwritten(bench: Bench, sink: EtcdSink) -> None:
    _put(sink, b"plain", b"shown")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    _put(sink, b"plain", b"never shown")
    with pytest.raises(Blocked, match="something else by now"):
        bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    assert _value(sink, b"plain") == b"never shown"
    assert bench.record("decisions").state is StepState.NEEDS_ATTENTION
    bench.verify("decisions")
    (stored,) = bench.findings("decisions")
    assert bench.runner().resolve(stored, Keep.SITE, "operator", "because").exit_code is ExitCode.DONE


def test_a_replacement_that_somebody_writes_over_at_once_is_not_called_done(
    bench: Bench, sink: EtcdSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(sink, b"plain", b"shown")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    replace = EtcdSink.replace

    def and_then_somebody_else(self: EtcdSink, record: Record, shown: bytes) -> bytes | None:
        former = replace(self, record, shown)
        _put(self, record.key, b"theirs")
        return former

    monkeypatch.setattr(EtcdSink, "replace", and_then_somebody_else)
    with pytest.raises(Blocked, match="read back"):
        bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    (still,) = bench.findings("decisions")
    assert still.wants_decision
    bench.verify("decisions")
    assert bench.record("decisions").state is StepState.NEEDS_ATTENTION


def test_a_conflict_of_a_step_that_was_undone_does_not_stand_any_more_and_nothing_is_overwritten(
    bench: Bench, sink: EtcdSink
) -> None:
    _put(sink, b"plain", b"theirs")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    bench.undo("decisions")
    assert [f for f in bench.findings("decisions") if f.wants_decision] == []
    with pytest.raises(Blocked, match="it is undone"):
        bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"theirs"}
    assert bench.runner().run(["decisions"]).exit_code is ExitCode.ATTENTION
    (again,) = [f for f in bench.findings("decisions") if f.wants_decision]
    assert again.id == stored.id


@pytest.mark.parametrize("deleted", [False, True])
def test_an_undo_puts_a_replaced_value_back_where_somebody_has_deleted_ours(
    bench: Bench, sink: EtcdSink, deleted: bool
) -> None:
    _put(sink, b"plain", b"former")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    if deleted:
        _delete(sink, b"plain")
    assert bench.undo("decisions").conflicts == 0
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"former"}


@pytest.mark.parametrize("boundary", ["before:replaced", "after:replaced"])
def test_a_choice_that_is_killed_before_it_wrote_is_no_trouble_to_an_undo(
    bench: Bench, sink: EtcdSink, boundary: str
) -> None:
    _put(sink, b"plain", b"theirs")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    with pytest.raises(Killed):
        bench.runner(kill_at(boundary)).resolve(stored, Keep.SITE, "operator", "because")
    assert bench.undo("decisions").conflicts == 0
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"theirs"}


def test_an_undo_names_a_replaced_value_that_somebody_has_changed_since(bench: Bench, sink: EtcdSink) -> None:
    _put(sink, b"plain", b"former")
    bench.runner().run(["decisions"])
    (stored,) = bench.findings("decisions")
    bench.runner().resolve(stored, Keep.SITE, "operator", "because")
    _put(sink, b"plain", b"changed since")
    assert bench.undo("decisions").conflicts == 1
    assert {e.key: e.value for e in sink.scan()} == {b"plain": b"changed since"}
    (kept,) = [f for f in bench.findings("decisions") if f.wants_decision]
    assert (kept.finding.code, kept.finding.subject) == ("decision.kept", "plain")
    with pytest.raises(SettingsError, match="Accept it"):
        bench.runner().resolve(kept, Keep.SITE, "operator", "because")


def test_a_decision_that_changes_in_the_site_after_the_copy_is_one_conflict_with_both_values(
    bench: Bench, sink: EtcdSink, site: redis.Redis
) -> None:
    bench.run("decisions")
    site.set("decide:plain", decision("plain", "another proposal"))
    bench.runner().run(["decisions"])
    assert _value(sink, b"plain") == decision("plain")
    (stored,) = [f for f in bench.findings("decisions") if f.wants_decision]
    assert (stored.finding.code, stored.finding.kind) == ("decision.conflict", Kind.CONFLICT)
    assert bench.runner().resolve(stored, Keep.SITE, "operator", "v1 went on").exit_code is ExitCode.DONE
    assert bench.verify("decisions").passed


def test_what_somebody_deletes_from_etcd_is_a_difference_by_name_and_the_next_run_mends_it(
    bench: Bench, sink: EtcdSink
) -> None:
    bench.run("decisions")
    _delete(sink, "ünïcode".encode())
    verdict = bench.verify("decisions")
    assert (verdict.passed, verdict.differences) == (False, 1)
    (stored,) = bench.findings("decisions")
    assert (stored.finding.subject, stored.finding.code) == ("ünïcode", "decision.missing")
    assert bench.run("decisions").created == 1
    assert bench.record("decisions").state is StepState.PROVED


def test_an_undo_leaves_what_others_have_changed_or_put_there(bench: Bench, sink: EtcdSink) -> None:
    _put(sink, b"theirs", b"{}")
    bench.run("decisions")
    _put(sink, b"plain", b"changed since")
    outcome = bench.undo("decisions")
    assert (outcome.removed, outcome.conflicts) == (3, 1)
    assert {e.key: e.value for e in sink.scan()} == {b"theirs": b"{}", b"plain": b"changed since"}


def test_an_expiry_is_told_and_the_copy_has_none(bench: Bench, sink: EtcdSink, site: redis.Redis) -> None:
    site.expire("decide:plain", 3600)
    bench.run("decisions")
    (stored,) = bench.findings("decisions")
    assert (stored.finding.code, stored.finding.kind) == ("decision.expires", Kind.CONDITION)
    assert all(e.lease == 0 for e in sink.scan())


def test_another_cluster_is_refused_by_every_verb_until_the_step_is_undone_where_it_was(
    bench: Bench, sink: EtcdSink, private_server: Callable[..., Server]
) -> None:
    bench.run("decisions")
    there = list(sink.scan())
    etcd = bench.settings.etcd.model_copy(update={"endpoints": (private_server("etcd").endpoint,)})
    elsewhere = Bench(bench.settings.model_copy(update={"etcd": etcd}))
    runner = elsewhere.runner()
    for verb in (runner.run, runner.verify):
        with pytest.raises(SettingsError, match=r"etcd\.endpoints: the step began with cluster"):
            verb(["decisions"])
    with pytest.raises(SettingsError, match="undo the step there first"):
        runner.undo("decisions")
    assert list(sink.scan()) == there
    assert bench.verify("decisions").passed
    assert bench.undo("decisions").removed == 4
    assert elsewhere.run("decisions").created == 4
    assert elsewhere.record("decisions").state is StepState.PROVED


def test_a_cluster_under_another_address_and_another_one_at_its_address_are_still_the_target(
    bench: Bench, sink: EtcdSink
) -> None:
    bench.run("decisions")
    (endpoint,) = bench.settings.etcd.endpoints
    moved = bench.settings.etcd.model_copy(update={"endpoints": (endpoint.replace("127.0.0.1", "localhost"),)})
    assert Bench(bench.settings.model_copy(update={"etcd": moved})).verify("decisions").passed
    journal = Journal.join(bench.journal_path)
    journal.step("decisions").set_fact("target etcd.endpoints", ["cluster 1", moved.endpoints[0]])
    journal.close()
    assert Bench(bench.settings.model_copy(update={"etcd": moved})).undo("decisions").removed == 4
    assert list(sink.scan()) == []


def test_another_prefix_is_refused(bench: Bench) -> None:
    bench.run("decisions")
    etcd = bench.settings.etcd.model_copy(update={"prefix": "/another/"})
    with pytest.raises(SettingsError, match=r"etcd\.prefix"):
        Bench(bench.settings.model_copy(update={"etcd": etcd})).runner().undo("decisions")


def _put(sink: EtcdSink, key: bytes, value: bytes) -> None:
    from canswarm_tui.engine.v2.etcd_stubs import rpc

    sink._client.write("Put", rpc.PutRequest(key=sink.prefix + key, value=value))


def _delete(sink: EtcdSink, key: bytes) -> None:
    from canswarm_tui.engine.v2.etcd_stubs import rpc

    sink._client.write("DeleteRange", rpc.DeleteRangeRequest(key=sink.prefix + key))


def _value(sink: EtcdSink, key: bytes) -> bytes:
    found = sink.get(key)
    assert found is not None
    return found.value
