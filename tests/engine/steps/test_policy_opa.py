"""The policy on a real OPA: published once, never over something else, proved answer by answer, undone exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Blocked, SettingsError, Unreachable
from canswarm_tui.engine.journal import StepState
from canswarm_tui.engine.settings import EngineSettings, OpaSettings, PolicySettings, Settings, SiteSettings
from canswarm_tui.engine.step import Keep, Kind, Level
from canswarm_tui.engine.steps import policy_verdict
from canswarm_tui.engine.v1.policy import Reason
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.source import load_source
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.engine.steps.running import Bench, without_needs

STEP = "policy-opa"


@pytest.fixture
def server(private_server: Callable[..., Server]) -> Server:
    return private_server("opa")


@pytest.fixture
def bench(server: Server, v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    without_needs(monkeypatch)
    return Bench(
        Settings(
            site=SiteSettings(root=v1_site),
            opa=OpaSettings(url=server.endpoint),
            policy=PolicySettings(opa_binary=ensure("opa")),
            engine=EngineSettings(give_up_after_s=1.0),
            state_dir=tmp_path / "state",
        )
    )


@pytest.fixture
def client(server: Server) -> Iterator[OpaClient]:
    with OpaClient(OpaSettings(url=server.endpoint)) as client:
        yield client


def with_policy(bench: Bench, **policy: object) -> Bench:
    fields = {"opa_binary": ensure("opa"), **policy}
    return Bench(bench.settings.model_copy(update={"policy": PolicySettings(**fields)}))


def own_rego(folder: Path, change: tuple[str, str]) -> Path:
    """Our Rego with a change, as an operator may write it."""
    folder.mkdir()
    text = load_source(PolicySettings()).modules[0][1].decode()
    assert change[0] in text
    (folder / "mine.rego").write_text(text.replace(*change))
    return folder


def codes(bench: Bench) -> set[str]:
    return {stored.finding.code for stored in bench.findings(STEP)}


def test_the_policy_is_published_read_back_and_proved_on_every_envelope(bench: Bench, client: OpaClient) -> None:
    outcome = bench.run(STEP)
    assert outcome.created == 2
    assert "tests passed" in outcome.summary
    record = bench.record(STEP)
    assert record.state is StepState.PROVED
    verdict = record.verdict
    assert verdict is not None
    compared = {one.name: one.compared for one in verdict.comparisons}
    assert compared["envelopes of the audit log in OPA"] == verdict.figures["envelopes"] == 602
    figures = verdict.figures
    for word in ("allow", *(reason.value for reason in Reason)):
        assert figures[f"{word}, v1"] == figures[f"{word}, OPA"] == figures[f"{word}, both"] != 0, word
    assert compared["conformance set in OPA"] == compared["conformance set in OPA one by one"] > 1500
    assert [module.id for module in client.modules()] == ["swarm/envelope.rego"]
    assert client.data(()) is not None
    assert not [name for name in client.data(()) if name.startswith("canswarm")]  # type: ignore[union-attr]


def test_history_that_v1_refuses_and_lost_artifacts_are_warnings_by_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_verdict, "REFUSED_BY_NAME", 5)
    bench.run(STEP)
    found = [stored.finding for stored in bench.findings(STEP)]
    refused = [finding for finding in found if finding.code == "policy.refused_today"]
    assert len(refused) == 5
    assert all((finding.level, finding.kind) == (Level.WARNING, Kind.CONDITION) for finding in refused)
    (in_all,) = [finding for finding in found if finding.code == "policy.refused_in_all"]
    assert "policy_hash_not_current" in in_all.happened
    lost = [finding for finding in found if finding.code == "policy.artifact_missing"]
    assert lost
    assert all(len(finding.subject) == 64 for finding in lost)


def test_a_second_run_writes_nothing_and_a_restarted_opa_is_given_it_again(
    bench: Bench, server: Server, private_server: Callable[..., Server]
) -> None:
    bench.run(STEP)
    again = bench.run(STEP)
    assert (again.created, again.present, again.unchanged) == (0, 0, 2)
    process.stop(server.running)
    private_server("opa", port=server.port)
    assert bench.run(STEP).created == 2
    assert bench.record(STEP).state is StepState.PROVED


def test_what_is_lost_at_opa_is_a_difference_and_nothing_is_allowed_meanwhile(bench: Bench, client: OpaClient) -> None:
    bench.run(STEP)
    client.delete_module("swarm/envelope.rego")
    verdict = bench.verify(STEP)
    assert not verdict.passed
    assert bench.record(STEP).state is StepState.NEEDS_ATTENTION
    assert "policy.missing" in codes(bench)
    assert "policy.opa_differs_widely" in codes(bench)
    assert "policy.opa_fails_open" not in codes(bench)


def test_changed_data_is_found_by_content_and_answers_and_ours_can_be_put_back(bench: Bench, client: OpaClient) -> None:
    bench.run(STEP)
    client.replace_data(("swarm", "policy", "max_payload_bytes"), b"65537")
    verdict = bench.verify(STEP)
    waiting = {stored.finding.subject: stored for stored in bench.findings(STEP) if stored.wants_decision}
    assert "NEED of size 65537" in waiting
    assert "data/swarm/policy" in waiting
    assert "policy.opa_fails_open" in codes(bench)
    assert verdict.differences >= 3
    bench.runner().resolve(waiting["data/swarm/policy"], Keep.SITE, "somebody", "v1 allows 65536")
    assert bench.verify(STEP).differences == 0
    assert bench.record(STEP).state is StepState.PROVED


@pytest.mark.parametrize("identity", ["swarm/envelope.rego", "theirs.rego"])
def test_rules_of_somebody_else_are_never_overwritten(bench: Bench, client: OpaClient, identity: str) -> None:
    client.put_module(identity, b"package swarm.envelope\n\ndecision := 1\n")
    outcome = bench.run(STEP)
    assert outcome.conflicts >= 1
    assert [module.raw for module in client.modules()] == [b"package swarm.envelope\n\ndecision := 1\n"]
    assert bench.record(STEP).state is StepState.NEEDS_ATTENTION
    assert "policy.conflict" in codes(bench)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_conflict_can_be_resolved_for_the_site_and_undone(bench: Bench, client: OpaClient, deleted: bool) -> None:
    theirs = {"allowed_kinds": ["NEED"], "max_payload_bytes": 10}
    client.replace_data(("swarm", "policy"), b'{"allowed_kinds":["NEED"],"max_payload_bytes":10}')
    bench.run(STEP)
    conflict = next(stored for stored in bench.findings(STEP) if stored.finding.code == "policy.conflict")
    bench.runner().resolve(conflict, Keep.SITE, "tester", "ours is right")
    assert bench.verify(STEP).passed
    if deleted:
        client.delete_data(("swarm", "policy"))
    bench.undo(STEP)
    assert client.data(("swarm", "policy")) == theirs
    assert client.modules() == []


def test_an_undo_takes_what_this_run_published_and_nothing_else(bench: Bench, client: OpaClient) -> None:
    client.put_module("other.rego", b"package other\n\nx := 1\n")
    client.replace_data(("other_data",), b'{"x":1}')
    bench.run(STEP)
    assert bench.undo(STEP).removed == 2
    assert [module.id for module in client.modules()] == ["other.rego"]
    assert client.data(()) == {"other": {"x": 1}, "other_data": {"x": 1}, "swarm": {}}


def test_what_was_there_before_with_equal_content_stays_after_an_undo(bench: Bench, client: OpaClient) -> None:
    source = load_source(PolicySettings())
    client.replace_data(("swarm", "policy"), source.data)
    client.put_module("swarm/envelope.rego", source.modules[0][1])
    assert bench.run(STEP).present == 2
    assert bench.undo(STEP).removed == 0
    assert len(client.modules()) == 1


def test_the_other_version_replaces_what_this_run_had_published(bench: Bench, client: OpaClient) -> None:
    bench.run(STEP)
    guide = with_policy(bench, version="guide")
    outcome = guide.run(STEP)
    assert (outcome.created, outcome.unchanged, outcome.conflicts) == (1, 1, 0)
    assert guide.record(STEP).state is StepState.PROVED
    data = client.data(("swarm", "policy"))
    assert isinstance(data, dict)
    assert data["max_payload_bytes"] == 1_048_576


def test_own_rego_is_published_and_its_differences_are_named(bench: Bench, client: OpaClient, tmp_path: Path) -> None:
    own = own_rego(tmp_path / "own", ("signature_ok if input.facts.signature_valid == true", "signature_ok := true"))
    mine = with_policy(bench, rego_dir=own)
    assert mine.run(STEP).created == 2
    assert [module.id for module in client.modules()] == ["swarm/mine.rego"]
    opens = [stored.finding for stored in mine.findings(STEP) if stored.finding.code == "policy.opa_fails_open"]
    assert "-+++ NEED of 2 bytes, artifact none" in {finding.subject for finding in opens}
    assert mine.record(STEP).state is StepState.NEEDS_ATTENTION


def test_own_rego_that_does_not_compile_is_blocked_before_anything_is_published(
    bench: Bench, client: OpaClient, tmp_path: Path
) -> None:
    own = own_rego(tmp_path / "own", ("signature_ok if input", "signature_ok if inptu"))
    with pytest.raises(Blocked, match="opa check"):
        with_policy(bench, rego_dir=own).run(STEP)
    assert client.modules() == []


def test_own_rego_needs_the_opa_program(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    own = own_rego(tmp_path / "own", ("default allow", "default allow"))
    with pytest.raises(SettingsError, match="opa program"):
        with_policy(bench, rego_dir=own, opa_binary=None).run(STEP)


def test_without_the_opa_program_our_rego_is_published_and_the_missing_test_is_said(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not tested here" in with_policy(bench, opa_binary=None).run(STEP).summary
    assert bench.record(STEP).state is StepState.PROVED


def test_a_kill_between_the_write_and_its_receipt_is_told_apart_by_the_marker(bench: Bench, client: OpaClient) -> None:
    class KilledError(BaseException):
        pass

    def fault(boundary: str) -> None:
        if boundary.startswith("before") and client.modules():
            raise KilledError

    with pytest.raises(KilledError):
        bench.runner(fault).run([STEP])
    assert len(client.modules()) == 1
    bench.run(STEP)
    assert bench.record(STEP).state is StepState.PROVED
    assert bench.undo(STEP).removed == 2
    assert client.modules() == []


def test_a_dead_opa_is_unreachable(bench: Bench, server: Server) -> None:
    process.stop(server.running)
    with pytest.raises(Unreachable):
        bench.run(STEP)
