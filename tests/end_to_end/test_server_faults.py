"""A server that freezes, dies or is full: told while it is tried again, exit 3, and the same command goes on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import NoSpace
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server, restart
from tests.conftest import V1_SITE
from tests.end_to_end.places import Place, Servers, load_redis, make_place
from tests.frozen import wait_frozen

STEPS = {"etcd": "decisions", "minio": "blobs-minio", "kubo": "blobs-ipfs"}
SETTINGS = {
    "CANSWARM_ENGINE__GIVE_UP_AFTER_S": "2",
    "CANSWARM_ETCD__TIMEOUT_S": "1",
    "CANSWARM_S3__TIMEOUT_S": "1",
    "CANSWARM_IPFS__TIMEOUT_S": "1",
}


@pytest.fixture
def place_with(
    servers: Servers, private_server: Callable[..., Server], tmp_path: Path
) -> Callable[..., tuple[Place, Server]]:
    """A place one of whose servers is the test's own; everything before its step has run."""

    def make(name: str, **options: str) -> tuple[Place, Server]:
        server = private_server(name, **options)
        own = servers
        if name == "minio":
            own = replace(servers, minio=server)
        elif name == "etcd":
            own = replace(servers, etcd=server.endpoint)
        else:
            own = replace(servers, ipfs=server.endpoint)
        load_redis(V1_SITE, own.redis)
        place = make_place(tmp_path / name, V1_SITE, own)
        before = ["preflight", "backup", *(["blobs-minio"] if name == "kubo" else [])]
        done = place.program("run", *before, "--yes")
        assert done.returncode == 0, done.stderr
        place.environment.update(SETTINGS)
        return place, server

    return make


@pytest.mark.parametrize("name", list(STEPS))
def test_a_frozen_server_is_tried_again_told_and_given_up_and_thawed_it_goes_on(
    name: str, place_with: Callable[..., tuple[Place, Server]]
) -> None:
    place, server = place_with(name)
    process.send(server.running, signal.SIGSTOP)
    wait_frozen(server.running.pid)
    done = place.program("run", STEPS[name], "--yes")
    process.send(server.running, signal.SIGCONT)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    done = place.program("run", STEPS[name], "--yes")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(STEPS))
def test_a_server_that_is_killed_and_comes_back_on_its_data_is_gone_on_with(
    name: str, place_with: Callable[..., tuple[Place, Server]]
) -> None:
    place, server = place_with(name)
    process.send(server.running, signal.SIGKILL)
    while process.is_alive(server.running):
        pass
    done = place.program("run", STEPS[name], "--yes")
    assert done.returncode == 3, done.stderr
    again = restart(server)
    try:
        done = place.program("run", STEPS[name], "--yes")
        assert done.returncode == 0, done.stderr
    finally:
        process.stop(again.running)


@pytest.mark.parametrize("name", list(STEPS))
def test_a_server_that_freezes_for_a_moment_while_it_is_read_back_is_asked_again(
    name: str, place_with: Callable[..., tuple[Place, Server]]
) -> None:
    place, server = place_with(name)
    assert place.program("run", STEPS[name], "--yes").returncode == 0
    place.environment["CANSWARM_ENGINE__GIVE_UP_AFTER_S"] = "60"
    process.send(server.running, signal.SIGSTOP)
    wait_frozen(server.running.pid)
    verifying = place.start("verify", STEPS[name])
    told = tell_until(verifying, "trying again")
    process.send(server.running, signal.SIGCONT)
    _, rest = verifying.communicate(timeout=60)
    assert verifying.returncode == 0, told + rest


def test_a_minio_that_freezes_for_a_moment_while_blobs_go_to_ipfs_is_asked_again(
    place_with: Callable[..., tuple[Place, Server]],
) -> None:
    place, server = place_with("minio")
    assert place.program("run", "blobs-minio", "--yes").returncode == 0
    place.environment["CANSWARM_ENGINE__GIVE_UP_AFTER_S"] = "60"
    process.send(server.running, signal.SIGSTOP)
    wait_frozen(server.running.pid)
    copying = place.start("run", "blobs-ipfs", "--yes")
    told = tell_until(copying, "trying again")
    process.send(server.running, signal.SIGCONT)
    _, rest = copying.communicate(timeout=60)
    assert copying.returncode == 0, told + rest


def tell_until(running: subprocess.Popen[str], words: str) -> str:
    """What it narrates up to these words."""
    assert running.stderr is not None
    told = ""
    for line in running.stderr:
        told += line
        if words in line:
            return told
    raise AssertionError(told)


def fill(etcd: EtcdClient) -> None:
    """Until it refuses; it notices its quota only after a while."""
    for number in range(5_000):
        etcd.write("Put", rpc.PutRequest(key=b"/others/%d" % number, value=b"x" * 10_000))


def test_a_full_etcd_is_told_with_its_remedy(place_with: Callable[..., tuple[Place, Server]]) -> None:
    place, server = place_with("etcd", quota_bytes=str(256 * 1024))
    etcd = EtcdClient(EtcdSettings(endpoints=(server.endpoint,)))
    with pytest.raises(NoSpace):
        fill(etcd)
    etcd.close()
    done = place.program("run", "decisions", "--yes")
    assert done.returncode == 3, done.stderr
    assert "trying again" in done.stderr
    assert "defrag" in done.stderr
