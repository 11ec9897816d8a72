"""The sandbox's servers come up, survive what happens to them, and only they are stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings_file import env_name, known_keys
from canswarm_tui.sandbox import binaries, process, servers, stack
from canswarm_tui.sandbox.servers import NAMES, STATE, Server, read_server

pytestmark = pytest.mark.xdist_group("stack")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("sandbox")
    yield folder
    stack.down(folder)


def pids(servers: dict[str, Server]) -> dict[str, int]:
    return {name: server.running.pid for name, server in servers.items()}


def test_every_server_answers_a_real_request_and_a_second_up_leaves_them_alone(folder: Path) -> None:
    first = stack.up(folder)
    assert set(first) == set(NAMES)
    assert all(facts["answers"] for facts in stack.status(folder).values())
    assert pids(stack.up(folder)) == pids(first)


def test_a_server_that_crashed_comes_back_on_its_data_and_the_others_stay(folder: Path) -> None:
    before = stack.up(folder)
    put = {"key": "Y2FuYXJ5", "value": "YWxpdmU="}
    httpx.post(f"{before['etcd'].endpoint}/v3/kv/put", json=put).raise_for_status()
    os.kill(before["etcd"].running.pid, signal.SIGKILL)
    while process.is_alive(before["etcd"].running):
        pass
    assert not stack.status(folder)["etcd"]["running"]
    after = stack.up(folder)
    assert {n for n in NAMES if pids(after)[n] != pids(before)[n]} == {"etcd"}
    found = httpx.post(f"{after['etcd'].endpoint}/v3/kv/range", json={"key": "Y2FuYXJ5"}).json()
    assert found["kvs"][0]["value"] == "YWxpdmU="


def test_a_port_that_was_taken_meanwhile_is_left_to_its_new_owner(folder: Path) -> None:
    before = stack.up(folder)
    process.stop(before["opa"].running)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", before["opa"].port))
        squatter.listen()
        said: list[str] = []
        after = stack.up(folder, said.append)
    assert after["opa"].port != before["opa"].port
    assert any(str(before["opa"].port) in line for line in said)
    assert stack.environment(folder)["CANSWARM_OPA__URL"] == after["opa"].endpoint


def test_a_pid_that_belongs_to_somebody_else_by_now_is_not_touched(folder: Path) -> None:
    servers = stack.up(folder)
    process.stop(servers["nats"].running)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    state = json.loads((folder / "nats" / STATE).read_text())
    state["running"]["pid"] = stranger.pid
    (folder / "nats" / STATE).write_text(json.dumps(state))
    try:
        assert not stack.status(folder)["nats"]["running"]
        assert stack.up(folder)["nats"].running.pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_an_up_that_was_killed_had_started_is_known_to_the_next(folder: Path) -> None:
    stack.down(folder)
    before = {name: read_server(folder / name) for name in NAMES}
    killed = subprocess.Popen([sys.executable, "-m", "canswarm_tui", "sandbox", "up", "--dir", str(folder)])
    while read_server(folder / "etcd") == before["etcd"]:
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    started = read_server(folder / "etcd")
    assert started is not None
    assert process.is_alive(started.running)
    assert stack.up(folder)["etcd"].running.pid == started.running.pid


def test_the_exports_are_settings_that_exist_and_secrets_are_readable_by_the_owner_only(folder: Path) -> None:
    stack.up(folder)
    names = {env_name(key) for key in known_keys()}
    assert set(stack.environment(folder)) <= names
    shell = shutil.which("sh")
    assert shell is not None
    text = stack.exports(stack.environment(folder)) + '\nprintf %s "$CANSWARM_S3__SECRET_KEY"'
    shown = subprocess.run([shell, "-c", text], capture_output=True, text=True, check=True).stdout
    assert shown == stack.environment(folder)["CANSWARM_S3__SECRET_KEY"]
    assert (folder / "minio" / STATE).stat().st_mode & 0o077 == 0
    commands = [Path(f"/proc/{s.running.pid}/cmdline").read_bytes() for s in stack.up(folder).values()]
    assert all(shown.encode() not in command for command in commands)


def test_down_stops_exactly_what_up_started_and_a_second_one_finds_nothing(folder: Path) -> None:
    servers = stack.up(folder)
    assert stack.down(folder) == sorted(NAMES)
    assert not any(process.is_alive(server.running) for server in servers.values())
    assert stack.down(folder) == []


def test_a_server_that_a_killed_up_had_not_noted_yet_is_stopped_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(_server: Server) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(servers, "_write", killed)
        with pytest.raises(Killed):
            servers.start_server("kubo", tmp_path / "kubo")
    (unnoted,) = process.left_running(binaries.where("kubo"), tmp_path / "kubo")
    try:
        stack.up(tmp_path)
        assert not process.is_alive(unnoted)
        assert all(facts["answers"] for facts in stack.status(tmp_path).values())
    finally:
        assert stack.down(tmp_path) == sorted(NAMES)


def test_env_before_the_first_up_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="sandbox up"):
        stack.environment(tmp_path)
