"""An etcd of a test's own, which may be killed, frozen, starved or locked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.sandbox.binaries import ensure
from tests.frozen import wait_frozen


class EtcdProcess:
    """Started by the first `start`; starts again on the same ports and data."""

    def __init__(self, folder: Path, extra: Sequence[str] = (), scheme: str = "http", name: str = "default") -> None:
        self._folder = folder
        self._extra = tuple(extra)
        client_port, peer_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self.name = name
        self.endpoint = f"{scheme}://127.0.0.1:{client_port}"
        self.peer = f"http://127.0.0.1:{peer_port}"
        self.cluster = f"{name}={self.peer}"
        """All members as `name=peer`, with commas."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(ensure("etcd")),
                    f"--name={self.name}",
                    f"--data-dir={self._folder / 'data'}",
                    f"--listen-client-urls={self.endpoint}",
                    f"--advertise-client-urls={self.endpoint}",
                    f"--listen-peer-urls={self.peer}",
                    f"--initial-advertise-peer-urls={self.peer}",
                    f"--initial-cluster={self.cluster}",
                    "--log-level=error",
                    *self._extra,
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        wait_frozen(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def running_etcd(
    folder: Path, *, extra: Sequence[str] = (), scheme: str = "http", settings: Mapping[str, object] | None = None
) -> Iterator[EtcdProcess]:
    """An etcd that answers (`settings`: what a client needs for that); killed at the end."""
    process = EtcdProcess(folder, extra, scheme)
    with ExitStack() as cleanup:
        cleanup.callback(process.kill)
        process.start()
        with client_of(process.endpoint, **(settings or {})) as client:
            until(lambda: answers(client), what="etcd answers")
        yield process


@contextmanager
def running_cluster(folder: Path, size: int) -> Iterator[list[EtcdProcess]]:
    """`size` members that have elected a leader."""
    members = [EtcdProcess(folder / f"m{n}", name=f"m{n}") for n in range(size)]
    cluster = ",".join(member.cluster for member in members)
    with ExitStack() as cleanup:
        for member in members:
            member.cluster = cluster
            cleanup.callback(member.kill)
            member.start()
        for member in members:
            client = cleanup.enter_context(client_of(member.endpoint))
            until(partial(answers, client), what="the cluster answers")
        yield members


@contextmanager
def client_of(*endpoints: str, **settings: object) -> Iterator[EtcdClient]:
    client = EtcdClient(EtcdSettings.model_validate({"endpoints": endpoints, "timeout_s": 5.0, **settings}))
    try:
        yield client
    finally:
        client.close()


def until(holds: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.05)


def answers(client: EtcdClient) -> bool:
    try:
        client.count(b"/")
    except EngineError:
        return False
    return True


def put(client: EtcdClient, key: bytes, value: bytes = b"", lease: int = 0) -> None:
    client.write("Put", rpc.PutRequest(key=key, value=value, lease=lease))


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
