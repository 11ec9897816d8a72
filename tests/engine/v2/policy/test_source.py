from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from canswarm_tui.engine.errors import Defect, SettingsError
from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.v1.policy import POLICIES
from canswarm_tui.engine.v2.policy import source as module
from canswarm_tui.engine.v2.policy.answer import ENTRYPOINTS
from canswarm_tui.engine.v2.policy.opa_cli import BUILD_COMMAND, OpaCli
from canswarm_tui.engine.v2.policy.source import load_source, package_of, shipped_wasm
from canswarm_tui.sandbox.binaries import ensure


@pytest.mark.parametrize("version", ["v1", "guide"])
def test_the_data_of_a_version_is_the_specification_that_envelopes_carry_the_hash_of(
    version: Literal["v1", "guide"],
) -> None:
    source = load_source(PolicySettings(version=version))
    assert json.loads(source.data) == POLICIES[version].specification
    assert source.document == {"swarm": {"policy": POLICIES[version].specification}}
    assert source.shipped


def test_the_shipped_wasm_is_what_the_shipped_rego_compiles_to_byte_for_byte() -> None:
    cli = OpaCli(ensure("opa"))
    shipped = shipped_wasm()
    assert shipped.opa_version == cli.version()
    assert shipped.command == BUILD_COMMAND
    assert cli.build(load_source(PolicySettings())) == shipped.wasm


@pytest.mark.parametrize(("victim", "said"), [(module.WASM, "WASM"), (module.REGO, "Rego")])
def test_a_flipped_byte_in_the_shipped_wasm_or_rego_is_found(
    monkeypatch: pytest.MonkeyPatch, victim: str, said: str
) -> None:
    original = module._shipped

    def damaged(name: str) -> bytes:
        text = original(name)
        return text[:-1] + bytes([text[-1] ^ 1]) if name == victim else text

    monkeypatch.setattr(module, "_shipped", damaged)
    with pytest.raises(Defect, match=said):
        shipped_wasm()


def test_an_operators_folder_is_read_with_its_subfolders_and_its_tests_apart(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "rules.rego").write_text("package swarm.envelope\n")
    (tmp_path / "rules_test.rego").write_text("package swarm.envelope_test\n")
    (tmp_path / "lib" / "kinds.rego").write_text("package lib.kinds\n")
    source = load_source(PolicySettings(rego_dir=tmp_path))
    assert [name for name, _ in source.modules] == ["lib/kinds.rego", "rules.rego"]
    assert [name for name, _ in source.tests] == ["rules_test.rego"]
    assert not source.shipped
    before = source.rego_sha256
    (tmp_path / "lib" / "kinds.rego").write_text("package lib.kinds\n\nx := 1\n")
    assert load_source(PolicySettings(rego_dir=tmp_path)).rego_sha256 != before


def test_a_folder_without_rego_or_without_our_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no \.rego file"):
        load_source(PolicySettings(rego_dir=tmp_path))
    with pytest.raises(SettingsError, match="there is no folder"):
        load_source(PolicySettings(rego_dir=tmp_path / "away"))
    (tmp_path / "x.rego").write_text("package other\n")
    with pytest.raises(SettingsError, match=r"swarm\.envelope"):
        load_source(PolicySettings(rego_dir=tmp_path))


def test_the_package_is_found_behind_comments() -> None:
    assert package_of(b"# package not.this\n\npackage swarm.envelope # ours\n") == "swarm.envelope"
    assert package_of(b"allow := true") == ""


def test_the_recorded_entrypoints_are_the_ones_that_are_called() -> None:
    assert json.loads(module._shipped(module.BUILD_FACTS))["entrypoints"] == list(ENTRYPOINTS)
