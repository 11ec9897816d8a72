"""The loop over steps, driven with steps of the test's own: states, gates, findings, requests, plans and reports."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.decisions_of_people import accept_finding
from canswarm_tui.engine.errors import (
    Blocked,
    Defect,
    EngineError,
    ExitCode,
    NoSpace,
    SettingsError,
    Stopped,
    Unreachable,
)
from canswarm_tui.engine.events import Event, Said, StepEnded, StepProgressed
from canswarm_tui.engine.journal import (
    Batch,
    FindingStatus,
    Journal,
    Receipt,
    ReceiptFate,
    StepRecord,
    StepState,
    StoredFinding,
)
from canswarm_tui.engine.plan import plan_hash
from canswarm_tui.engine.rate import limit_text
from canswarm_tui.engine.records import Wanted
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import EtcdSettings, S3Settings, Settings, SiteSettings
from canswarm_tui.engine.step import Comparison, Finding, Keep, Kind, Level, Outcome, Progress, Verdict
from canswarm_tui.engine.steps.verification import FinalVerification

SECRET = "s3cr3t-of-the-test"
HOSTILE = "<script>alert(1)</script> | **bold** `code` \x1b[31m\n# head \u202e"


def finding(
    subject: str = "key", *, level: Level = Level.WARNING, kind: Kind = Kind.QUARANTINE, fact: str = "a"
) -> Finding:
    return Finding("test.odd", level, kind, subject, "it is odd", "look at it", {"fact": fact})


@dataclass
class Fake:
    """A step that does what the test sets."""

    checked: tuple[Finding, ...] = ()
    found: tuple[Finding, ...] = ()
    verified: tuple[Finding, ...] = ()
    verdict: Verdict = field(default_factory=lambda: Verdict((Comparison("keys", "by content", 3, 3),), 0))
    outcome: Outcome = field(default_factory=lambda: Outcome(created=3))
    running: Callable[[StepContext], None] = lambda _ctx: None
    verifying: Callable[[StepContext], None] = lambda _ctx: None
    planned: tuple[str, ...] = ("3 keys",)

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        return self.planned

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        return self.checked

    def run(self, ctx: StepContext) -> Outcome:
        self.running(ctx)
        ctx.found(*self.found)
        return self.outcome

    def verify(self, ctx: StepContext) -> Verdict:
        self.verifying(ctx)
        ctx.found(*self.verified)
        return self.verdict

    def undo(self, ctx: StepContext) -> Outcome:
        self.running(ctx)
        return Outcome(removed=3)


@dataclass
class Bench:
    """A runner over fakes, and its journal afterwards."""

    settings: Settings
    fakes: dict[str, Fake] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def runner(self) -> Runner:
        steps = lambda name: self.fakes.setdefault(name, Fake())  # noqa: E731 - as the registry is given
        return Runner(self.settings, self.events.append, steps=steps)

    def journal(self) -> Journal:
        return Journal.join(self.runner().place.journal)

    def record(self, step: str) -> StepRecord:
        journal = self.journal()
        try:
            return journal.records().get(step, StepRecord(step))
        finally:
            journal.close()

    def findings(self) -> list[StoredFinding]:
        journal = self.journal()
        try:
            return journal.findings(with_gone=True)
        finally:
            journal.close()

    def accept(self, reason: str = "known") -> None:
        journal = self.journal()
        try:
            for stored in journal.findings():
                accept_finding(journal, stored.id, "somebody", reason)
        finally:
            journal.close()

    def report(self, suffix: str) -> str:
        return (self.runner().place.reports / f"report.{suffix}").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "site" / ".state").mkdir(parents=True)
    name = tmp_path.name
    return Bench(
        Settings(
            site=SiteSettings(root=tmp_path / "site", redis_url=f"redis://user:{SECRET}@127.0.0.1:6379/0"),
            etcd=EtcdSettings(prefix=f"/test/{name}/", password=SecretStr(SECRET), user="somebody"),
            s3=S3Settings(bucket="test-runner", secret_key=SecretStr(SECRET)),
            state_dir=tmp_path / "state",
        )
    )


def fail(error: BaseException) -> Callable[[StepContext], None]:
    def running(_ctx: StepContext) -> None:
        raise error

    return running


def test_everything_in_order_ends_proved_and_an_undo_takes_the_final_verdict_back(bench: Bench) -> None:
    assert bench.runner().run().exit_code is ExitCode.DONE
    assert bench.record("decisions").state is StepState.PROVED
    assert bench.record("verification").state is StepState.PROVED
    bench.runner().undo("decisions")
    assert bench.record("decisions").state is StepState.UNDONE
    assert bench.record("verification").state is StepState.NOT_STARTED
    assert bench.record("blobs-minio").state is StepState.PROVED


def test_a_difference_that_is_found_later_takes_the_final_verdict_back(bench: Bench) -> None:
    bench.runner().run()
    bench.fakes["decisions"] = Fake(
        verdict=Verdict((Comparison("keys", "by content", 3, 2),), 1), verified=(finding(),)
    )
    assert bench.runner().verify(["decisions"]).exit_code is ExitCode.ATTENTION
    assert bench.record("verification").state is StepState.NOT_STARTED
    del bench.fakes["decisions"]
    assert bench.runner().verify().exit_code is ExitCode.DONE
    assert bench.record("verification").state is StepState.PROVED


def test_verifying_everything_says_in_the_final_verdict_what_was_found(bench: Bench) -> None:
    bench.runner().run()
    before = bench.record("verification").changed_at
    bench.fakes["decisions"] = Fake(
        verdict=Verdict((Comparison("keys", "by content", 3, 2),), 1), verified=(finding(),)
    )
    assert bench.runner().verify().exit_code is ExitCode.ATTENTION
    final = bench.record("verification")
    assert final.state is StepState.NEEDS_ATTENTION
    assert final.changed_at != before


def test_a_value_that_a_person_has_replaced_takes_the_final_verdict_back(bench: Bench) -> None:
    class Resolving(Fake):
        def resolve(self, ctx: StepContext, _finding: Finding, _keep: Keep) -> Outcome:
            ours = Receipt(b"\x00", bytes(32), 0, ReceiptFate.REPLACED, "", 0)
            ctx.journal.keep_replaced(ours, b"the target's value")
            return Outcome(created=1)

    conflict = replace(finding(kind=Kind.CONFLICT), details={"key": "00"})
    bench.fakes["decisions"] = Resolving(found=(conflict,))
    bench.runner().run()
    bench.accept()
    bench.runner().run()
    assert bench.record("verification").state is StepState.PROVED
    (stored,) = bench.findings()
    bench.runner().resolve(stored, Keep.SITE, "somebody", "on second thoughts")
    assert bench.record("verification").state is StepState.NOT_STARTED


def test_a_verify_that_ends_early_leaves_no_proof_beside_the_differences_it_found(bench: Bench) -> None:
    bench.runner().run()

    class Breaking(Fake):
        def verify(self, ctx: StepContext) -> Verdict:
            ctx.found(finding())
            raise Unreachable("etcd", "it does not answer", "start it")

    bench.fakes["decisions"] = Breaking()
    with pytest.raises(Unreachable):
        bench.runner().verify(["decisions"])
    assert bench.record("decisions").state is StepState.NEEDS_ATTENTION
    assert bench.record("verification").state is StepState.NOT_STARTED


class Killed(BaseException):
    """Ends a step where it stands: nothing of ours has time to write down how it ended."""


def test_a_verify_that_is_killed_leaves_no_proof_beside_the_differences_it_found(bench: Bench) -> None:
    bench.runner().run()

    class Dying(Fake):
        def verify(self, ctx: StepContext) -> Verdict:
            ctx.found(finding())
            raise Killed

    bench.fakes["decisions"] = Dying()
    with pytest.raises(Killed):
        bench.runner().verify(["decisions"])
    assert bench.record("decisions").state is StepState.NEEDS_ATTENTION
    assert bench.record("verification").state is StepState.NOT_STARTED


def test_a_run_that_is_killed_after_its_first_intent_leaves_no_final_proof(bench: Bench) -> None:
    bench.runner().run()
    wanted = (Wanted(b"key", bytes(32), 3),)

    def dying(ctx: StepContext) -> None:
        ctx.journal.commit(opened=[Batch(ctx.journal.next_batch_number(), "tag", wanted)])
        raise Killed

    bench.fakes["decisions"] = Fake(running=dying)
    with pytest.raises(Killed):
        bench.runner().run(["decisions"])
    assert bench.record("verification").state is StepState.NOT_STARTED


@pytest.mark.parametrize("error", [Stopped("step", "a signal", "go on"), Unreachable("etcd", "it is away", "mend it")])
def test_a_run_that_ends_in_its_verification_is_stopped_and_what_needs_it_waits(
    bench: Bench, error: EngineError
) -> None:
    bench.runner().run(["preflight"])
    bench.fakes["backup"] = Fake(verifying=fail(error))
    with pytest.raises(type(error)):
        bench.runner().run(["backup"])
    assert bench.record("backup").state is StepState.STOPPED
    with pytest.raises(Blocked, match="canswarm-tui run backup"):
        bench.runner().run(["decisions"])
    bench.fakes["backup"] = Fake()
    bench.runner().run(["backup"])
    assert bench.record("backup").state is StepState.PROVED
    bench.fakes["backup"] = Fake(verifying=fail(error))
    with pytest.raises(type(error)):
        bench.runner().verify(["backup"])
    assert bench.record("backup").state is StepState.PROVED  # nothing has moved, and its last verdict stands


def test_while_a_run_is_verified_its_step_is_running(bench: Bench) -> None:
    seen: list[StepState] = []
    bench.fakes["preflight"] = Fake(verifying=lambda ctx: seen.append(ctx.journal.record().state))
    bench.runner().run(["preflight"])
    assert seen == [StepState.RUNNING]


def test_an_undo_of_what_was_never_done_or_is_undone_already_says_so_and_calls_nothing_undone(bench: Bench) -> None:
    bench.runner().undo("decisions")
    assert [e.text for e in bench.events if isinstance(e, Said)] == [
        "nothing to undo: Consensus: Redis → etcd is not started"
    ]
    assert not any(isinstance(event, StepEnded) for event in bench.events)
    assert bench.record("decisions").state is StepState.NOT_STARTED
    bench.runner().run()
    bench.runner().undo("decisions")
    bench.events.clear()
    bench.runner().undo("decisions")
    (said,) = [event.text for event in bench.events if isinstance(event, Said)]
    assert said == "nothing to undo: Consensus: Redis → etcd is undone"


@pytest.mark.parametrize("name", ["preflight", "verification"])
def test_a_step_that_only_looks_keeps_its_state_when_it_is_to_be_undone(bench: Bench, name: str) -> None:
    bench.runner().run()
    before = bench.record(name)
    bench.events.clear()
    bench.runner().undo(name)
    (said,) = [event.text for event in bench.events if isinstance(event, Said)]
    assert said.endswith("only looks and writes nothing")
    assert bench.record(name) == before


def test_an_undo_that_is_killed_leaves_no_proof_of_what_it_has_begun_to_remove(bench: Bench) -> None:
    bench.runner().run()

    class Dying(Fake):
        def undo(self, ctx: StepContext) -> Outcome:
            ctx.journal.mark_write()
            raise Killed

    bench.fakes["decisions"] = Dying()
    with pytest.raises(Killed):
        bench.runner().undo("decisions")
    assert bench.record("decisions").state is StepState.RUNNING
    assert bench.record("verification").state is StepState.NOT_STARTED
    del bench.fakes["decisions"]
    bench.runner().undo("decisions")
    assert bench.record("decisions").state is StepState.UNDONE


def test_an_undo_that_reaches_nothing_leaves_the_step_as_it_was_and_one_that_has_begun_leaves_it_stopped(
    bench: Bench,
) -> None:
    bench.runner().run()

    class Away(Fake):
        touches = False

        def undo(self, ctx: StepContext) -> Outcome:
            if self.touches:
                ctx.journal.mark_write()
            raise Unreachable("etcd", "it does not answer", "start it")

    away = bench.fakes["decisions"] = Away()
    for touches, state, final in (
        (False, StepState.PROVED, StepState.PROVED), (True, StepState.STOPPED, StepState.NOT_STARTED),
    ):  # fmt: skip
        away.touches = touches
        with pytest.raises(Unreachable):
            bench.runner().undo("decisions")
        assert bench.record("decisions").state is state
        assert bench.record("verification").state is final


def test_what_an_undo_had_to_keep_waits_until_a_verify_finds_everything_equal(bench: Bench) -> None:
    bench.runner().run()

    class Keeping(Fake):
        def undo(self, ctx: StepContext) -> Outcome:
            ctx.found(finding("kept", kind=Kind.CONFLICT))
            return Outcome(removed=2, conflicts=1)

    bench.fakes["decisions"] = Keeping()
    bench.runner().undo("decisions")
    assert bench.record("decisions").state is StepState.NEEDS_ATTENTION
    assert bench.runner().run().exit_code is ExitCode.DONE
    assert bench.record("decisions").state is StepState.PROVED
    assert [f.status for f in bench.findings()] == [FindingStatus.GONE]


def test_a_verify_of_nothing_is_refused_and_proves_nothing(bench: Bench) -> None:
    with pytest.raises(Blocked, match="nothing has run yet"):
        bench.runner().verify()


def test_a_final_verification_that_is_asked_for_by_itself_reads_every_target(bench: Bench) -> None:
    read: list[str] = []
    for name in ("decisions", "blobs-minio"):
        bench.fakes[name] = Fake(verifying=lambda ctx: read.append(ctx.step))
    final = FinalVerification()
    steps = lambda name: final if name == "verification" else bench.fakes.setdefault(name, Fake())  # noqa: E731
    Runner(bench.settings, bench.events.append, steps=steps).run()
    assert sorted(read) == ["blobs-minio", "decisions"]
    Runner(bench.settings, bench.events.append, steps=steps).run(["verification"])
    assert sorted(read) == ["blobs-minio", "blobs-minio", "decisions", "decisions"]


def test_a_state_folder_within_what_is_v1s_is_refused(bench: Bench) -> None:
    root = bench.settings.site.require_root()
    bench.settings = bench.settings.model_copy(update={"state_dir": root / ".state" / "tui"})
    with pytest.raises(SettingsError, match="which is v1's"):
        bench.runner().run(["decisions"])
    assert not (root / ".state" / "tui").exists()


def test_a_step_is_refused_before_its_needs_and_undone_only_after_what_stands_on_it(bench: Bench) -> None:
    with pytest.raises(Blocked, match="canswarm-tui run backup"):
        bench.runner().run(["decisions"])
    bench.runner().run()
    with pytest.raises(Blocked, match="canswarm-tui undo blobs-ipfs"):
        bench.runner().undo("blobs-minio")
    bench.runner().undo("blobs-ipfs")
    bench.runner().undo("blobs-minio")
    with pytest.raises(Blocked, match="has not run yet"):
        bench.runner().verify(["blobs-minio"])


def test_an_unknown_step_names_the_nearest(bench: Bench) -> None:
    with pytest.raises(SettingsError, match="Did you mean decisions"):
        bench.runner().run(["decisons"])


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (Unreachable("etcd", "no answer", "start it"), Unreachable),
        (Stopped("run", "stopped: asked to", "go on"), Stopped),
        (ZeroDivisionError("boom"), Defect),
    ],
)
def test_an_error_is_in_journal_and_events_and_the_same_command_goes_on(
    bench: Bench, error: Exception, seen: type[EngineError]
) -> None:
    bench.fakes["preflight"] = Fake(running=fail(error))
    with pytest.raises(seen):
        bench.runner().run(["preflight"])
    record = bench.record("preflight")
    assert record.state is StepState.STOPPED
    assert record.error is not None
    assert isinstance(bench.events[-1], StepEnded)
    assert isinstance(bench.events[-1].error, seen)
    del bench.fakes["preflight"]
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.DONE
    assert bench.record("preflight").error is None


def test_a_blocker_forbids_the_run_and_can_not_be_accepted(bench: Bench) -> None:
    bench.fakes["preflight"] = Fake(checked=(finding(level=Level.BLOCKER, kind=Kind.CONDITION),))
    with pytest.raises(Blocked, match="Look at it"):
        bench.runner().run()
    assert bench.record("preflight").outcome is None
    with pytest.raises(SettingsError, match="blocker"):
        bench.accept()
    bench.fakes["preflight"] = Fake()
    assert bench.runner().run().exit_code is ExitCode.DONE
    assert [f.status for f in bench.findings()] == [FindingStatus.GONE]


def test_what_was_accepted_stays_so_until_its_facts_change(bench: Bench) -> None:
    bench.fakes["preflight"] = Fake(found=(finding(),))
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.ATTENTION
    assert bench.record("preflight").state is StepState.NEEDS_ATTENTION
    with pytest.raises(SettingsError, match="no reason"):
        bench.accept(" ")
    bench.accept()
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.DONE
    bench.fakes["preflight"] = Fake(found=(finding(fact="b"),))
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.ATTENTION
    (stored,) = bench.findings()
    assert (stored.status, stored.finding.details["fact"]) == (FindingStatus.OPEN, "b")
    bench.fakes["preflight"] = Fake()
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.DONE


@pytest.mark.parametrize(("fact", "code"), [("a", ExitCode.DONE), ("b", ExitCode.ATTENTION)])
def test_what_was_accepted_before_the_first_verify_is_open_again_when_that_sees_something_else(
    bench: Bench, fact: str, code: ExitCode
) -> None:
    class Stopping(Fake):
        def verify(self, ctx: StepContext) -> Verdict:
            raise Stopped("the verify", "asked to", "go on")

    bench.fakes["preflight"] = Stopping(found=(finding(kind=Kind.CONFLICT),))
    with pytest.raises(Stopped):
        bench.runner().run(["preflight"])
    bench.accept()
    unlike = Verdict((Comparison("keys", "by content", 3, 2),), 1)
    bench.fakes["preflight"] = Fake(verified=(finding(kind=Kind.CONFLICT, fact=fact),), verdict=unlike)
    assert bench.runner().verify(["preflight"]).exit_code is code


def test_a_difference_that_no_finding_names_is_a_defect(bench: Bench) -> None:
    bench.fakes["preflight"] = Fake(verdict=Verdict((Comparison("keys", "by content", 3, 2),), 1))
    with pytest.raises(Defect, match="no finding names"):
        bench.runner().run(["preflight"])


def test_a_write_that_a_full_disk_refuses_is_no_defect_though_it_names_no_file(bench: Bench) -> None:
    def refused(_ctx: StepContext) -> None:
        with Path("/dev/full").open("w") as full:
            full.write("x")

    bench.fakes["preflight"] = Fake(running=refused)
    with pytest.raises(NoSpace, match=f"^{bench.settings.state_dir}.*No space left"):
        bench.runner().run(["preflight"])


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, ExitCode.SETTINGS), (errno.ENOSPC, ExitCode.UNREACHABLE)])
def test_a_right_or_a_disk_that_nobody_foresaw_is_named_and_is_no_defect(
    bench: Bench, number: int, code: ExitCode
) -> None:
    def refused(_ctx: StepContext) -> None:
        raise OSError(number, os.strerror(number), "/somewhere/file")

    bench.fakes["preflight"] = Fake(running=refused)
    with pytest.raises(EngineError, match=f"^/somewhere/file: .*{os.strerror(number)}") as told:
        bench.runner().run(["preflight"])
    assert told.value.exit_code is code
    assert bench.record("preflight").state is StepState.STOPPED


def test_a_skipped_step_is_told_as_skipped_and_never_as_proved(bench: Bench) -> None:
    bench.fakes["v1-tests"] = Fake(outcome=Outcome(skipped=True, summary="not configured"))
    assert bench.runner().run().exit_code is ExitCode.DONE
    assert bench.record("v1-tests").state is StepState.SKIPPED
    assert bench.record("v1-tests").verdict is None


def test_a_request_of_another_process_stops_the_live_run(bench: Bench) -> None:
    def until_stopped(ctx: StepContext) -> None:
        asking = bench.journal()
        asking.ask("stop", {"why": "asked to by somebody"})
        asking.close()
        assert ctx.stop.wait(20)
        ctx.stop.check()

    bench.fakes["preflight"] = Fake(running=until_stopped)
    with pytest.raises(Stopped, match="asked to by somebody"):
        bench.runner().run(["preflight"])
    del bench.fakes["preflight"]
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.DONE


def test_a_request_of_another_process_turns_the_limit_of_the_live_run_and_leaves_the_other_bound(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(
        update={"engine": bench.settings.engine.model_copy(update={"rate_limit_mib_s": 1.0})}
    )

    def turned(ctx: StepContext) -> None:
        for asked, expected in ((50.0, 50.0), (None, None)):
            asking = bench.journal()
            asking.ask("rate", {"records_s": asked, "who": "somebody"})
            asking.close()
            deadline = time.monotonic() + 20
            while not said(bench, limit_text(expected)) and time.monotonic() < deadline:
                ctx.stop.wait(0.02)
            assert (ctx.limit.records_s, ctx.limit.bytes_s) == (expected, 2.0**20)
            ctx.progress(Progress("copying", 1, 2), now=True)

    bench.fakes["preflight"] = Fake(running=turned)
    bench.runner().run(["preflight"])
    assert [e.progress.limit_records_s for e in bench.events if isinstance(e, StepProgressed)] == [50.0, None]


def said(bench: Bench, text: str) -> bool:
    return any(isinstance(event, Said) and event.text == f"{text}, as somebody asked" for event in bench.events)


def test_a_plan_has_the_same_hash_until_what_would_be_done_changes(bench: Bench) -> None:
    first = plan_hash(bench.settings, bench.runner().plan())
    assert plan_hash(bench.settings, bench.runner().plan()) == first
    bench.fakes["decisions"] = Fake(planned=("4 keys",))
    assert plan_hash(bench.settings, bench.runner().plan()) != first
    assert bench.record("decisions").state is StepState.NOT_STARTED


def test_the_report_shows_hostile_data_literally_and_names_every_difference(bench: Bench) -> None:
    named = tuple(finding(f"key-{n} {HOSTILE}", kind=Kind.DIFFERENCE, fact=HOSTILE) for n in range(20))
    bench.fakes["preflight"] = Fake(found=named, verdict=Verdict((Comparison(HOSTILE, "by content", 20, 0),), 20))
    assert bench.runner().run(["preflight"]).exit_code is ExitCode.ATTENTION
    subjects = {f["subject"] for f in json.loads(bench.report("json"))["findings"]}
    assert subjects == {f.subject for f in named}
    for page in (bench.report("html"), bench.report("md")):
        assert "<script" not in page.replace("\\<script", "")
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert all(f"key-{n} " in page.replace("\\", "") for n in range(20))
    assert "\n# head" not in bench.report("md")


def test_no_secret_is_in_anything_that_is_kept(bench: Bench) -> None:
    bench.runner().run()
    kept = [p for p in bench.runner().place.folder.rglob("*") if p.is_file()]
    assert {"journal.db", "report.json", "report.html"} <= {p.name for p in kept}
    assert [p.name for p in kept if SECRET.encode() in p.read_bytes()] == []
