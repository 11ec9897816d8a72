from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Refused
from canswarm_tui.engine.records import Fate, Record, Removal, Wanted
from canswarm_tui.engine.settings import OpaSettings, PolicySettings
from canswarm_tui.engine.v2.policy.answer import ALLOWED, compact
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.policy_opa import DATA_KEY, OpaSink, records_of
from canswarm_tui.engine.v2.policy.source import load_source
from canswarm_tui.sandbox.servers import Server
from tests.engine.v2.policy.inputs import need

OURS = b"policies/swarm/envelope.rego"


@pytest.fixture
def client(private_server: Callable[..., Server]) -> Iterator[OpaClient]:
    with OpaClient(OpaSettings(url=private_server("opa").endpoint)) as client:
        yield client


def shipped() -> list[Record]:
    return records_of(load_source(PolicySettings()))


def sink_of(client: OpaClient, records: list[Record]) -> OpaSink:
    return OpaSink(client, [record.key for record in records])


def wanted(records: list[Record]) -> list[Wanted]:
    return [Wanted(one.key, one.digest, one.size) for one in records]


def fates(landed: object) -> list[Fate]:
    return [one.fate for one in landed]  # type: ignore[attr-defined]


def test_rules_and_data_are_published_once_and_read_back_equal(client: OpaClient) -> None:
    records = shipped()
    sink = sink_of(client, records)
    assert [one.key for one in records] == [DATA_KEY, OURS]
    assert fates(sink.write(records, "run-1")) == [Fate.CREATED, Fate.CREATED]
    assert sink.held([one.key for one in records]) == {one.key: one.body for one in records}
    assert client.decide(need()) == ALLOWED
    assert fates(sink.write(records, "run-2")) == [Fate.PRESENT, Fate.PRESENT]


def test_the_marker_tells_what_a_batch_created_until_it_is_forgotten(client: OpaClient) -> None:
    records = shipped()
    sink = sink_of(client, records)
    assert client.create_data(("swarm", "policy"), records[0].body)  # type: ignore[arg-type]
    assert fates(sink.settle(wanted(records), "run-1")) == [Fate.PRESENT, Fate.ABSENT]
    sink.write(records, "run-1")
    assert fates(sink.settle(wanted(records), "run-1")) == [Fate.PRESENT, Fate.CREATED]
    assert fates(sink.settle(wanted(records), "run-2")) == [Fate.PRESENT, Fate.PRESENT]
    sink.forget("run-1")
    assert client.data(("canswarm-tui-run-1",)) is None


def test_something_else_under_our_id_or_path_is_a_conflict_and_stays(client: OpaClient) -> None:
    client.put_module("swarm/envelope.rego", b"package elsewhere\n")
    client.replace_data(("swarm", "policy"), b'{"max_payload_bytes":1}')
    landed = sink_of(client, shipped()).write(shipped(), "run-1")
    assert fates(landed) == [Fate.CONFLICT, Fate.CONFLICT]
    assert [one.existing for one in landed] == [b'{"max_payload_bytes":1}', b"package elsewhere\n"]
    assert [module.raw for module in client.modules()] == [b"package elsewhere\n"]


def test_rules_never_go_live_over_data_of_somebody_else(client: OpaClient) -> None:
    theirs = b'{"allowed_kinds":["ANYTHING"],"max_payload_bytes":1000000000}'
    client.replace_data(("swarm", "policy"), theirs)
    landed = sink_of(client, shipped()).write(shipped(), "run-1")
    assert fates(landed) == [Fate.CONFLICT, Fate.CONFLICT]
    assert (landed[1].where, landed[1].existing) == ("data/swarm/policy", theirs)
    assert client.modules() == []
    assert client.data(("canswarm-tui-run-1",)) is None


@pytest.mark.parametrize(
    ("path", "text", "where"),
    [(("swarm", "envelope"), b'{"allow":true}', "data/swarm/envelope"), (("swarm",), b'"theirs"', "data/swarm")],
)
def test_data_where_our_rules_belong_is_a_conflict_and_stays(
    client: OpaClient, path: tuple[str, ...], text: bytes, where: str
) -> None:
    client.replace_data(path, text)
    landed = sink_of(client, shipped()).write(shipped(), "run-1")
    assert fates(landed) == [Fate.CONFLICT, Fate.CONFLICT]
    assert {one.where for one in landed} == {where}
    assert (compact(client.data(path)), client.modules()) == (text, [])


def test_a_second_attempt_of_a_batch_keeps_what_the_first_has_marked(client: OpaClient) -> None:
    records = shipped()
    sink = sink_of(client, records)
    assert fates(sink.write(records[:1], "run-1")) == [Fate.CREATED]
    assert fates(sink.write(records[1:], "run-1")) == [Fate.CREATED]
    assert fates(sink.settle(wanted(records), "run-1")) == [Fate.CREATED, Fate.CREATED]


@pytest.mark.parametrize("package", ["swarm.envelope", "swarm.policy", "swarm.policy.deep"])
def test_somebody_elses_rules_in_our_package_are_a_conflict_and_nothing_is_published(
    client: OpaClient, package: str
) -> None:
    rego = f"package {package}\n\nextra := true\n".encode()
    client.put_module("theirs.rego", rego)
    landed = sink_of(client, shipped()).write(shipped(), "run-1")
    assert Fate.CREATED not in fates(landed)
    assert landed[1].existing == rego
    assert landed[1].where == "theirs.rego"
    assert [module.id for module in client.modules()] == ["theirs.rego"]


def test_only_what_is_still_the_same_is_removed(client: OpaClient) -> None:
    records = shipped()
    sink = sink_of(client, records)
    sink.write(records, "run-1")
    client.replace_data(("swarm", "policy"), b'{"max_payload_bytes":1}')
    assert sink.remove(wanted(records), "run-1") == [Removal.KEPT, Removal.REMOVED]
    client.delete_data(("swarm", "policy"))
    assert sink.remove(wanted(records), "run-1") == [Removal.GONE, Removal.GONE]
    assert client.modules() == []


def test_modules_that_need_each_other_are_published_in_whatever_order_works(client: OpaClient, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(
        "package swarm.envelope\n\nimport data.lib\n\nallow if lib.fine(input)\n\n"
        'decision := {"allow": true, "reasons": []} if allow\n'
    )
    (tmp_path / "b.rego").write_text("package lib\n\nfine(x) if x.facts\n")
    records = records_of(load_source(PolicySettings(rego_dir=tmp_path)))
    assert fates(sink_of(client, records).write(records, "run-1")) == [Fate.CREATED] * 3
    assert client.decide(need()) == ALLOWED


def test_rules_that_do_not_compile_are_refused_with_opas_reason(client: OpaClient) -> None:
    bad = b"package swarm.envelope\n\nallow if nothing_like_this(1)\n"
    record = Record(OURS, hashlib.sha256(bad).digest(), len(bad), bad)
    with pytest.raises(Refused, match="nothing_like_this"):
        sink_of(client, [record]).write([record], "run-1")


def test_what_is_ours_is_no_stranger_to_a_batch_that_lacks_it(client: OpaClient) -> None:
    records = shipped()
    sink = sink_of(client, records)
    assert fates(sink.write(records[1:], "run-1")) == [Fate.CREATED]
    assert fates(sink.write(records[:1], "run-2")) == [Fate.CREATED]
