from __future__ import annotations

from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SettingsError, Unreachable, WrongAnswer
from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.v2.policy.opa_cli import Complaint, OpaCli, RegoTests, find_opa, require_opa
from canswarm_tui.engine.v2.policy.source import PolicySource, load_source
from canswarm_tui.sandbox.binaries import ensure


def own(folder: Path, text: str, test: str | None = None) -> PolicySource:
    (folder / "own.rego").write_text(text)
    if test is not None:
        (folder / "own_test.rego").write_text(test)
    return load_source(PolicySettings(rego_dir=folder))


def program(folder: Path, script: str) -> Path:
    path = folder / "opa"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_our_rego_is_checked_formatted_and_its_tests_pass() -> None:
    complaints, count = OpaCli(ensure("opa")).examine(load_source(PolicySettings()))
    assert complaints == []
    assert count.passed == count.total >= 12


def test_rego_that_does_not_compile_is_complained_about_and_not_tested(tmp_path: Path) -> None:
    source = own(tmp_path, "package swarm.envelope\n\nallow if unknown_function(1)\n")
    complaints, count = OpaCli(ensure("opa")).examine(source)
    assert [one.command for one in complaints] == ["check"]
    assert "unknown_function" in complaints[0].text
    assert count == RegoTests(0, 0)


def test_a_failing_test_and_bad_format_are_named(tmp_path: Path) -> None:
    test = "package swarm.envelope_test\n\ntest_it_fails if 1 == 2\n"
    complaints, count = OpaCli(ensure("opa")).examine(own(tmp_path, "package swarm.envelope\nallow   := true\n", test))
    assert {one.command for one in complaints} == {"fmt", "test"}
    assert "test_it_fails" in next(one.text for one in complaints if one.command == "test")
    assert count == RegoTests(0, 1)


def test_rego_without_our_entrypoints_can_not_be_built(tmp_path: Path) -> None:
    result = OpaCli(ensure("opa")).build(own(tmp_path, "package swarm.envelope\n\nallow := true\n"))
    assert isinstance(result, Complaint)
    assert "decision" in result.text


def test_the_same_rego_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    rego = 'package swarm.envelope\n\nallow := false\n\ndecision := {"allow": allow, "reasons": ["never"]}\n'
    rego += "\ndecisions := [decision | some _ in input.batch]\n"
    built = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        built.append(OpaCli(ensure("opa")).build(own(tmp_path / name, rego)))
    assert isinstance(built[0], bytes)
    assert built[0] == built[1]


def test_the_program_is_taken_from_the_settings_or_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_opa(PolicySettings()) is None
    with pytest.raises(SettingsError, match="opa program"):
        require_opa(PolicySettings())
    path = program(tmp_path, "exit 0")
    assert find_opa(PolicySettings()) == path
    assert find_opa(PolicySettings(opa_binary=path)) == path
    with pytest.raises(SettingsError, match="no program"):
        find_opa(PolicySettings(opa_binary=tmp_path / "missing"))


def test_another_program_or_an_old_opa_is_refused(tmp_path: Path) -> None:
    for words in ("hello", "Version: 0.70.0"):
        with pytest.raises(WrongAnswer, match=r"not opa 1\.0"):
            OpaCli(program(tmp_path, f"echo '{words}'")).version()


def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="longer than"):
        OpaCli(program(tmp_path, "exec sleep 30"), timeout_s=0.3).version()


def test_a_bundle_without_wasm_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongAnswer, match="bundle"):
        OpaCli(program(tmp_path, "echo nothing > bundle.tar.gz")).build(load_source(PolicySettings()))
