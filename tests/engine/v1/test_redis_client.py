from __future__ import annotations

import inspect
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
import redis.exceptions
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
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_errors
from canswarm_tui.sandbox.servers import Server

KINDS = [
    kind
    for _, kind in inspect.getmembers(redis.exceptions, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == "redis.exceptions"
]
NEED_ARGUMENTS = {"MovedError": "1 127.0.0.1:6379", "AskError": "1 127.0.0.1:6379"}


@contextmanager
def mapped() -> Iterator[None]:
    with redis_errors("Redis x"):
        yield


def raised(exc: Exception) -> EngineError:
    with pytest.raises(EngineError) as caught, mapped():
        raise exc
    assert caught.value.__cause__ is exc
    return caught.value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_is_mapped(kind: type[Exception]) -> None:
    error = raised(kind(NEED_ARGUMENTS.get(kind.__name__, "trouble")))
    assert error.subject == "Redis x"
    assert error.remedy


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (redis.exceptions.ConnectionError("refused"), Unreachable),
        (redis.exceptions.TimeoutError("slow"), Unreachable),
        (redis.exceptions.BusyLoadingError("loading"), Unready),
        (ConnectionResetError("reset"), Unreachable),
        (redis.exceptions.AuthenticationError("WRONGPASS"), Refused),
        (redis.exceptions.NoPermissionError("NOPERM"), Refused),
        (redis.exceptions.ResponseError("NOAUTH Authentication required."), Refused),
        (redis.exceptions.OutOfMemoryError("OOM"), NoSpace),
        (redis.exceptions.ResponseError("ERR DB index is out of range"), SettingsError),
        (redis.exceptions.ResponseError("ERR unknown command"), WrongAnswer),
        (redis.exceptions.InvalidResponse("Protocol Error"), WrongAnswer),
        (redis.exceptions.DataError("bad input"), Defect),
        (ssl.SSLCertVerificationError("self-signed"), Refused),
    ],
)
def test_each_trouble_has_its_remedy(exc: Exception, expected: type[EngineError]) -> None:
    assert type(raised(exc)) is expected


def ask(**settings: object) -> None:
    client = connect_redis(SiteSettings.model_validate(settings), timeout_s=0.5)
    try:
        with mapped():
            client.ping()
    finally:
        client.close()


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable):
        ask(redis_url=f"redis://127.0.0.1:{port}/0")


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unreachable):
        ask(redis_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0")


def test_a_url_of_something_else_is_a_setting_to_correct() -> None:
    with pytest.raises(SettingsError, match=r"site\.redis_url"):
        ask(redis_url="redis://127.0.0.1/0?socket_timeout=often")


def test_a_database_that_is_not_there_is_a_setting_to_correct(redis_url: str) -> None:
    with pytest.raises(SettingsError, match="database number"):
        ask(
            redis_url=redis_url.rsplit("/", 1)[0].removesuffix("/") + "/9999"
            if redis_url.count("/") > 2
            else redis_url + "/9999"
        )


def test_a_password_is_used_and_never_shown(private_server: Callable[..., Server]) -> None:
    server = private_server("redis", password="hunter2")
    url = f"redis://127.0.0.1:{server.port}/0"
    with pytest.raises(Refused):
        ask(redis_url=url)
    with pytest.raises(Refused) as caught:
        ask(redis_url=url, redis_password=SecretStr("wrong-secret"))
    assert "wrong-secret" not in str(caught.value)
    ask(redis_url=url, redis_password=SecretStr("hunter2"))


def test_why_there_is_no_connection_is_told_without_the_address_again() -> None:
    with pytest.raises(Unreachable) as caught:
        ask(redis_url="redis://127.0.0.1:1/0")
    assert caught.value.happened == "no connection (Connection refused)"
