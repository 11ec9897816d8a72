"""Redis and NATS behind TLS, with users and passwords: let in with what the settings name, else refused plainly."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from canswarm_tui.engine.errors import EngineError, Refused, SettingsError, Unreachable
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.bus import bus_facts
from canswarm_tui.engine.v1.decisions import server_facts
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.process import free_port
from tests.certificates import certificate
from tests.nats_accounts import accounts

SECRET = "hunter2-of-the-bus"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@contextmanager
def terminator(port: int, cert: Path, key: Path, *, mutual: bool = False) -> Iterator[int]:
    """TLS in front of a real server, as stunnel puts it there: Redis of the wheel is built without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cert)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                outside = context.wrap_socket(plain, server_side=True)
            except OSError:
                continue
            inside = socket.create_connection(("127.0.0.1", port))
            for one in (outside, inside):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((outside, inside), (inside, outside)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def ask_redis(site: SiteSettings) -> str:
    client = connect_redis(site, timeout_s=3)
    try:
        return server_facts(client, redis_address(site)).version
    finally:
        client.close()


def reader(port: int, ca: Path) -> SiteSettings:
    return SiteSettings(
        redis_url=f"rediss://127.0.0.1:{port}/0",
        redis_ca=ca,
        redis_user="reader",
        redis_password=SecretStr(SECRET),
    )


@pytest.fixture
def redis_port(redis_url: str) -> Iterator[int]:
    """Of a Redis with an ACL user `reader`, who may read."""
    client = redis.Redis.from_url(redis_url)
    client.execute_command("ACL", "SETUSER", "reader", "on", f">{SECRET}", "~*", "+@all")  # type: ignore[no-untyped-call]
    yield int(redis_url.rsplit(":", 1)[1].split("/")[0])
    client.execute_command("ACL", "DELUSER", "reader")  # type: ignore[no-untyped-call]
    client.close()


def test_redis_is_reached_through_tls_with_its_ca_and_a_user(redis_port: int, tls: tuple[Path, Path]) -> None:
    cert, key = tls
    with terminator(redis_port, cert, key) as port:
        site = SiteSettings(
            redis_url=f"rediss://127.0.0.1:{port}/0",
            redis_ca=cert,
            redis_user="reader",
            redis_password=SecretStr(SECRET),
        )
        assert ask_redis(site)


@pytest.mark.parametrize("change", ["other ca", "no ca", "wrong password", "wrong user", "no client certificate"])
def test_redis_that_refuses_says_what_to_check_and_no_secret(
    redis_port: int, tls: tuple[Path, Path], tmp_path: Path, change: str
) -> None:
    cert, key = tls
    other, _ = certificate(tmp_path)
    changes: dict[str, dict[str, object]] = {
        "other ca": {"redis_ca": other},
        "no ca": {"redis_ca": None},
        "wrong password": {"redis_password": SecretStr("guess-3141")},
        "wrong user": {"redis_user": "nobody"},
        "no client certificate": {},
    }
    with terminator(redis_port, cert, key, mutual=change == "no client certificate") as port:
        site = SiteSettings(
            redis_url=f"rediss://127.0.0.1:{port}/0",
            redis_ca=cert,
            redis_user="reader",
            redis_password=SecretStr(SECRET),
        ).model_copy(update=changes[change])
        with pytest.raises(EngineError) as told:
            ask_redis(site)
    assert isinstance(told.value, Refused), told.value
    assert SECRET not in str(told.value)
    assert "guess-3141" not in str(told.value)
    assert "site.redis_" in told.value.remedy


def test_redis_lets_a_client_certificate_in(redis_port: int, tls: tuple[Path, Path]) -> None:
    cert, key = tls
    with terminator(redis_port, cert, key, mutual=True) as port:
        site = SiteSettings(redis_url=f"rediss://127.0.0.1:{port}/0", redis_ca=cert, redis_cert=cert, redis_key=key)
        assert ask_redis(site)


@contextmanager
def running_nats(folder: Path, *lines: str) -> Iterator[int]:
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "nats.conf"
    config.write_text("\n".join((f"listen: 127.0.0.1:{port}", f'jetstream {{ store_dir: "{folder / "js"}" }}', *lines)))
    running = process.start([str(ensure("nats-server")), "--config", str(config)], folder, folder / "log", {})
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            threading.Event().wait(0.05)
        yield port
    finally:
        process.stop(running)


def nats_tls(cert: Path, key: Path, *, verify: bool = False) -> str:
    return f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{cert}", verify: {str(verify).lower()} }}'


def test_nats_is_reached_through_tls_with_its_ca_and_a_user(tls: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = tls
    user = f'authorization {{ user: "reader", password: "{SECRET}" }}'
    with running_nats(tmp_path / "nats", nats_tls(cert, key), user) as port:
        site = SiteSettings(
            nats_url=f"tls://127.0.0.1:{port}", nats_ca=cert, nats_user="reader", nats_password=SecretStr(SECRET)
        )
        facts = bus_facts(site)
        assert facts.version
        assert not facts.stream_exists


def test_nats_lets_a_client_certificate_and_a_token_in(tls: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = tls
    with running_nats(tmp_path / "mutual", nats_tls(cert, key, verify=True)) as port:
        site = SiteSettings(nats_url=f"tls://127.0.0.1:{port}", nats_ca=cert, nats_cert=cert, nats_key=key)
        assert bus_facts(site).version
    with running_nats(tmp_path / "token", f'authorization {{ token: "{SECRET}" }}') as port:
        assert bus_facts(SiteSettings(nats_url=f"nats://127.0.0.1:{port}", nats_token=SecretStr(SECRET))).version


def test_nats_lets_a_credentials_file_in_and_none_that_is_anothers_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    lines, creds = accounts(tmp_path)
    _, others = accounts(tmp_path / "other")
    with running_nats(tmp_path / "nats", *lines) as port:
        site = SiteSettings(nats_url=f"nats://127.0.0.1:{port}", nats_creds=creds)
        assert bus_facts(site).jetstream
        with pytest.raises(Refused, match=r"site\.nats_creds"):
            bus_facts(site.model_copy(update={"nats_creds": others}))
        with pytest.raises(Refused, match=r"site\.nats_creds"):
            bus_facts(site.model_copy(update={"nats_creds": None}))
    text = creds.read_text()
    for damaged in ("", text.replace("-----BEGIN USER", "-----BEGIN"), text.replace("SU", "SA"), text.lower(), "é"):
        creds.write_text(damaged)
        with pytest.raises(SettingsError, match=r"site\.nats_creds.*holds no JWT"):
            bus_facts(site)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("other ca", Refused), ("no ca", Refused), ("wrong password", Refused), ("wrong user", Refused),
        ("no password", Refused), ("ca is no file", SettingsError),
    ],
)  # fmt: skip
def test_nats_that_refuses_says_what_to_check_and_no_secret(
    tls: tuple[Path, Path], tmp_path: Path, change: str, expected: type[EngineError]
) -> None:
    cert, key = tls
    other, _ = certificate(tmp_path / "other")
    changes: dict[str, dict[str, object]] = {
        "other ca": {"nats_ca": other},
        "no ca": {"nats_ca": None},
        "wrong password": {"nats_password": SecretStr("guess-3141")},
        "wrong user": {"nats_user": "nobody"},
        "no password": {"nats_user": None, "nats_password": None},
        "ca is no file": {"nats_ca": tmp_path / "nowhere.pem"},
    }
    user = f'authorization {{ user: "reader", password: "{SECRET}" }}'
    with running_nats(tmp_path / "nats", nats_tls(cert, key), user) as port:
        site = SiteSettings(
            nats_url=f"tls://127.0.0.1:{port}", nats_ca=cert, nats_user="reader", nats_password=SecretStr(SECRET)
        ).model_copy(update=changes[change])
        with pytest.raises(EngineError) as told:
            bus_facts(site)
    assert type(told.value) is expected, told.value
    assert SECRET not in str(told.value)
    assert "guess-3141" not in str(told.value)
    assert "nats" in told.value.remedy


def test_a_ca_that_cant_be_read_is_a_matter_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.pem.*site\.redis_ca"):
        ask_redis(reader(1, tmp_path / "nowhere.pem"))


def test_nobody_listening_is_unreachable_for_both() -> None:
    port = free_port()
    with pytest.raises(Unreachable):
        bus_facts(SiteSettings(nats_url=f"nats://127.0.0.1:{port}"))
    with pytest.raises(Unreachable):
        ask_redis(SiteSettings(redis_url=f"rediss://127.0.0.1:{port}/0"))
