"""How every command ends, whatever happens."""

from __future__ import annotations

import logging
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
    assert "did you mean blobs-minio?" in capsys.readouterr().err
