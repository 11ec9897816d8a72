"""How each server of the sandbox is started on loopback, and the real request that tells that it is ready.

Passwords never stand on a command line: they go by environment or by a file with mode 0600.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import httpx

from canswarm_tui.engine.errors import EngineError, SettingsError, Unreachable, file_error
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.process import Running, free_port

READY_WITHIN_S = 60.0
BUCKET = "swarm-cas"
USER = "sandbox-user"
"""Not a word of anything else: a support bundle takes every access key out wherever it stands."""
STATE = "server.json"
"""Written as soon as the process is there, so that it is known also when we are killed before it answers."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that we started: what it is, where it answers, and what is needed to start it again on its data."""

    name: str
    port: int
    folder: Path
    running: Running
    user: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        scheme = {"redis": "redis", "nats": "nats"}.get(self.name, "http")
        return f"{scheme}://127.0.0.1:{self.port}" + ("/0" if self.name == "redis" else "")

    @property
    def access_key(self) -> str:
        return self.user

    @property
    def secret_key(self) -> str:
        return self.password

    def to_json(self) -> dict[str, object]:
        data = asdict(self)
        data["folder"], data["running"]["log"] = str(self.folder), str(self.running.log)
        return data

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Server:
        running = data["running"]
        assert isinstance(running, dict)
        kept = {k: v for k, v in data.items() if k not in ("running", "folder")}
        process_ = Running(running["pid"], running["started"], Path(running["log"]))
        return cls(folder=Path(str(data["folder"])), running=process_, **kept)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """`prepare` writes configuration and returns command and environment; `ready` raises until the server answers."""

    prepare: Callable[[Server], tuple[list[str], dict[str, str]]]
    ready: Callable[[Server], None]


def start_server(
    name: str, folder: Path, *, port: int | None = None, password: str | None = None, **options: str
) -> Server:
    """Start a server with its data in `folder` and wait until it answers a real request.

    `password` None gives MinIO a random one and the others none. Options: `quota_bytes` (etcd), `storage_max` (kubo),
    `unsafe_no_fsync` (etcd). Raises `Unreachable` with the last lines of its log when it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = password if password is not None else secrets.token_urlsafe(24) if name == "minio" else ""
    server = Server(name, port or free_port(), folder, Running(0, 0, folder / "server.log"), USER, secret, options)
    return restart(server)


def restart(server: Server) -> Server:
    """Start a server again that has ended, on its data and its port."""
    recipe = _RECIPES[server.name]
    command, environment = recipe.prepare(server)
    running = process.start(command, server.folder, server.folder / "server.log", environment)
    started = replace(server, running=running)
    _write(started)
    try:
        wait_ready(started)
    except EngineError:
        process.stop(running)
        raise
    return started


def read_server(folder: Path) -> Server | None:
    """The server that was last started in this folder, or None; raises `SettingsError` for a damaged state file."""
    file = folder / STATE
    try:
        return Server.from_json(json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise file_error(str(file), exc, "name the folder of a sandbox with --dir") from exc
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as exc:
        remedy = f"end the server that still runs there by hand, remove {folder} and begin anew"
        raise SettingsError(str(file), "it is no state file of a sandbox, or is damaged", remedy) from exc


def _write(server: Server) -> None:
    _replace(server.folder / STATE, json.dumps(server.to_json(), indent=2))


def _replace(file: Path, text: str) -> None:
    """The old text or the new one, whoever is killed when."""
    partial = file.with_name(f".{file.name}.partial")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(file)


def wait_ready(server: Server, within_s: float = READY_WITHIN_S) -> None:
    """Return when the server answers a real request; raises `Unreachable` when it ends or takes too long."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            _RECIPES[server.name].ready(server)
            if process.is_alive(server.running):
                return
            raise Unreachable(server.name, "another process answers at its port", "see its log")
        except Exception as exc:
            gone = not process.is_alive(server.running)
            if gone or time.monotonic() > deadline:
                happened = "it ended at once" if gone else f"it did not answer within {within_s:.0f} s ({exc})"
                log = server.running.log
                raise Unreachable(f"{server.name} of the sandbox", f"{happened}: {_tail(log)}", f"see {log}") from exc
        time.sleep(0.05)


def answers(server: Server) -> bool:
    """Whether it answers a real request now."""
    try:
        _RECIPES[server.name].ready(server)
    except Exception:  # noqa: BLE001 - any failure is a no
        return False
    return True


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][-300:] if lines else "its log is empty"


def _redis(server: Server) -> tuple[list[str], dict[str, str]]:
    config = server.folder / "redis.conf"
    lines = [
        f"port {server.port}",
        "bind 127.0.0.1",
        f'dir "{server.folder}"',
        "appendonly yes",
        "save ''",
        "databases 64",
    ]
    if server.password:
        lines.append(f"requirepass {server.password}")
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")
    return [str(ensure("redis-server")), str(config)], {}


def _redis_ready(server: Server) -> None:
    import redis

    client = redis.Redis(port=server.port, password=server.password or None, socket_timeout=2)
    try:
        client.execute_command("PING")  # type: ignore[no-untyped-call]
        client.execute_command("INFO", "server")  # type: ignore[no-untyped-call]
    finally:
        client.close()


def _nats(server: Server) -> tuple[list[str], dict[str, str]]:
    config = server.folder / "nats.conf"
    lines = [f"listen: 127.0.0.1:{server.port}", f'jetstream {{ store_dir: "{server.folder / "jetstream"}" }}']
    if server.options.get("monitor"):
        lines.append(f"http: {server.options['monitor']}")
    if server.password:
        lines.append(f'authorization {{ user: "{server.user}", password: "{server.password}" }}')
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")
    return [str(ensure("nats-server")), "--config", str(config)], {}


def _nats_ready(server: Server) -> None:
    import nats

    async def ask() -> None:
        login = {"user": server.user, "password": server.password} if server.password else {}
        client = await nats.connect(server.endpoint, connect_timeout=2, allow_reconnect=False, **login)
        try:
            await client.jetstream().account_info()
        finally:
            await client.close()

    asyncio.run(ask())


def _etcd(server: Server) -> tuple[list[str], dict[str, str]]:
    peer = f"http://127.0.0.1:{free_port()}"
    command = [
        str(ensure("etcd")), "--name", "sandbox", "--data-dir", str(server.folder / "data"),
        "--listen-client-urls", server.endpoint, "--advertise-client-urls", server.endpoint,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"sandbox={peer}",
        "--log-level", "warn",
    ]  # fmt: skip
    if server.options.get("quota_bytes"):
        command += ["--quota-backend-bytes", server.options["quota_bytes"]]
    if server.options.get("unsafe_no_fsync"):
        command.append("--unsafe-no-fsync")
    return command, {}


def _etcd_ready(server: Server) -> None:
    answer = httpx.post(f"{server.endpoint}/v3/maintenance/status", json={}, timeout=2)
    if not answer.is_success or not int(answer.json().get("leader", 0)):
        raise ConnectionError(f"no leader yet ({answer.status_code})")


def _minio(server: Server) -> tuple[list[str], dict[str, str]]:
    environment = {
        "MINIO_ROOT_USER": server.user, "MINIO_ROOT_PASSWORD": server.password, "MINIO_BROWSER": "off",
        "MINIO_CI_CD": "1", "MINIO_UPDATE": "off", "HOME": str(server.folder),
    }  # fmt: skip
    return [
        str(ensure("minio")),
        "server",
        str(server.folder / "data"),
        "--address",
        f"127.0.0.1:{server.port}",
    ], environment


def _minio_ready(server: Server) -> None:
    import urllib3
    from minio import Minio

    pool = urllib3.PoolManager(timeout=2.0, retries=False)
    client = Minio(
        f"127.0.0.1:{server.port}", access_key=server.user, secret_key=server.password, secure=False,
        region="us-east-1", http_client=pool,
    )  # fmt: skip
    client.list_buckets()


_KUBO_CONFIG: Mapping[str, object] = {
    "Bootstrap": [],
    "Discovery.MDNS.Enabled": False,
    "Routing.Type": "none",
    "AutoConf.Enabled": False,
    "DNS.Resolvers": {},
    "Routing.DelegatedRouters": [],
    "Ipns.DelegatedPublishers": [],
    "Swarm.DisableNatPortMap": True,
    "Swarm.RelayClient.Enabled": False,
    "Swarm.Transports.Network.Relay": False,
    "Provide.Enabled": False,
}


def _kubo(server: Server) -> tuple[list[str], dict[str, str]]:
    repo = server.folder / "repo"
    environment = {"IPFS_PATH": str(repo), "IPFS_TELEMETRY": "off", "HOME": str(server.folder)}
    program = str(ensure("kubo"))
    if not repo.exists():
        made = Path(tempfile.mkdtemp(prefix=".repo-", dir=server.folder))  # whole or not there: we may be killed
        _kubo_init(program, {**environment, "IPFS_PATH": str(made)})
        made.rename(repo)
    config = json.loads((repo / "config").read_text())
    settings = {
        **_KUBO_CONFIG,
        "Addresses.API": f"/ip4/127.0.0.1/tcp/{server.port}",
        "Addresses.Gateway": "",
        "Addresses.Swarm": [f"/ip4/127.0.0.1/tcp/{free_port()}"],
    }
    if server.options.get("storage_max"):
        settings["Datastore.StorageMax"] = server.options["storage_max"]
    for dotted, value in settings.items():
        *groups, name = dotted.split(".")
        branch = config
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[name] = value
    _replace(repo / "config", json.dumps(config, indent=2))
    return [program, "daemon", "--offline"], environment


def _kubo_init(program: str, environment: Mapping[str, str]) -> None:
    made = subprocess.run(
        [program, "init", "--empty-repo"], env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if made.returncode != 0:
        raise Unreachable("kubo of the sandbox", f"ipfs init failed: {made.stderr.strip()[-300:]}", "see the message")


def _kubo_ready(server: Server) -> None:
    answer = httpx.post(f"{server.endpoint}/api/v0/id", timeout=2)
    answer.raise_for_status()
    httpx.post(f"{server.endpoint}/api/v0/repo/stat?size-only=true", timeout=2).raise_for_status()


def _opa(server: Server) -> tuple[list[str], dict[str, str]]:
    command = [str(ensure("opa")), "run", "--server", "--addr", f"127.0.0.1:{server.port}", "--log-level", "error"]
    return [*command, "--disable-telemetry"], {"HOME": str(server.folder)}


def _opa_ready(server: Server) -> None:
    httpx.get(f"{server.endpoint}/health", timeout=2).raise_for_status()
    httpx.get(f"{server.endpoint}/v1/policies", timeout=2).raise_for_status()


_RECIPES = {
    "redis": _Recipe(_redis, _redis_ready),
    "nats": _Recipe(_nats, _nats_ready),
    "etcd": _Recipe(_etcd, _etcd_ready),
    "minio": _Recipe(_minio, _minio_ready),
    "kubo": _Recipe(_kubo, _kubo_ready),
    "opa": _Recipe(_opa, _opa_ready),
}
NAMES = tuple(_RECIPES)
