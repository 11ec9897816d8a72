"""The policy as WASM in the run's folder: the same bytes each time, proved answer by answer beside a real OPA."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import StepState
from canswarm_tui.engine.settings import OpaSettings, PolicySettings, Settings, SiteSettings
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.policy_wasm import WasmPolicy
from canswarm_tui.engine.v2.policy.source import load_source, shipped_wasm
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.engine.steps.running import Bench, without_needs

STEP = "policy-wasm"


@pytest.fixture
def server(private_server: Callable[..., Server]) -> Server:
    server = private_server("opa")
    source = load_source(PolicySettings())
    with OpaClient(OpaSettings(url=server.endpoint)) as client:
        client.replace_data(("swarm", "policy"), source.data)
        client.put_module("swarm/envelope.rego", source.modules[0][1])
    return server


@pytest.fixture
def bench(server: Server, v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    without_needs(monkeypatch)
    return Bench(
        Settings(
            site=SiteSettings(root=v1_site),
            opa=OpaSettings(url=server.endpoint),
            policy=PolicySettings(opa_binary=ensure("opa")),
            state_dir=tmp_path / "state",
        )
    )


def with_policy(bench: Bench, **policy: object) -> Bench:
    fields = {"opa_binary": ensure("opa"), **policy}
    return Bench(bench.settings.model_copy(update={"policy": PolicySettings(**fields)}))


def folder(bench: Bench) -> Path:
    return bench.runner().place.folder / "policy"


def codes(bench: Bench) -> set[str]:
    return {stored.finding.code for stored in bench.findings(STEP)}


def test_wasm_data_and_manifest_are_written_and_proved_three_ways(bench: Bench) -> None:
    outcome = bench.run(STEP)
    assert outcome.created == 3
    assert "byte for byte the shipped one" in outcome.summary
    record = bench.record(STEP)
    assert record.state is StepState.PROVED
    assert record.verdict is not None
    names = [one.name for one in record.verdict.comparisons]
    assert "envelopes of the audit log in WASM" in names
    assert "conformance set in OPA beside WASM" in names
    files = {path.name: path.read_bytes() for path in folder(bench).iterdir()}
    manifest = json.loads(files["manifest.json"])
    assert set(files) == {"policy.wasm", "data.json", "manifest.json"}
    assert manifest["wasm_sha256"] == hashlib.sha256(files["policy.wasm"]).hexdigest()
    assert manifest["data_sha256"] == hashlib.sha256(files["data.json"]).hexdigest()
    with WasmPolicy(files["policy.wasm"], manifest["wasm_sha256"], json.loads(files["data.json"])) as policy:
        assert not policy.decide(b"{}").allow


def test_a_second_run_writes_nothing(bench: Bench) -> None:
    bench.run(STEP)
    before = {path: path.stat().st_mtime_ns for path in folder(bench).iterdir()}
    again = bench.run(STEP)
    assert (again.created, again.unchanged) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in folder(bench).iterdir()} == before


def test_a_flipped_byte_is_found_and_nothing_is_asked_of_it(bench: Bench) -> None:
    bench.run(STEP)
    path = folder(bench) / "policy.wasm"
    wasm = bytearray(path.read_bytes())
    wasm[7000] ^= 1
    path.write_bytes(wasm)
    verdict = bench.verify(STEP)
    assert not verdict.passed
    assert len(verdict.comparisons) == 1
    (told,) = [f.finding for f in bench.findings(STEP) if f.finding.code == "policy_file.differs"]
    assert "move it away and run the step again" in told.remedy
    path.rename(path.with_name("moved.away"))
    bench.run(STEP)
    assert bench.record(STEP).state is StepState.PROVED


def test_a_deleted_file_is_written_again(bench: Bench) -> None:
    bench.run(STEP)
    (folder(bench) / "data.json").unlink()
    assert bench.run(STEP).created == 1
    assert bench.record(STEP).state is StepState.PROVED


def test_the_other_version_changes_data_and_manifest_but_not_the_wasm(bench: Bench) -> None:
    bench.run(STEP)
    with OpaClient(bench.settings.opa) as client:
        client.replace_data(("swarm", "policy"), load_source(PolicySettings(version="guide")).data)
    guide = with_policy(bench, version="guide")
    outcome = guide.run(STEP)
    assert (outcome.created, outcome.unchanged, outcome.conflicts) == (2, 1, 0)
    assert guide.record(STEP).state is StepState.PROVED


def test_without_the_opa_program_the_shipped_wasm_is_written(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not built here" in with_policy(bench, opa_binary=None).run(STEP).summary
    assert (folder(bench) / "policy.wasm").read_bytes() == shipped_wasm().wasm
    assert bench.record(STEP).state is StepState.PROVED


def test_own_rego_is_built_and_its_differences_are_named(bench: Bench, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    text = load_source(PolicySettings()).modules[0][1].decode()
    (own / "mine.rego").write_text(text.replace("commit_ok if not is_commit", "commit_ok := true"))
    mine = with_policy(bench, rego_dir=own)
    assert "from your Rego" in mine.run(STEP).summary
    assert "policy.wasm_fails_open" in codes(mine)
    assert mine.record(STEP).state is StepState.NEEDS_ATTENTION


def test_own_rego_needs_the_opa_program(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.rego").write_text("package swarm.envelope\n")
    with pytest.raises(SettingsError, match="opa program"):
        with_policy(bench, rego_dir=tmp_path / "own", opa_binary=None).run(STEP)


def test_opa_that_disagrees_with_wasm_is_a_difference_and_one_that_is_gone_a_note(bench: Bench, server: Server) -> None:
    with OpaClient(bench.settings.opa) as client:
        client.replace_data(("swarm", "policy", "max_payload_bytes"), b"10")
    bench.run(STEP)
    assert "policy.opa_wasm_differs" in codes(bench)
    process.stop(server.running)
    assert bench.verify(STEP).passed
    assert codes(bench) == {"policy.opa_not_asked"}


def test_an_undo_removes_the_files_that_are_still_ours(bench: Bench) -> None:
    bench.run(STEP)
    (folder(bench) / "notes.txt").write_text("mine")
    (folder(bench) / "data.json").write_text("{}")
    outcome = bench.undo(STEP)
    assert (outcome.removed, outcome.conflicts) == (2, 1)
    assert {path.name for path in folder(bench).iterdir()} == {"notes.txt", "data.json"}
