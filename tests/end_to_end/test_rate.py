"""The rate limit from outside, on real servers: a slow run says so, and `rate off` lets it go at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import redis

from tests.end_to_end.places import Place

DECISIONS = 1000
DECISION = {
    "proposal_id": "p", "epoch": 1, "lamport": 3, "k_plan": 1, "decider_id": "d", "timestamp_ns": 1_700_000_000_000,
}  # fmt: skip


def test_a_live_run_is_slow_as_asked_and_fast_once_the_limit_is_off(new_place: Callable[..., Place]) -> None:
    place = new_place("rate")
    client = redis.Redis.from_url(place.environment["CANSWARM_SITE__REDIS_URL"])
    client.mset({f"decide:need-{n:04}": json.dumps({**DECISION, "need_id": f"need-{n:04}"}) for n in range(DECISIONS)})
    client.close()
    assert place.program("run", "preflight", "backup", "--yes").returncode in (0, 10)
    live = place.start("run", "decisions", "--yes", "--rate", "1")
    try:
        told = until(place, "copying")
        assert told["limit_records_s"] == 1.0
        assert told["waiting"] == "held back by the rate limit"
        time.sleep(1.5)
        assert until(place, "copying")["done"] < DECISIONS / 2
        done = place.program("rate", "off", "--json")
        assert (done.returncode, json.loads(done.stdout)["records_s"]) == (0, None)
        assert live.wait(60) in (0, 10)
    finally:
        live.kill()
        _, errors = live.communicate()
    assert "no limit, as" in errors
    (step,) = [s for s in json.loads(place.program("status", "--json").stdout)["steps"] if s["step"] == "decisions"]
    assert step["state"] in ("proved", "needs attention")


def until(place: Place, doing: str) -> dict[str, Any]:
    """What the live file says once it says this."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in (place.folder / "state").glob("sites/*/live.json"):
            told = json.loads(path.read_text() or "{}")
            if told.get("doing") == doing and told.get("waiting"):
                return dict(told)
        time.sleep(0.05)
    raise AssertionError(f"the run does not say {doing}")
