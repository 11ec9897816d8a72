"""Real servers on loopback for the tests, started on first use; copies of the v1 site; pictures in `snapshots/`."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_textual_snapshot as pts
from hypothesis import settings as hypothesis_settings

from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server, start_server

TESTS = Path(__file__).resolve().parent
SNAPSHOTS = TESTS.parent / "snapshots"
V1_SITE = TESTS / "fixtures" / "v1-site"

hypothesis_settings.register_profile("house", deadline=None, max_examples=60, derandomize=bool(os.environ.get("CI")))
hypothesis_settings.load_profile("house")


class TopLevelSVG(pts.SVGImageExtension):  # type: ignore[misc]
    """Puts a test module's pictures into the folder of the same name under `snapshots/`."""

    @classmethod
    def dirname(cls, *, test_location: object) -> str:
        path = Path(test_location.filepath)  # type: ignore[attr-defined]
        return str(SNAPSHOTS / path.relative_to(TESTS).with_suffix(""))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the developer's settings, colours or state, nor the target locks of a test that runs beside it."""
    monkeypatch.setattr(pts, "SVGImageExtension", TopLevelSVG)
    for name in [*filter(lambda n: n.startswith("CANSWARM_"), os.environ), "NO_COLOR", "SSH_CONNECTION"]:
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path_factory.getbasetemp() / "tmp"
    temporary.mkdir(exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    home = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture
def v1_site(tmp_path: Path) -> Path:
    """A fresh, writable copy of the site that the real v1 program wrote."""
    copy = tmp_path / "v1-site"
    shutil.copytree(V1_SITE, copy)
    return copy


@pytest.fixture(scope="session")
def _session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    started: dict[str, Server] = {}

    def get(name: str) -> Server:
        if name not in started:
            folder = tmp_path_factory.mktemp(name)
            quick = name == "etcd"
            started[name] = start_server(name, folder, unsafe_no_fsync="yes") if quick else start_server(name, folder)
        return started[name]

    yield get
    for server in started.values():
        process.stop(server.running)


@pytest.fixture
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts a server that the test may kill, freeze or fill: `private_server("etcd", quota_bytes="…")`."""
    started: list[Server] = []

    def start(name: str, *, password: str | None = None, port: int | None = None, **options: str) -> Server:
        server = start_server(name, tmp_path_factory.mktemp(name), port=port, password=password, **options)
        started.append(server)
        return server

    yield start
    for server in started:
        process.stop(server.running)


@pytest.fixture
def redis_url(_session_server: Callable[[str], Server]) -> str:
    return _session_server("redis").endpoint


_databases = itertools.cycle(range(1, 64))


@pytest.fixture
def clean_redis(_session_server: Callable[[str], Server]) -> str:
    """The URL of an empty database of its own."""
    import redis

    server = _session_server("redis")
    number = next(_databases)
    client = redis.Redis(port=server.port, db=number)
    client.execute_command("FLUSHDB")  # type: ignore[no-untyped-call]
    client.close()
    return f"redis://127.0.0.1:{server.port}/{number}"


@pytest.fixture
def nats_url(_session_server: Callable[[str], Server]) -> str:
    return _session_server("nats").endpoint


@pytest.fixture
def etcd_endpoint(_session_server: Callable[[str], Server]) -> str:
    return _session_server("etcd").endpoint


@pytest.fixture
def minio(_session_server: Callable[[str], Server]) -> Server:
    """Has `.endpoint`, `.user` (also `.access_key`) and `.password` (also `.secret_key`)."""
    return _session_server("minio")


@pytest.fixture
def unique_bucket(tmp_path: Path) -> str:
    """A bucket name that no other test uses."""
    return f"test-{abs(hash(str(tmp_path))) % 10**12}"


@pytest.fixture
def ipfs_api(_session_server: Callable[[str], Server]) -> str:
    return _session_server("kubo").endpoint


@pytest.fixture
def opa_url(_session_server: Callable[[str], Server]) -> str:
    return _session_server("opa").endpoint
