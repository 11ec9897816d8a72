"""How every command ends, whatever happens."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from canswarm_tui import cli
from canswarm_tui.commands import face
from canswarm_tui.engine.errors import ExitCode


def test_a_mistake_of_ours_goes_to_a_log_that_is_named_and_not_to_the_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    handlers: list[logging.Handler] = []
    monkeypatch.setattr(logging.getLogger("canswarm_tui"), "handlers", handlers)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(face, "load_settings", broken)
    assert cli.run(["diagnose", "etcd"]) == ExitCode.DEFECT
    for handler in handlers:
        handler.close()
    told = capsys.readouterr().err
    assert "Traceback" not in told
    log = next(tmp_path.rglob("canswarm-tui.log"))
    assert str(log) in told
    assert "planted" in log.read_text()


def test_an_unknown_step_is_told_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "blobs-mino"]) == ExitCode.SETTINGS
    assert "Did you mean blobs-minio?" in capsys.readouterr().err


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder with a file named `file`, and no settings from anywhere."""
    for name in [n for n in os.environ if n.startswith("CANSWARM_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("sandbox", "up", "--dir", "file"), "--dir"),
        (("sandbox", "up", "--dir", "/proc/none"), "--dir"),
        (("sandbox", "up", "--dir", ""), "it is empty"),
        (("sandbox", "site", "--out", "file"), "--out"),
        (("sandbox", "site", "--out", "file/below"), "--out"),
        (("status", "--site", ".", "--state-dir", "file"), "--state-dir"),
        (("status", "--site", ".", "--state-dir", "/proc/none"), "--state-dir"),
        (("status", "--site", ""), "give it a path"),
        (("status", "--config", "."), "Name a file"),
        (("findings", "list", "--site", ".", "--step", "decision"), "Did you mean decisions?"),
        (("findings", "lsit"), "canswarm-tui findings --help"),
        (("sandbox",), "Commands:"),
    ],
)
def test_a_path_or_a_word_that_can_not_be_used_is_told_with_what_to_give_instead(
    bare: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], remedy: str
) -> None:
    assert cli.run(arguments) == ExitCode.SETTINGS
    assert remedy in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"[]", b'{"running": {}}', b'{"running": 5}', b"\xff", b"{"])
def test_a_state_file_of_a_sandbox_that_is_none_is_told(
    bare: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (bare / "redis").mkdir()
    (bare / "redis" / "server.json").write_bytes(content)
    for verb in ("status", "down", "env"):
        assert cli.run(["sandbox", verb, "--dir", str(bare)]) == ExitCode.SETTINGS
        assert "server.json" in capsys.readouterr().err


def test_findings_alone_lists_them_with_every_option_of_list(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["findings", "--json", "--site", ".", "--state-dir", "state"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_the_object_of_an_error_names_the_command_that_was_called(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare / "canswarm.toml").touch()
    for called, name in (
        (["--config", "canswarm.toml", "status", "--json"], "status"),
        (["sandbox", "up", "--dir", "file", "--json"], "sandbox up"),
        (["findings", "show", "--json"], "findings show"),
    ):
        assert cli.run(called) == ExitCode.SETTINGS
        answer = json.loads(capsys.readouterr().out)
        assert (answer["command"], answer["exit_code"]) == (name, 2)


def test_a_log_that_can_not_be_written_anywhere_leaves_an_error_and_no_traceback(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("canswarm_tui"), "handlers", [])
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    monkeypatch.setattr("tempfile.tempdir", "/proc/none")

    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(face, "load_settings", broken)
    assert cli.run(["diagnose", "etcd"]) == ExitCode.DEFECT
    told = capsys.readouterr().err
    assert "planted" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_output_that_nobody_takes_ends_with_a_code_of_ours_and_no_traceback(flags: list[str]) -> None:
    command = [sys.executable, "-m", "canswarm_tui", "keys", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader_gone:
        assert reader_gone.stdout is not None
        assert reader_gone.stderr is not None
        reader_gone.stdout.close()
        told = reader_gone.stderr.read()
    assert (reader_gone.returncode, told) == (ExitCode.STOPPED, "")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitCode.UNREACHABLE
    assert done.stderr.startswith("canswarm-tui: standard output: ")
    assert "Traceback" not in done.stderr


def test_settings_before_a_command_are_the_interfaces_and_not_silently_dropped(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["--site", str(bare), "status"]) == ExitCode.SETTINGS
    assert "Write it after the command: `canswarm-tui status --site DIR`" in capsys.readouterr().err
