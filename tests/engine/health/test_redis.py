from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing

import pytest
import redis

from canswarm_tui.engine.health import condition
from canswarm_tui.engine.health import redis as health_redis
from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.engine.health.redis import Decisions, look
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.frozen import wait_frozen

Start = Callable[..., Server]


def of(url: str) -> Settings:
    return Settings(site=SiteSettings(redis_url=url))


def test_decisions_are_counted_and_other_keys_are_not(clean_redis: str) -> None:
    with closing(redis.Redis.from_url(clean_redis)) as client:
        client.mset({f"decide:{n}": "{}" for n in range(30)})
        client.set("other", "1", ex=1000)
    found = look(of(clean_redis))
    assert found.condition is Condition.ANSWERS
    facts = dict(found.sections[1].facts)
    assert facts["decisions"] == 30
    assert facts["keys of any name"] == 31
    assert "redis.expiring" in {worry.code for worry in found.worries}


def test_a_frozen_redis_is_slow_and_a_stopped_one_down(private_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_redis, "LOOK_TIMEOUT_S", 0.7)
    server = private_server("redis")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert look(of(server.endpoint)).condition is Condition.SLOW
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    process.stop(server.running)
    assert look(of(server.endpoint)).condition is Condition.DOWN
    assert not condition.listens(server.endpoint)


def test_a_password_that_is_missing_is_a_refusal(private_server: Start) -> None:
    server = private_server("redis", password="right")
    assert look(of(server.endpoint)).condition is Condition.REFUSES


def test_pages_by_cursor_hold_every_decision_and_search_is_literal(clean_redis: str) -> None:
    names = {f"need-{n}" for n in range(300)} | {"a*b", "axb"}
    with closing(redis.Redis.from_url(clean_redis)) as client:
        client.mset({f"decide:{name}": "12345" for name in names})
    decisions, seen, after = Decisions(of(clean_redis)), set[str](), None
    while True:
        page = decisions.page(after=after, limit=50)
        seen |= {entry.key for entry in page.entries}
        assert all(entry.cells == ("5",) for entry in page.entries)
        if (after := page.after) is None:
            break
    assert seen == names
    assert [entry.key for entry in decisions.page(prefix="a*", limit=1000).entries] == ["a*b"]
    assert dict(decisions.open("a*b")[0].facts)["value"] == "12345"
