"""A conflict in real etcd, seen side by side in the interface and resolved there, either way."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis
from textual.pilot import Pilot

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.journal import FindingStatus, StepState
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.settings_file import load_settings
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.screens.conflict import ConflictScreen
from canswarm_tui.screens.phase import PhaseScreen
from tests.end_to_end.places import Place
from tests.interface.test_interface import text_of

OURS = {
    "need_id": "need-1", "proposal_id": "p-17", "epoch": 1, "lamport": 3, "k_plan": 1, "decider_id": "d",
    "timestamp_ns": 1_700_000_000_000,
}  # fmt: skip
THEIRS = {**OURS, "proposal_id": "p-21"}


def value_in_etcd(settings: Settings) -> dict[str, object]:
    client = EtcdClient(settings.etcd)
    try:
        entry = decision_sink(client, settings.etcd).get(b"need-1")
    finally:
        client.close()
    assert entry is not None
    told: dict[str, object] = json.loads(entry.value)
    return told


def plant(settings: Settings) -> None:
    body = json.dumps(THEIRS).encode()
    client = EtcdClient(settings.etcd)
    try:
        decision_sink(client, settings.etcd).write([Record(b"need-1", b"\1" * 32, len(body), body)], "somebody-1")
    finally:
        client.close()


async def until(app: SwarmApp, pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        await pilot.pause(0.02)
        app.draw()
        if not app.engine.busy and app.model.running is None and holds():
            return
    raise AssertionError("it does not come")


@pytest.mark.asyncio
@pytest.mark.parametrize(("key", "kept"), [("k", OURS), ("t", THEIRS)])
async def test_a_conflict_is_seen_side_by_side_and_resolved_by_a_key_and_a_reason(
    new_place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, key: str, kept: dict[str, object]
) -> None:
    place = new_place(f"conflict-{key}")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings().settings
    client = redis.Redis.from_url(place.environment["CANSWARM_SITE__REDIS_URL"])
    client.set("decide:need-1", json.dumps(OURS))
    client.close()
    plant(settings)
    assert place.program("run", "preflight", "backup", "--yes").returncode in (0, 10)
    app = SwarmApp(settings)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(PhaseScreen("decisions"))
        await pilot.pause()
        await pilot.press("r")
        await until(app, pilot, lambda: app.model.record("decisions").state is StepState.NEEDS_ATTENTION)
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, ConflictScreen)
        assert "«17»" in text_of(app, "#site")
        assert "«21»" in text_of(app, "#target")
        await pilot.press(key)
        await pilot.pause()
        await pilot.press(*"agreed", "enter")
        await until(app, pilot, lambda: any(f.status is FindingStatus.RESOLVED for f in app.model.findings))
        assert value_in_etcd(settings) == kept
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("v")
        await until(app, pilot, lambda: app.model.record("decisions").state is not StepState.NEEDS_ATTENTION)
        assert app.model.record("decisions").state in (StepState.PROVED, StepState.DONE)
