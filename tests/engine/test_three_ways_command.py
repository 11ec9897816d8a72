"""`verify STEP --key KEY` from outside: its exit codes, its one JSON object, hostile keys and values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from canswarm_tui.cli import run
from canswarm_tui.sandbox import process
from tests.engine.steps.running import without_needs
from tests.engine.steps.test_decisions import decision

HOSTILE = "[red]x[/red] \x1b[31m\u202eevil"


@pytest.fixture
def arguments(
    v1_site: Path, clean_redis: str, etcd_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What every call is given, after the decisions of a site have been brought over."""
    without_needs(monkeypatch)
    client = redis.Redis.from_url(clean_redis)
    for need in ("plain", HOSTILE):
        client.set(f"decide:{need}", decision(need))
    client.close()
    pairs = {
        "site.redis_url": clean_redis,
        "etcd.endpoints": etcd_endpoint,
        "etcd.prefix": f"/test/{tmp_path.name}/cli/",
    }
    given = ["--site", str(v1_site), "--state-dir", str(tmp_path / "state")]
    given += [word for name, value in pairs.items() for word in ("--set", f"{name}={value}")]
    assert run(["run", "decisions", "--yes", *given]) == 0
    return given


def test_an_equal_record_ends_with_0_and_shows_all_three(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["verify", "decisions", "--key", HOSTILE, *arguments]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert told.count("SHA-256 ") == 3
    assert "site and target: equal" in told
    assert run(["verify", "decisions", "--key", HOSTILE, "--json", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)["three_ways"]
    assert (answer["equal"], answer["key"], answer["step"]) == (True, HOSTILE, "decisions")
    assert {pair["likeness"] for pair in answer["pairs"]} == {"equal"}


def test_a_different_or_unknown_record_ends_with_10(
    arguments: list[str], clean_redis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = redis.Redis.from_url(clean_redis)
    client.set("decide:plain", decision("plain", "other"))
    client.close()
    assert run(["verify", "decisions", "--key", "plain", *arguments]) == 10
    assert "site and target: different" in capsys.readouterr().out
    assert run(["verify", "decisions", "--key", "nobody", *arguments]) == 10
    assert "nor the journal knows this key" in capsys.readouterr().out


def test_a_server_that_is_away_ends_with_3_and_a_wrong_call_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    away = ["--set", f"etcd.endpoints=http://127.0.0.1:{process.free_port()}", "--set", "etcd.timeout_s=1"]
    assert run(["verify", "decisions", "--key", "plain", *arguments, *away]) == 3
    assert run(["verify", "--key", "plain", *arguments]) == 2
    assert "name that step" in capsys.readouterr().err
    assert run(["verify", "backup", "--key", "plain", *arguments]) == 2
