from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from canswarm_tui.engine.errors import Refused, Unreachable, WrongAnswer
from canswarm_tui.engine.settings import OpaSettings, PolicySettings
from canswarm_tui.engine.v2.policy.answer import ALLOWED, UNDEFINED, Answer
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.source import load_source
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.engine.v2.policy.inputs import EVERY_REASON, need
from tests.frozen import wait_frozen


@pytest.fixture
def private_opa(private_server: Callable[..., Server]) -> Server:
    return private_server("opa")


def published(client: OpaClient) -> None:
    source = load_source(PolicySettings())
    client.replace_data(("swarm", "policy"), source.data)
    client.put_module("test/envelope.rego", source.modules[0][1])


def test_health_and_version_are_told(opa_url: str) -> None:
    with OpaClient(OpaSettings(url=opa_url)) as client:
        client.check_health()
        assert client.version().startswith("1.")


def test_modules_are_read_back_with_their_raw_text(private_opa: Server) -> None:
    with OpaClient(OpaSettings(url=private_opa.endpoint)) as client:
        published(client)
        (module,) = client.modules()
        assert (module.id, module.package) == ("test/envelope.rego", "swarm.envelope")
        assert module.raw == load_source(PolicySettings()).modules[0][1]
        assert client.delete_module("test/envelope.rego")
        assert not client.delete_module("test/envelope.rego")
        assert client.modules() == []


def test_data_is_created_only_where_there_is_none(private_opa: Server) -> None:
    with OpaClient(OpaSettings(url=private_opa.endpoint)) as client:
        assert client.data(("a b", "c")) is None
        assert client.create_data(("a b", "c"), b'{"x":1}')
        assert not client.create_data(("a b", "c"), b'{"x":2}')
        assert client.data(("a b", "c")) == {"x": 1}
        assert client.delete_data(("a b", "c"))
        assert not client.delete_data(("a b", "c"))


def test_envelopes_are_decided_one_by_one_and_in_batches(private_opa: Server) -> None:
    with OpaClient(OpaSettings(url=private_opa.endpoint)) as client:
        published(client)
        denied = Answer(allow=False, reasons=EVERY_REASON)
        assert client.decide(need()) == ALLOWED
        assert client.decide(b"{}") == denied
        assert client.decide_batch([need(), b"{}", need(2)]) == [ALLOWED, denied, ALLOWED]


def test_an_undefined_result_is_no_allow(private_opa: Server) -> None:
    with OpaClient(OpaSettings(url=private_opa.endpoint)) as client:
        assert client.decide(need()) == UNDEFINED
        assert client.decide_batch([need(), need()]) == [UNDEFINED, UNDEFINED]
        client.put_module("odd", b"package swarm.envelope\n\ndecision := true\n\ndecisions := [true]\n")
        assert not client.decide(need()).allow
        assert not any(answer.allow for answer in client.decide_batch([need()]))


def test_rego_that_does_not_compile_is_refused_with_its_reason(private_opa: Server) -> None:
    with OpaClient(OpaSettings(url=private_opa.endpoint)) as client, pytest.raises(WrongAnswer, match="compiling"):
        client.put_module("bad", b"package x\n\nallow {")


def test_a_frozen_server_times_out_and_a_dead_one_is_unreachable(private_opa: Server) -> None:
    with OpaClient(OpaSettings(url=private_opa.endpoint, timeout_s=0.4)) as client:
        client.check_health()
        process.send(private_opa.running, signal.SIGSTOP)
        wait_frozen(private_opa.running.pid)
        with pytest.raises(Unreachable, match="in time"):
            client.decide(need())
        process.send(private_opa.running, signal.SIGCONT)
        process.stop(private_opa.running)
        with pytest.raises(Unreachable):
            client.decide(need())


def test_the_token_travels_as_a_bearer_and_is_never_shown() -> None:
    settings = OpaSettings(url="http://127.0.0.1:1", token=SecretStr("very-secret"))
    with OpaClient(settings) as client, pytest.raises(Unreachable) as caught:
        client.check_health()
    assert "very-secret" not in str(caught.value)
    assert client._http.headers["Authorization"] == "Bearer very-secret"


def test_another_server_is_told_apart(minio: Server) -> None:
    with OpaClient(OpaSettings(url=minio.endpoint)) as client, pytest.raises((WrongAnswer, Refused)):
        client.modules()
