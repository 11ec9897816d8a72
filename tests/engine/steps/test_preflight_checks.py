"""Preflight's checks one by one: each journalled as it comes out, and to be made again alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from canswarm_tui.engine.checks import FACT, TITLES, Checked, checked_of
from canswarm_tui.engine.errors import Blocked, SettingsError, Stopped, Unreachable
from canswarm_tui.engine.events import CheckEnded, Event, StepProgressed
from canswarm_tui.engine.journal import FindingStatus, Journal, StepState
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import IpfsSettings, Settings, SiteSettings
from tests.engine.steps.running import Bench
from tests.engine.steps.test_preflight import settings

__all__ = ["settings"]
AWAY = IpfsSettings(api="http://127.0.0.1:9")


def came_out(bench: Bench) -> dict[str, Checked]:
    journal = Journal.observe(bench.journal_path)
    try:
        return checked_of(journal.step("preflight").fact(FACT))
    finally:
        journal.close()


def test_each_check_is_told_and_journalled_with_the_findings_that_are_its_own(settings: Settings) -> None:
    bench = Bench(settings)
    bench.run("preflight")
    told = [e.checked for e in bench.events if isinstance(e, CheckEnded)]
    assert [one.name for one in told] == list(TITLES)
    assert came_out(bench) == {one.name: one for one in told}
    found = [f.finding for f in bench.findings("preflight")]
    assert {f.details["check"] for f in found} <= set(TITLES)
    for one in told:
        mine = [f for f in found if f.details["check"] == one.name]
        assert len(mine) == one.blockers + one.warnings + one.notes


def test_a_check_is_made_again_alone_and_what_the_others_found_stands(settings: Settings) -> None:
    bench = Bench(settings.model_copy(update={"ipfs": AWAY}))
    with pytest.raises(Unreachable):
        bench.run("preflight")
    before, findings = came_out(bench), {f.id: f for f in bench.findings("preflight")}
    assert before["ipfs"].word == "blocker"
    assert bench.record("preflight").state is StepState.NEEDS_ATTENTION

    mended = Bench(settings)
    mended.runner().recheck("ipfs")
    after = came_out(mended)
    assert after["ipfs"].blockers == 0
    assert {name: one for name, one in after.items() if name != "ipfs"} == {
        name: one for name, one in before.items() if name != "ipfs"
    }
    standing = {f.id for f in mended.findings("preflight")}
    assert {i for i, f in findings.items() if f.finding.details["check"] != "ipfs"} <= standing
    assert not [f for f in mended.findings("preflight") if f.finding.code == "target.unreachable"]
    record = mended.record("preflight")
    assert record.state is StepState.DONE
    assert record.outcome is not None
    assert "0 blockers" in record.outcome.summary
    assert record.outcome.figures["blobs"] == 57


def test_a_check_that_fails_again_refuses_as_a_preflight_does(settings: Settings) -> None:
    bench = Bench(settings)
    bench.run("preflight")
    with pytest.raises(Unreachable):
        Bench(settings.model_copy(update={"ipfs": AWAY})).runner().recheck("ipfs")
    assert came_out(bench)["ipfs"].word == "blocker"
    assert bench.record("preflight").state is StepState.NEEDS_ATTENTION


def test_what_a_person_accepted_stays_accepted_when_another_check_is_made_again(settings: Settings) -> None:
    bench = Bench(settings)
    bench.run("preflight")
    stored = next(f for f in bench.findings("preflight") if f.finding.details["check"] == "audit")
    journal = Journal.join(bench.journal_path)
    journal.decide(stored, FindingStatus.ACCEPTED, "somebody", "known")
    journal.close()
    bench.runner().recheck("etcd")
    (same,) = [f for f in bench.findings("preflight") if f.id == stored.id]
    assert same.status is FindingStatus.ACCEPTED


def test_a_check_that_was_interrupted_has_not_come_out(settings: Settings) -> None:
    bench = Bench(settings)
    bench.run("preflight")
    runner: list[Runner] = []

    def stop_in_the_middle(event: Event) -> None:
        if isinstance(event, StepProgressed):
            runner[0].stop.set("the test wants it")

    runner.append(Runner(settings, stop_in_the_middle))
    with pytest.raises(Stopped):
        runner[0].recheck("content")
    assert bench.record("preflight").state is StepState.STOPPED
    assert set(TITLES) - set(came_out(bench)) == {"content"}


def test_a_check_alone_wants_a_name_that_there_is_and_a_preflight_before_it(tmp_path: Path) -> None:
    (tmp_path / "site" / ".state").mkdir(parents=True)
    bench = Bench(Settings(site=SiteSettings(root=tmp_path / "site"), state_dir=tmp_path / "state"))
    with pytest.raises(SettingsError, match="Did you mean etcd"):
        bench.runner().recheck("etdc")
    with pytest.raises(Blocked, match="Run a whole preflight"):
        bench.runner().recheck("etcd")
    assert not bench.findings("preflight")
