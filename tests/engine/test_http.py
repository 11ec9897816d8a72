"""Errors of the HTTP library become ours, once; secrets stay out of them."""

from __future__ import annotations

import inspect
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from canswarm_tui.engine.errors import (
    Defect,
    EngineError,
    NoSpace,
    Refused,
    SettingsError,
    Unreachable,
    Unready,
    WrongAnswer,
)
from canswarm_tui.engine.http import bearer, check_status, http_client, http_errors
from tests.certificates import certificate

EXPECTED: dict[str, type[EngineError]] = {
    "HTTPError": WrongAnswer,
    "RequestError": WrongAnswer,
    "TransportError": Unreachable,
    "TimeoutException": Unreachable,
    "ConnectTimeout": Unreachable,
    "ReadTimeout": Unreachable,
    "WriteTimeout": Unreachable,
    "PoolTimeout": Unreachable,
    "NetworkError": Unreachable,
    "ConnectError": Unreachable,
    "ReadError": Unreachable,
    "WriteError": Unreachable,
    "CloseError": Unreachable,
    "ProtocolError": Unreachable,
    "LocalProtocolError": Defect,
    "RemoteProtocolError": Unreachable,
    "ProxyError": Unreachable,
    "UnsupportedProtocol": SettingsError,
    "DecodingError": WrongAnswer,
    "TooManyRedirects": WrongAnswer,
    "InvalidURL": SettingsError,
    "CookieConflict": Defect,
    "StreamError": Defect,
    "StreamConsumed": Defect,
    "StreamClosed": Defect,
    "ResponseNotRead": Defect,
    "RequestNotRead": Defect,
}


class Answers(BaseHTTPRequestHandler):
    """Answers `/<status>` with that status, repeating the Authorization header in the body."""

    def do_GET(self) -> None:
        status = int(self.path.strip("/"))
        self.send_response(status)
        self.send_header("Location", "/200")
        self.end_headers()
        self.wfile.write(b"seen " + self.headers.get("Authorization", "nothing").encode())

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="answers", daemon=True)
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def answers() -> Iterator[str]:
    with serving() as url:
        yield url


def every_httpx_exception() -> set[str]:
    return {
        name
        for name, value in vars(httpx).items()
        if inspect.isclass(value) and issubclass(value, Exception) and name != "HTTPStatusError"
    }


def test_every_exception_class_of_the_library_is_expected_here() -> None:
    assert every_httpx_exception() == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_exception_becomes_the_error_with_the_right_remedy(name: str) -> None:
    raised = getattr(httpx, name)
    wanted = ["text"] if "message" in inspect.signature(raised).parameters else []
    with pytest.raises(EngineError) as caught, http_errors("kubo"):
        raise raised(*wanted)
    assert type(caught.value) is EXPECTED[name]
    assert caught.value.subject == "kubo"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, WrongAnswer),
        (401, Refused),
        (403, Refused),
        (404, WrongAnswer),
        (429, Unready),
        (500, WrongAnswer),
        (503, Unready),
        (507, NoSpace),
    ],
)
def test_a_status_becomes_an_error_that_quotes_the_server(answers: str, status: int, error: type[EngineError]) -> None:
    with (
        http_client(answers, timeout_s=5) as client,
        pytest.raises(EngineError) as caught,
        http_errors("server"),
    ):
        check_status(client.get(f"/{status}"))
    assert type(caught.value) is error
    assert f"HTTP {status}" in caught.value.happened
    assert "seen nothing" in caught.value.happened


def test_an_error_of_a_streamed_answer_quotes_the_server_too(answers: str) -> None:
    with (
        http_client(answers, timeout_s=5) as client,
        pytest.raises(WrongAnswer, match="seen nothing"),
        http_errors("server"),
        client.stream("GET", "/500") as response,
    ):
        check_status(response)


def test_a_token_reaches_the_server_but_no_message(answers: str) -> None:
    with http_client(answers, timeout_s=5, authorization=bearer(SecretStr("t0ken"))) as client:
        assert client.get("/200").text == "seen Bearer t0ken"
        assert "t0ken" not in repr(client.headers)


@pytest.mark.parametrize("bad", ["to\nken", "tökén", "token ", "to\x00ken"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(SettingsError) as caught:
        http_client("http://127.0.0.1:1", timeout_s=1, authorization=bearer(SecretStr(bad)))
    assert "ken" not in caught.value.happened + caught.value.remedy


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with http_client(url, timeout_s=5) as client, pytest.raises(Unreachable), http_errors("server"):
            client.get("/200")


def test_a_server_that_says_nothing_is_given_up_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            http_client(url, timeout_s=0.2) as client,
            pytest.raises(Unreachable, match="no answer in time"),
            http_errors("server"),
        ):
            client.get("/200")


def test_an_answer_that_is_no_json_is_a_wrong_answer(answers: str) -> None:
    with http_client(answers, timeout_s=5) as client, pytest.raises(WrongAnswer), http_errors("server"):
        client.get("/200").json()


def test_a_proxy_of_the_environment_is_not_used(answers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with http_client(answers, timeout_s=5) as client:
        assert client.get("/200").text == "seen nothing"


def test_a_certificate_of_an_unknown_authority_is_refused_and_with_its_ca_accepted(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with serving(context) as url:
        with (
            http_client(url, timeout_s=5) as client,
            pytest.raises(Refused, match="certificate"),
            http_errors("server"),
        ):
            client.get("/200")
        with http_client(url, timeout_s=5, ca=cert) as client:
            assert client.get("/200").text == "seen nothing"


def test_a_ca_file_that_is_none_is_a_settings_error(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text(json.dumps({"not": "pem"}))
    for path in (bad, tmp_path / "missing.pem"):
        with pytest.raises(SettingsError, match="CA file"):
            http_client("https://127.0.0.1:1", timeout_s=1, ca=path)
