"""All servers of one sandbox together: brought up, looked at and taken down by the state file of each."""

from __future__ import annotations

import fcntl
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from canswarm_tui.engine.errors import SettingsError, file_error
from canswarm_tui.sandbox import binaries, process
from canswarm_tui.sandbox.binaries import Say
from canswarm_tui.sandbox.process import Running
from canswarm_tui.sandbox.servers import BUCKET, NAMES, Server, answers, read_server, restart, start_server

_PROGRAMS = {"redis": "redis-server", "nats": "nats-server"}


def up(folder: Path, say: Say = lambda _text: None) -> dict[str, Server]:
    """Bring every server up, those that run already left alone; returns them by name.

    A server that has crashed is started again on its data; when its port was taken meanwhile it gets another one.
    Raises the errors of building and starting; what is up by then stays up and is recorded.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / ".lock").touch()
    except OSError as exc:
        raise file_error(str(folder), exc, "name another folder with --dir") from exc
    with _locked(folder):
        for name in NAMES:
            binaries.ensure(_PROGRAMS.get(name, name), say)
        known = _read(folder)
        with ThreadPoolExecutor(len(NAMES), thread_name_prefix="sandbox") as pool:
            futures = {n: pool.submit(_bring_up, n, folder / n, known.get(n), say) for n in NAMES}
        return {name: future.result() for name, future in futures.items()}


def down(folder: Path) -> list[str]:
    """Stop exactly the processes that `up` started and that still run; returns their names."""
    folder = folder.absolute()
    if not any((folder / name).is_dir() for name in NAMES):
        return []
    with _locked(folder):
        known = _read(folder)
        running = {name: _running(name, folder / name, known.get(name)) for name in NAMES}
        with ThreadPoolExecutor(len(NAMES), thread_name_prefix="sandbox") as pool:
            list(pool.map(process.stop, (one for found in running.values() for one in found)))
        return sorted(name for name, found in running.items() if found)


def status(folder: Path) -> dict[str, dict[str, object]]:
    """Each server: whether its process runs, whether it answers a real request, where."""
    servers = _read(folder.absolute())
    with ThreadPoolExecutor(len(NAMES), thread_name_prefix="sandbox") as pool:
        looked = dict(zip(servers, pool.map(_look, servers.values()), strict=True))
    return {name: looked.get(name, {"running": False, "answers": False, "endpoint": None}) for name in NAMES}


def environment(folder: Path) -> dict[str, str]:
    """The settings that lead to this sandbox, as environment variables; `SettingsError` before the first `up`."""
    servers = _read(folder.absolute())
    missing = [name for name in NAMES if name not in servers]
    if missing:
        raise SettingsError(
            str(folder), f"{', '.join(missing)} were never up here", "run `canswarm-tui sandbox up` first"
        )
    minio = servers["minio"]
    return {
        "CANSWARM_SITE__REDIS_URL": servers["redis"].endpoint,
        "CANSWARM_SITE__NATS_URL": servers["nats"].endpoint,
        "CANSWARM_ETCD__ENDPOINTS": servers["etcd"].endpoint,
        "CANSWARM_S3__ENDPOINT": minio.endpoint,
        "CANSWARM_S3__ACCESS_KEY": minio.user,
        "CANSWARM_S3__SECRET_KEY": minio.password,
        "CANSWARM_S3__BUCKET": BUCKET,
        "CANSWARM_IPFS__API": servers["kubo"].endpoint,
        "CANSWARM_OPA__URL": servers["opa"].endpoint,
        "CANSWARM_POLICY__OPA_BINARY": str(binaries.cached("opa")),
        "CANSWARM_STATE_DIR": str(folder.absolute() / "state"),
    }


def exports(settings: Mapping[str, str]) -> str:
    """Shell lines that set the environment."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items())


def _bring_up(name: str, folder: Path, known: Server | None, say: Say) -> Server:
    if known is not None and process.is_alive(known.running) and answers(known):
        return known
    for left in _running(name, folder, known):
        say(f"{name} runs but does not answer, or an `up` that was killed had not noted it; starting it again")
        process.stop(left)
    if known is None:
        return start_server(name, folder)
    if not process.is_free(known.port):
        port = process.free_port()
        say(f"port {known.port} of {name} was taken meanwhile; it moves to {port}")
        known = replace(known, port=port)
    return restart(known)


def _running(name: str, folder: Path, known: Server | None) -> set[Running]:
    """What runs of it: the process that was noted, and one whose `up` was killed before noting it."""
    left = set(process.left_running(binaries.where(_PROGRAMS.get(name, name)), folder))
    return left | ({known.running} if known is not None and process.is_alive(known.running) else set())


def _look(server: Server) -> dict[str, object]:
    alive = process.is_alive(server.running)
    return {
        "running": alive,
        "answers": alive and answers(server),
        "endpoint": server.endpoint,
        "pid": server.running.pid if alive else None,
        "log": str(server.running.log),
    }


def _read(folder: Path) -> dict[str, Server]:
    found = {name: read_server(folder / name) for name in NAMES}
    return {name: server for name, server in found.items() if server is not None}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
