"""Down, slow, busy and something else are told apart by real servers at the wrong address, and by one that is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from canswarm_tui.engine.health.facts import CheckVerdict, Condition
from canswarm_tui.engine.health.guided.registry import GUIDED
from canswarm_tui.engine.health.registry import LOOKS
from canswarm_tui.engine.settings import (
    EtcdSettings,
    IpfsSettings,
    OpaSettings,
    S3Settings,
    Settings,
    SiteSettings,
)


def at(address: str) -> Settings:
    """Every backend is looked for at one `host:port`."""
    url, key = f"http://{address}", SecretStr("a key")
    return Settings(
        site=SiteSettings(redis_url=f"redis://{address}/0"), etcd=EtcdSettings(endpoints=(url,)),
        s3=S3Settings(endpoint=url, access_key=key, secret_key=key), ipfs=IpfsSettings(api=url),
        opa=OpaSettings(url=url),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "really"),
    [("redis", "opa"), ("redis", "nats"), ("etcd", "redis"), ("etcd", "opa"), ("minio", "opa"), ("minio", "redis"),
     ("ipfs", "redis"), ("ipfs", "opa"), ("opa", "redis"), ("opa", "nats")],
)  # fmt: skip
def test_another_server_at_that_address_is_neither_slow_nor_down(
    name: str, really: str, redis_url: str, nats_url: str, opa_url: str
) -> None:
    settings = at(urlsplit({"redis": redis_url, "nats": nats_url, "opa": opa_url}[really]).netloc)
    found = LOOKS[name](settings)
    assert found.condition is Condition.OTHER_VERSION, found
    assert found.error is not None
    assert GUIDED[name](settings)[0].verdict is CheckVerdict.BAD


@pytest.fixture
def busy() -> Iterator[str]:
    """An HTTP server that answers 503 to everything; where."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["opa", "ipfs", "minio"])
def test_a_server_that_says_that_it_cant_now_is_busy(busy: str, name: str) -> None:
    assert LOOKS[name](at(busy)).condition is Condition.BUSY
    assert GUIDED[name](at(busy))[0].said.startswith("it is busy")
