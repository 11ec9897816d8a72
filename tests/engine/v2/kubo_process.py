"""A Kubo of a test's own, which may be killed, frozen, made to ask for a token or told to collect garbage."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from canswarm_tui.sandbox.binaries import ensure
from tests.frozen import wait_frozen

_QUIET = {
    "Bootstrap": [],
    "Routing": {"Type": "none", "DelegatedRouters": []},
    "AutoConf": {"Enabled": False},
    "Discovery": {"MDNS": {"Enabled": False}},
    "DNS": {"Resolvers": {}},
    "Ipns": {"DelegatedPublishers": []},
}


class KuboProcess:
    """Its repository is made by the constructor; starts again on the same port and repository."""

    def __init__(self, folder: Path, tokens: dict[str, str] | None = None, *, online: bool = False) -> None:
        self._folder = folder
        self._environment = {**os.environ, "IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off"}
        self._flags = [] if online else ["--offline"]
        self._process: subprocess.Popen[bytes] | None = None
        port = _free_port()
        self.api = f"http://127.0.0.1:{port}"
        subprocess.run(
            [str(ensure("kubo")), "init", "--empty-repo"], env=self._environment, check=True, capture_output=True
        )
        config = json.loads((folder / "config").read_text()) | _QUIET
        config["Addresses"] |= {
            "API": f"/ip4/127.0.0.1/tcp/{port}",
            "Gateway": [],
            "Swarm": ["/ip4/127.0.0.1/tcp/0"],
        }
        config["API"]["Authorizations"] = {
            name: {"AuthSecret": secret, "AllowedPaths": ["/api/v0"]} for name, secret in (tokens or {}).items()
        }
        (folder / "config").write_text(json.dumps(config))

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            command = [str(ensure("kubo")), "daemon", *self._flags]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.post(f"{self.api}/api/v0/version", timeout=1).status_code in (200, 403):
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text())

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        wait_frozen(self._process.pid)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def collect_garbage(self) -> None:
        httpx.post(f"{self.api}/api/v0/repo/gc", timeout=30).raise_for_status()


@contextmanager
def running_kubo(folder: Path, tokens: dict[str, str] | None = None, *, online: bool = False) -> Iterator[KuboProcess]:
    process = KuboProcess(folder, tokens, online=online)
    try:
        process.start()
        yield process
    finally:
        process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
