"""Sites with targets of their own on the shared servers, as the environment that leads a command to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from canswarm_tui.engine.settings import IpfsSettings
from canswarm_tui.engine.settings_file import load_settings
from canswarm_tui.engine.v2.blobs_ipfs import pinned_batches
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.ipfs_reader import read_back
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.sandbox import site_redis
from canswarm_tui.sandbox.servers import Server


@dataclass(frozen=True)
class Servers:
    """The servers that places share."""

    redis: str
    nats: str
    etcd: str
    minio: Server
    ipfs: str
    opa: str


@dataclass(frozen=True)
class Children:
    """Talks to the program that forks a child for each call."""

    parent: subprocess.Popen[str]

    def run(self, step: str, kill_at: int = 0) -> tuple[int, int]:
        """(exit status, boundaries passed); the status is negative for a signal."""
        return self._ask(f"run {step} {kill_at}")

    def undo(self, step: str) -> tuple[int, int]:
        return self._ask(f"undo {step}")

    def run_and_kill(self, step: str, after_s: float) -> tuple[int, int]:
        """Kill the child from outside after so many seconds; it may have ended by then."""
        return self._ask(f"kill {step} {after_s}")

    def _ask(self, text: str) -> tuple[int, int]:
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        self.parent.stdin.write(text + "\n")
        self.parent.stdin.flush()
        status, passed = self.parent.stdout.readline().split()
        return int(status), int(passed)


@dataclass(frozen=True)
class Place:
    """One site and one target; `environment` is all that a command needs."""

    folder: Path
    environment: dict[str, str]

    def program(self, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run the installed program to its end."""
        return self._run([sys.executable, "-m", "canswarm_tui", *arguments], timeout_s)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the installed program; the caller waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "canswarm_tui", *arguments], env=self._environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @contextmanager
    def children(self) -> Iterator[Children]:
        """Steps run in children that may kill themselves, see `killed_run`."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.killed_run"], env=self._environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as parent:  # fmt: skip
            yield Children(parent)
            assert parent.stdin is not None
            parent.stdin.close()

    def _run(self, command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def make_place(folder: Path, site: Path, servers: Servers) -> Place:
    """A copy of `site` in `folder`, with an etcd prefix, a bucket and a state folder of its own; Redis is shared."""
    shutil.copytree(site, folder / "site", symlinks=True)
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return Place(
        folder,
        {
            "CANSWARM_SITE__ROOT": str(folder / "site"),
            "CANSWARM_SITE__REDIS_URL": servers.redis,
            "CANSWARM_SITE__NATS_URL": servers.nats,
            "CANSWARM_ETCD__ENDPOINTS": servers.etcd,
            "CANSWARM_ETCD__PREFIX": f"/test/{name}/decide/",
            "CANSWARM_S3__ENDPOINT": servers.minio.endpoint,
            "CANSWARM_S3__ACCESS_KEY": servers.minio.access_key,
            "CANSWARM_S3__SECRET_KEY": servers.minio.secret_key,
            "CANSWARM_S3__BUCKET": f"test-{name}",
            "CANSWARM_IPFS__API": servers.ipfs,
            "CANSWARM_OPA__URL": servers.opa,
            "CANSWARM_STATE_DIR": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        },
    )


def load_redis(site: Path, url: str) -> None:
    """Fill an empty database with a site's `redis.jsonl`."""
    settings = load_settings(flags={"site.root": str(site), "site.redis_url": url}).settings
    client = redis.Redis.from_url(url)
    client.flushdb()
    client.close()
    site_redis.load(site / "redis.jsonl", settings.site)


def target_state(place: Place, run_id: str) -> dict[str, object]:
    """Everything that the targets hold of this place, content included."""
    environment = dict(os.environ)
    os.environ.update(place.environment)
    try:
        settings = load_settings().settings
    finally:
        os.environ.clear()
        os.environ.update(environment)
    client = EtcdClient(settings.etcd)
    try:
        decisions = {e.key: e.value for e in decision_sink(client, settings.etcd).scan()}
    finally:
        client.close()
    with S3Client(settings.s3) as s3:
        objects = {}
        if s3.api.bucket_exists(s3.bucket):
            objects = {name: _object_sha256(s3, name) for name, _, _ in s3.listed()}
    document = settings.site.plan_document
    return {
        "decisions": decisions,
        "objects": objects,
        "pinned": _pinned(settings.ipfs, run_id),
        "plan document": document.read_bytes() if document.exists() else None,
    }


def _object_sha256(s3: S3Client, name: str) -> str:
    answer = s3.api.get_object(s3.bucket, name)
    try:
        return hashlib.sha256(answer.read()).hexdigest()
    finally:
        answer.close()
        answer.release_conn()


def _pinned(settings: IpfsSettings, run_id: str) -> set[tuple[str, bool]]:
    with KuboApi(settings) as api:
        batches = list(pinned_batches(api, run_id))
        return {(blob.digest.hex(), blob.intact) for batch in batches for blob in read_back(api, batch.root)}
