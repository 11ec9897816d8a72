"""OPA looked at: our policy there, gone or changed; real decisions timed; away, slow and refusing told apart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from canswarm_tui.engine.health import opa as health_opa
from canswarm_tui.engine.health.facts import Condition, Look
from canswarm_tui.engine.health.opa import look
from canswarm_tui.engine.settings import OpaSettings, PolicySettings, Settings
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.policy.policy_opa import OpaSink, records_of
from canswarm_tui.engine.v2.policy.source import load_source
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.frozen import wait_frozen

Start = Callable[..., Server]


def told(found: Look, title: str) -> dict[str, object]:
    return dict(next(one.facts for one in found.sections if one.title == title))


def codes(found: Look) -> set[str]:
    return {one.code for one in found.worries}


def test_a_policy_is_absent_then_equal_then_another(private_server: Start) -> None:
    settings = Settings(opa=OpaSettings(url=private_server("opa").endpoint))
    empty = look(settings)
    assert empty.condition is Condition.ANSWERS, empty.error
    assert codes(empty) == {"opa.no_policy"}
    assert told(empty, "decisions")["without an answer"] == told(empty, "decisions")["measured"]
    records = records_of(load_source(PolicySettings()))
    with OpaClient(settings.opa) as client:
        OpaSink(client, [record.key for record in records]).write(records, "look")
        full = look(settings)
        assert "opa.no_policy" not in codes(full)
        ours = told(full, "our policy")
        assert {ours[record.key.decode()] for record in records} == {"equal"}
        decisions = told(full, "decisions")
        assert decisions["without an answer"] == 0
        assert 0 < float(str(decisions["p50 ms"])) <= float(str(decisions["p95 ms"]))
        assert str(told(full, "server")["version"])[0].isdigit()
        client.replace_data(("swarm", "policy"), b'{"version":99}')
    assert "opa.other_policy" in codes(look(settings))


def test_a_frozen_server_is_slow_and_a_stopped_one_down(private_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_opa, "LOOK_TIMEOUT_S", 0.7)
    server = private_server("opa")
    settings = Settings(opa=OpaSettings(url=server.endpoint))
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert look(settings).condition is Condition.SLOW
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    process.stop(server.running)
    assert look(settings).condition is Condition.DOWN


def test_another_server_at_that_address_is_told_as_another_version(nats_url: str, ipfs_api: str) -> None:
    found = look(Settings(opa=OpaSettings(url=ipfs_api)))
    assert found.condition in (Condition.OTHER_VERSION, Condition.REFUSES)
    assert found.error is not None
    assert look(Settings(opa=OpaSettings(url=nats_url.replace("nats://", "http://")))).error is not None
