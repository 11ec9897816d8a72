from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import nats
import pytest

from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.engine.health.nats import look
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.v1 import bus
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.frozen import wait_frozen

Start = Callable[..., Server]


def of(url: str, stream: str = "HEALTH") -> Settings:
    return Settings(site=SiteSettings(nats_url=url, stream=stream))


async def _fill(url: str) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="HEALTH", subjects=["health.>"])
    for n in range(5):
        await jetstream.publish(f"health.{n}", b"x")
    reader = await jetstream.pull_subscribe("health.>", durable="reader")
    await reader.fetch(2)
    await client.close()


def test_the_stream_and_a_consumers_lag_are_told(private_server: Start) -> None:
    server = private_server("nats")
    assert [worry.code for worry in look(of(server.endpoint)).worries] == ["nats.no_stream"]
    asyncio.run(_fill(server.endpoint))
    found = look(of(server.endpoint))
    assert found.condition is Condition.ANSWERS
    _, stream, consumer = (dict(section.facts) for section in found.sections)
    assert (stream["messages"], stream["first"], stream["last"]) == (5, 1, 5)
    assert (consumer["lag"], consumer["not acknowledged"], consumer["delivered"]) == (3, 2, 2)
    assert [worry.code for worry in found.worries] == ["nats.lag"]


def test_a_password_that_is_missing_is_a_refusal(private_server: Start) -> None:
    assert look(of(private_server("nats", password="right").endpoint)).condition is Condition.REFUSES


def test_a_frozen_bus_is_slow_and_a_stopped_one_down(private_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "TIMEOUT_S", 1)
    server = private_server("nats")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert look(of(server.endpoint)).condition is Condition.SLOW
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    process.stop(server.running)
    assert look(of(server.endpoint)).condition is Condition.DOWN


def test_connected_clients_come_from_the_monitoring(private_server: Start) -> None:
    monitor = f"127.0.0.1:{process.free_port()}"
    server = private_server("nats", monitor=monitor)
    site = SiteSettings(nats_url=server.endpoint, nats_monitor=f"http://{monitor}")

    async def look_while_one_is_connected() -> dict[str, object]:
        client = await nats.connect(server.endpoint, name="[red]coordinator")
        found = await asyncio.to_thread(look, Settings(site=site))
        await client.close()
        return {one.title: dict(one.facts) for one in found.sections}

    told = asyncio.run(look_while_one_is_connected())
    assert told["server"]["connected clients"] == len(told["connected clients"]) == 1  # type: ignore[index, arg-type]
    assert "[red]coordinator" in str(told["connected clients"])
    away = look(Settings(site=site.model_copy(update={"nats_monitor": "http://127.0.0.1:1"})))
    assert str(dict(away.sections[0].facts)["connected clients"]).startswith("not told: no connection")
