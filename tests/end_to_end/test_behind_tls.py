"""A whole migration where every server wants TLS and a password, and what is told where one of them is wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.process import free_port
from canswarm_tui.sandbox.servers import start_server
from tests.certificates import certificate
from tests.conftest import V1_SITE
from tests.end_to_end.places import Place
from tests.engine.v1.test_tls import nats_tls, running_nats, terminator
from tests.engine.v2.etcd_process import client_of, running_etcd, until
from tests.engine.v2.test_etcd_client import _enable_auth

SECRETS = {
    "CANSWARM_SITE__REDIS_PASSWORD": "redis-hunter-2718", "CANSWARM_SITE__NATS_PASSWORD": "nats-hunter-3141",
    "CANSWARM_ETCD__PASSWORD": "guessme", "CANSWARM_IPFS__TOKEN": "ipfs-hunter-1618",
    "CANSWARM_OPA__TOKEN": "opa-hunter-1414",
}  # fmt: skip
TELLING = {
    "CANSWARM_SITE__REDIS_PASSWORD": "Redis", "CANSWARM_SITE__NATS_PASSWORD": "NATS", "CANSWARM_ETCD__PASSWORD": "etcd",
    "CANSWARM_IPFS__TOKEN": "IPFS", "CANSWARM_OPA__TOKEN": "OPA", "CANSWARM_S3__SECRET_KEY": "MinIO",
}  # fmt: skip
AUTHZ = """package system.authz
default allow := false
allow if input.identity == "{token}"
"""


@dataclass(frozen=True)
class Tls:
    cert: Path
    key: Path


@contextmanager
def guarded_kubo(folder: Path, token: str) -> Iterator[int]:
    """The port of a node whose API lets nobody in without the token."""
    first = start_server("kubo", folder)
    process.stop(first.running)
    file = folder / "repo" / "config"
    config = json.loads(file.read_text())
    config["API"]["Authorizations"] = {"swarm": {"AuthSecret": f"bearer:{token}", "AllowedPaths": ["/api/v0"]}}
    file.write_text(json.dumps(config))
    environment = {"IPFS_PATH": str(folder / "repo"), "IPFS_TELEMETRY": "off", "HOME": str(folder)}
    running = process.start([str(ensure("kubo")), "daemon", "--offline"], folder, folder / "guarded.log", environment)
    try:
        until(lambda: _status("POST", f"{first.endpoint}/api/v0/id", token) == 200, "kubo answers")
        assert _status("POST", f"{first.endpoint}/api/v0/id", "another") == 403
        yield first.port
    finally:
        process.stop(running)


@contextmanager
def guarded_opa(folder: Path, token: str) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    (folder / "authz.rego").write_text(AUTHZ.format(token=token))
    command = [str(ensure("opa")), "run", "--server", "--addr", f"127.0.0.1:{port}", "--disable-telemetry"]
    guards = ["--authentication=token", "--authorization=basic", "--log-level=error", "authz.rego"]
    running = process.start([*command, *guards], folder, folder / "log", {"HOME": str(folder)})
    try:
        until(lambda: _status("GET", f"http://127.0.0.1:{port}/v1/policies", token) == 200, "OPA answers")
        assert _status("GET", f"http://127.0.0.1:{port}/v1/policies", "another") == 401
        yield port
    finally:
        process.stop(running)


def _status(method: str, url: str, token: str) -> int:
    try:
        return httpx.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code
    except httpx.TransportError:
        return 0


def port_of(url: str) -> int:
    return httpx.URL(url).port or 0


@pytest.fixture
def guarded(new_place: Callable[..., Place], tmp_path: Path) -> Iterator[Place]:
    """The real v1 site, with every server behind TLS and a password of its own."""
    place = new_place("guarded", V1_SITE)
    tls = Tls(*certificate(tmp_path / "tls"))
    env = place.environment
    plain_redis = redis.Redis.from_url(env["CANSWARM_SITE__REDIS_URL"])
    secret = SECRETS["CANSWARM_SITE__REDIS_PASSWORD"]
    plain_redis.execute_command("ACL", "SETUSER", "mover", "on", f">{secret}", "~*", "+@all")  # type: ignore[no-untyped-call]
    mutual = (
        f"--cert-file={tls.cert}",
        f"--key-file={tls.key}",
        "--client-cert-auth",
        f"--trusted-ca-file={tls.cert}",
    )
    shown_to_etcd = {"ca": tls.cert, "cert": tls.cert, "key": tls.key}
    nats_user = f'authorization {{ user: "mover", password: "{SECRETS["CANSWARM_SITE__NATS_PASSWORD"]}" }}'
    with ExitStack() as stack:

        def outside(port: int) -> int:
            return stack.enter_context(terminator(port, tls.cert, tls.key))

        etcd = stack.enter_context(
            running_etcd(tmp_path / "etcd", scheme="https", extra=mutual, settings=shown_to_etcd)
        )
        with client_of(etcd.endpoint, **shown_to_etcd) as client:
            _enable_auth(client)
        nats = stack.enter_context(running_nats(tmp_path / "nats", nats_tls(tls.cert, tls.key), nats_user))
        kubo = stack.enter_context(guarded_kubo(tmp_path / "kubo", SECRETS["CANSWARM_IPFS__TOKEN"]))
        opa = stack.enter_context(guarded_opa(tmp_path / "opa", SECRETS["CANSWARM_OPA__TOKEN"]))
        number = env["CANSWARM_SITE__REDIS_URL"].rpartition("/")[2]
        env.update(
            SECRETS,
            CANSWARM_SITE__REDIS_URL=f"rediss://127.0.0.1:{outside(port_of(env['CANSWARM_SITE__REDIS_URL']))}/{number}",
            CANSWARM_SITE__REDIS_USER="mover", CANSWARM_SITE__REDIS_CA=str(tls.cert),
            CANSWARM_SITE__NATS_URL=f"tls://127.0.0.1:{nats}", CANSWARM_SITE__NATS_USER="mover",
            CANSWARM_SITE__NATS_CA=str(tls.cert),
            CANSWARM_ETCD__ENDPOINTS=etcd.endpoint, CANSWARM_ETCD__USER="swarm", CANSWARM_ETCD__CA=str(tls.cert),
            CANSWARM_ETCD__CERT=str(tls.cert), CANSWARM_ETCD__KEY=str(tls.key),
            CANSWARM_ETCD__PREFIX="/swarm/decide/",
            CANSWARM_S3__ENDPOINT=f"https://127.0.0.1:{outside(port_of(env['CANSWARM_S3__ENDPOINT']))}",
            CANSWARM_S3__CA=str(tls.cert),
            CANSWARM_IPFS__API=f"https://127.0.0.1:{outside(kubo)}", CANSWARM_IPFS__CA=str(tls.cert),
            CANSWARM_OPA__URL=f"https://127.0.0.1:{outside(opa)}", CANSWARM_OPA__CA=str(tls.cert),
        )  # fmt: skip
        yield place
    plain_redis.execute_command("ACL", "DELUSER", "mover")  # type: ignore[no-untyped-call]
    plain_redis.close()


def everything_kept(place: Place, *runs: subprocess.CompletedProcess[str]) -> str:
    """What the program has said and all that it keeps, as text; the backup holds the site, not our settings."""
    files = (path for path in (place.folder / "state").rglob("*") if path.is_file() and "backups" not in path.parts)
    texts = [path.read_bytes().decode("latin-1") for path in files]
    return "\n".join([*texts, *(run.stdout + run.stderr for run in runs)])


def test_a_whole_migration_behind_tls_and_passwords_is_proved_and_keeps_no_secret(guarded: Place) -> None:
    run = guarded.program("run", "--yes", "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["exit_code"] == 0
    again = guarded.program("run", "--yes", "--json")
    looked = guarded.program("diagnose", "--json")
    bundle = guarded.program("support-bundle", "--yes", "--json", "--out", str(guarded.folder / "bundle.tar.gz"))
    assert [again.returncode, looked.returncode, bundle.returncode] == [0, 0, 0], again.stderr + looked.stderr
    kept = everything_kept(guarded, run, again, looked, bundle)
    secrets = [*SECRETS.values(), guarded.environment["CANSWARM_S3__SECRET_KEY"]]
    assert [one for one in secrets if one in kept] == []
    for name, server in TELLING.items():
        right = guarded.environment[name]
        guarded.environment[name] = "wrong-guess-4669"
        refused = guarded.program("preflight")
        guarded.environment[name] = right
        lines = refused.stderr.splitlines()
        if server == "NATS":
            # The bus is only looked at for other writers: v1's records are in none of its streams.
            assert refused.returncode == 0
            assert any("! " in line and server in line and "refuses us" in line for line in lines), refused.stderr
        else:
            assert refused.returncode == 3, (name, refused.stderr)
            assert any("✗" in line and server in line for line in lines), (name, refused.stderr)
        assert "wrong-guess-4669" not in refused.stdout + refused.stderr
        assert "Traceback" not in refused.stderr
