"""`demo` from nothing: real servers, the whole migration, proved; whatever the operator's own settings say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from canswarm_tui import cli
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.sandbox import stack
from tests.end_to_end.terminal import Terminal

pytestmark = pytest.mark.xdist_group("stack")


def test_the_demonstration_is_proved_and_reads_no_setting_of_a_real_site(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / ".cas").mkdir(parents=True)
    (tmp_path / "canswarm.toml").write_text(
        f'[site]\nroot = "{real}"\ncas_dir = "{real}/.cas"\n[etcd]\nprefix = "/real/"\n[backup]\ndir = "{real}/kept"\n'
    )
    environment = {**os.environ, "CANSWARM_SITE__LOG_DIR": str(real), "CANSWARM_ETCD__USER": "operator"}
    done = subprocess.run(
        [sys.executable, "-m", "canswarm_tui", "demo", "--headless", "--threads", "3", "--dir", "demo", "--json"],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    states = {step["step"]: step["state"] for step in answer["steps"]}
    assert states.pop("v1-tests") == "skipped"
    assert set(states.values()) <= {"proved", "done"}
    assert states["verification"] == "proved"
    assert [path.name for path in real.iterdir()] == [".cas"]
    assert not any(facts["running"] for facts in stack.status(tmp_path / "demo" / "servers").values())


def test_a_terminal_that_goes_leaves_no_server_of_the_demonstration_behind(tmp_path: Path) -> None:
    servers = tmp_path / "demo" / "servers"
    terminal = Terminal({}, 80, 24, "demo", "--threads", "3", "--dir", str(tmp_path / "demo"))
    try:
        terminal.until(lambda text: "ready — next" in text, 120)
        assert all(facts["running"] for facts in stack.status(servers).values())
        terminal.hang_up()
        terminal.send(signal.SIGHUP)
        terminal.send(signal.SIGHUP)
        assert terminal.wait(60) == 143
        assert not any(facts["running"] for facts in stack.status(servers).values())
    finally:
        terminal.close()
        stack.down(servers)


def test_the_demonstration_takes_no_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--site", "/a/site"], ["--set", "s3.bucket=blobs"], ["--config", "canswarm.toml"]):
        assert cli.run(["demo", "--headless", *flags]) == ExitCode.SETTINGS
        assert "settings of its own" in capsys.readouterr().err
