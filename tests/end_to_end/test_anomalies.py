"""A damaged site: each piece of damage is named, the rest is migrated, and a person decides about what is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canswarm_tui.sandbox import site_anomalies
from canswarm_tui.sandbox.site import write_site
from canswarm_tui.sandbox.site_anomalies import Planted
from tests.end_to_end.places import Place

IN_BLOBS = {"wrong_hash", "wrong_folder", "symlink", "not_a_file"}
IN_ENVELOPES = {"artifact_not_found", "kind_not_allowed", "lamport_not_positive", "payload_too_large"}
"""What v1's policy would refuse: named by the envelope that the line carries."""
NOT_IN_THE_WAY = {"expires", "lost"}
"""Of the decisions: one is copied all the same, one is not there to be copied."""
NOTHING_LOST = {"blank", "duplicate_line"}
"""Lines that hold nothing, or nothing that another line does not hold."""


@pytest.fixture
def damaged(tmp_path: Path, new_place: Callable[..., Place]) -> tuple[Place, list[Planted]]:
    site = tmp_path / "damaged-site"
    write_site(site, 16, seed=5)
    planted = site_anomalies.plant(site, seed=5)
    # The administrator reads what nobody else can: for others this file is one more finding.
    for one in planted:
        if one.kind == "unreadable":
            (site / ".cas" / one.subject).chmod(0o600)
    return new_place("damaged", site), planted


def answer(place: Place, *arguments: str, exit_code: int) -> dict[str, Any]:
    done = place.program(*arguments, "--json")
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def named(planted: Planted, findings: list[dict[str, Any]]) -> bool:
    """Whether a finding tells of this very piece of damage."""
    if planted.kind in IN_ENVELOPES and planted.where.startswith("logs"):
        line = f"{planted.subject}:"
        envelopes = {f["subject"] for f in findings if f["happened"].startswith(line)}
        return any(f["subject"].rpartition(" ")[2] in envelopes and planted.kind in f["happened"] for f in findings)
    code = "plan.derived_" if planted.kind == "table_differs" else planted.kind
    subject = planted.subject.removeprefix("decide:")
    return any(code in f["code"] and subject in f["subject"] for f in findings)


def test_damage_is_quarantined_by_name_the_rest_is_migrated_and_accepting_it_ends_with_0(
    damaged: tuple[Place, list[Planted]],
) -> None:
    place, planted = damaged
    told = answer(place, "run", "--yes", exit_code=10)
    quarantined = {(f["code"], f["subject"]) for f in told["findings"] if f["kind"] == "quarantine"}
    assert {(f"blob.{p.kind}", p.subject) for p in planted if p.kind in IN_BLOBS} <= quarantined
    expected = {
        (f"decision.{p.kind}", p.subject) for p in planted if p.where == "redis" and p.kind not in NOT_IN_THE_WAY
    }
    assert expected <= quarantined
    outcomes = {s["step"]: s["outcome"] for s in told["steps"]}
    by_step = Counter(f["step"] for f in told["findings"] if f["kind"] == "quarantine")
    for step in ("blobs-minio", "decisions"):
        assert outcomes[step]["created"] > 0
        assert outcomes[step]["quarantined"] == by_step[step] > 0
    (keys,) = [len((place.folder / "site" / "redis.jsonl").read_text().splitlines())]
    here = outcomes["decisions"]
    assert here["created"] + here["quarantined"] + here["conflicts"] == keys
    assert [p for p in planted if p.kind not in NOTHING_LOST | {"unreadable"} and not named(p, told["findings"])] == []
    waiting = [f for f in told["findings"] if f["wants_decision"]]
    assert len(waiting) == told["waiting"]
    for finding in waiting:
        answer(place, "findings", "accept", finding["id"], "--reason", "known damage", exit_code=0)
    again = answer(place, "run", "--yes", exit_code=0)
    assert again["waiting"] == 0
    assert all(s["outcome"]["created"] == 0 for s in again["steps"] if s["step"] in ("blobs-minio", "decisions"))
