from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from automerge.core import ROOT, Document, ObjType, ScalarType

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Stopped
from canswarm_tui.engine.journal import FindingStatus
from canswarm_tui.engine.settings import EngineSettings, Settings, SiteSettings
from canswarm_tui.engine.step import Finding, Keep, Kind, Level, Outcome, Verb, Verdict
from canswarm_tui.engine.steps import plan_store
from canswarm_tui.engine.steps.plan_store import PlanStore
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.v2.plan_document import store
from canswarm_tui.engine.v2.plan_document.rows import OP_COLUMNS
from tests.engine.contexts import make_context
from tests.engine.steps.running import Killed, kill_at

STEP = PlanStore()


class Migration:
    """One site and one journal; each verb has its own context, as the runner gives it."""

    def __init__(self, site: Path, state: Path) -> None:
        self.site, self.state = site, state
        state.mkdir(exist_ok=True)
        self.settings = Settings(site=SiteSettings(root=site), engine=EngineSettings(give_up_after_s=1.0))

    @property
    def folder(self) -> Path:
        return self.site / ".state"

    def does(
        self,
        act: Callable[[StepContext], object],
        verb: Verb = Verb.RUN,
        fault: Callable[[str], None] | None = None,
        stop: StopSignal | None = None,
    ) -> object:
        shutil.rmtree(self.state / "scratch", ignore_errors=True)
        ctx = make_context(self.state, self.settings, step="plan-store", verb=verb, fault=fault, stop=stop)
        try:
            done = act(ctx)
            ctx.journal.sweep_out(verb, ctx.sweep)
            self.findings = [f.finding for f in ctx.journal.findings() if f.status is FindingStatus.OPEN]
            return done
        finally:
            ctx.journal.close()

    def run(self, fault: Callable[[str], None] | None = None, stop: StopSignal | None = None) -> Outcome:
        done = self.does(STEP.run, fault=fault, stop=stop)
        assert isinstance(done, Outcome)
        return done

    def verify(self) -> Verdict:
        done = self.does(STEP.verify, Verb.VERIFY)
        assert isinstance(done, Verdict)
        return done

    def undo(self) -> Outcome:
        done = self.does(STEP.undo, Verb.UNDO)
        assert isinstance(done, Outcome)
        return done

    def resolve(self, finding: Finding, keep: Keep) -> None:
        self.does(lambda ctx: STEP.resolve(ctx, finding, keep))

    def contents(self) -> dict[str, bytes]:
        files = [self.folder / "plan_automerge.bin", *(self.folder / "plan_automerge").glob("*")]
        return {path.name: path.read_bytes() for path in files if path.exists()}

    def codes(self) -> list[str]:
        return sorted(f.code for f in self.findings)

    def sql(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.folder / "plan.db") as db:
            db.execute(statement, values)
        db.close()

    def add_op(self, op_id: str, op_type: str = "ANNOTATE", task_id: str = "global", payload: str = "{}") -> None:
        self.sql("INSERT INTO ops VALUES (?, 't', 9, 'key', ?, ?, ?, 1)", op_id, op_type, task_id, payload)


@pytest.fixture(params=["one document", "partitioned"])
def migration(
    request: pytest.FixtureRequest, v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Migration:
    if request.param == "partitioned":
        monkeypatch.setattr(plan_store, "choose_partitions", lambda *_: 3)
    return Migration(v1_site, tmp_path / "state")


@pytest.fixture
def one(v1_site: Path, tmp_path: Path) -> Migration:
    return Migration(v1_site, tmp_path / "state")


def test_a_real_site_is_migrated_and_proved_without_a_finding(migration: Migration) -> None:
    notes = migration.does(lambda ctx: [f.level for f in STEP.check(ctx)], Verb.CHECK)
    assert notes in ([], [Level.NOTE])
    done = migration.run()
    assert (done.created, done.unchanged, done.quarantined, done.conflicts) == (578, 0, 0, 0)
    assert done.size_bytes == sum(len(content) for content in migration.contents().values())
    verdict = migration.verify()
    assert verdict.passed
    assert [(c.compared, c.equal) for c in verdict.comparisons] == [(578, 578), (79, 79), (12, 12)]
    assert migration.findings == []
    assert done.figures["ops a second"]
    assert done.figures["document bytes"] == done.size_bytes
    assert any(name.startswith("heads") for name in done.figures)
    for name in ("heads", "heads of all documents"):
        assert verdict.figures.get(name) == done.figures.get(name)


def test_a_second_run_writes_nothing_and_says_so(migration: Migration) -> None:
    migration.run()
    before = {p: p.stat().st_mtime_ns for p in (migration.folder, *migration.folder.rglob("plan_automerge*/**"))}
    again = migration.run()
    assert (again.created, again.unchanged, again.size_bytes) == (0, 578, 0)
    assert "nothing new" in again.summary
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_later_run_appends_what_is_new_and_the_views_follow(migration: Migration) -> None:
    migration.run()
    migration.add_op("new-1", "ADD_TASK", "new task", '{"type": "späte"}')
    migration.sql("INSERT INTO tasks VALUES ('new task', 't', 'späte', 'DRAFT', 9)")
    assert migration.run().created == 1
    assert migration.verify().passed


def test_a_plan_names_counts_and_moves_with_the_site(migration: Migration) -> None:
    first = migration.does(STEP.plan, Verb.CHECK)
    assert migration.does(STEP.plan, Verb.CHECK) == first
    assert "578" in str(first)
    assert migration.contents() == {}
    migration.add_op("new")
    assert migration.does(STEP.plan, Verb.CHECK) != first


BOUNDARIES = ["before:intent", "after:intent", "before:receipts", "after:receipts", "after:fact", "before:fact"]
_KILLED = """
import os, sys
from pathlib import Path
from canswarm_tui.engine.steps import plan_store
from tests.engine.steps.test_plan_store import Migration
if int(sys.argv[4]):
    plan_store.choose_partitions = lambda *_: int(sys.argv[4])
def fault(boundary):
    if boundary == sys.argv[3]:
        os.kill(os.getpid(), 9)
Migration(Path(sys.argv[1]), Path(sys.argv[2])).run(fault=fault)
"""


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_at_each_boundary_the_next_run_ends_as_an_undisturbed_one(
    migration: Migration, tmp_path: Path, boundary: str
) -> None:
    calm = Migration(tmp_path / "calm-site", tmp_path / "calm-state")
    shutil.copytree(migration.site, calm.site)
    calm.run()
    partitions = str(len(calm.contents()) - 1)
    command = [sys.executable, "-c", _KILLED, str(migration.site), str(migration.state), boundary, partitions]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    migration.run()
    assert migration.contents() == calm.contents()
    assert migration.verify().passed
    assert migration.undo().removed == len(calm.contents())
    assert migration.contents() == {}


def test_killed_between_two_renames_the_next_run_finishes_them(
    v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_store, "choose_partitions", lambda *_: 3)
    migration = Migration(v1_site, tmp_path / "state")

    class Killed(BaseException):
        pass

    real = store.publish

    def publish(done: store.Preparation) -> None:
        real(replace(done, files=done.files[:2]))
        raise Killed

    monkeypatch.setattr(store, "publish", publish)
    with pytest.raises(Killed):
        migration.run()
    assert len([name for name in migration.contents() if name.endswith(".bin")]) == 2
    monkeypatch.setattr(store, "publish", real)
    migration.run()
    assert migration.verify().passed
    assert migration.undo().removed == 4


def test_a_stop_leaves_the_site_without_a_trace_and_the_run_can_go_on(one: Migration) -> None:
    stop = StopSignal()
    stop.set("by a test")
    with pytest.raises(Stopped):
        one.run(stop=stop)
    assert one.contents() == {}
    assert one.run().created == 578


def test_ops_that_can_not_be_migrated_are_quarantined_by_name_and_the_rest_goes_on(migration: Migration) -> None:
    migration.add_op("half", payload='{"half')
    migration.sql("INSERT INTO ops VALUES ('blob', 't', 1, 'key', 'ANNOTATE', 'x', x'00ff', 1)")
    done = migration.run()
    assert (done.created, done.quarantined) == (578, 2)
    assert {f.code for f in migration.findings} == {"plan.op_unfit", "plan.bad_row"}
    assert {f.kind for f in migration.findings} == {Kind.QUARANTINE}
    assert any("half" in f.subject for f in migration.findings)
    assert migration.verify().passed


def test_a_document_that_nobody_announced_is_a_conflict_and_is_never_overwritten(one: Migration) -> None:
    foreign = one.folder / "plan_automerge.bin"
    foreign.write_bytes(b"somebody's")
    done = one.run()
    assert (done.conflicts, done.created) == (1, 0)
    assert foreign.read_bytes() == b"somebody's"
    assert one.codes() == ["plan.conflict"]
    one.resolve(one.findings[0], Keep.SITE)
    assert one.verify().passed
    assert one.undo().removed == 1
    assert foreign.read_bytes() == b"somebody's"


@pytest.mark.parametrize("boundary", [("before:fates", 0), ("before:fates", 1), ("before:replaced", 0)])
def test_an_undo_that_is_killed_anywhere_puts_the_replaced_document_back_when_it_is_called_again(
    one: Migration, boundary: tuple[str, int]
) -> None:
    foreign = one.folder / "plan_automerge.bin"
    foreign.write_bytes(b"somebody's")
    one.run()
    one.resolve(one.findings[0], Keep.SITE)
    with pytest.raises(Killed):
        one.does(STEP.undo, Verb.UNDO, fault=kill_at(*boundary))
    assert one.undo().conflicts == 0
    assert one.codes() == []
    assert foreign.read_bytes() == b"somebody's"


def test_a_resolve_that_is_killed_before_it_wrote_leaves_the_document_to_an_undo(one: Migration) -> None:
    foreign = one.folder / "plan_automerge.bin"
    foreign.write_bytes(b"somebody's")
    one.run()
    finding = one.findings[0]
    with pytest.raises(Killed):
        one.does(lambda ctx: STEP.resolve(ctx, finding, Keep.SITE), fault=kill_at("after:replaced"))
    assert one.undo().conflicts == 0
    assert foreign.read_bytes() == b"somebody's"


def test_an_undo_counts_a_document_that_took_the_place_of_a_replaced_one(one: Migration) -> None:
    foreign = one.folder / "plan_automerge.bin"
    foreign.write_bytes(b"somebody's")
    one.run()
    one.resolve(one.findings[0], Keep.SITE)
    foreign.write_bytes(b"changed since")
    assert one.undo().conflicts == 1
    assert one.codes() == ["plan.kept"]
    assert foreign.read_bytes() == b"changed since"


def test_a_person_may_keep_the_document_that_is_there(one: Migration) -> None:
    foreign = one.folder / "plan_automerge.bin"
    foreign.write_bytes(b"somebody's")
    one.run()
    one.resolve(one.findings[0], Keep.TARGET)
    assert one.run().conflicts == 0
    assert foreign.read_bytes() == b"somebody's"
    one.undo()
    assert foreign.read_bytes() == b"somebody's"


def _changed(one: Migration, change: Callable[[Document, bytes], None]) -> None:
    path = one.folder / "plan_automerge.bin"
    doc = Document.load(path.read_bytes())
    doc.set_actor(bytes.fromhex(json.loads(_fact(one))["actor"]))
    ops = doc.get(ROOT, "ops")
    assert ops is not None
    change(doc, ops[1])
    path.write_bytes(doc.save())


def _fact(one: Migration) -> str:
    with sqlite3.connect(one.state / "journal.db") as db:
        (value,) = db.execute("SELECT value FROM facts WHERE name = 'form'").fetchone()
    return str(value)


def _change_a_field(doc: Document, ops: bytes) -> None:
    with doc.transaction() as tx:
        tx.put(doc.values(ops)[7][1], "lamport", ScalarType.Int, 12345)


def _delete_an_op(doc: Document, ops: bytes) -> None:
    with doc.transaction() as tx:
        tx.delete(ops, 7)


def _repeat_as_new(doc: Document, ops: bytes) -> None:
    with doc.transaction() as tx:
        made = tx.insert_object(ops, 3, ObjType.Map)
        cells: tuple[str | int, ...] = ("invented", "t", 1, "k", "ANNOTATE", "x", "{}", 1)
        for column, value in zip(OP_COLUMNS, cells, strict=True):
            tx.put(made, column, ScalarType.Int if isinstance(value, int) else ScalarType.Str, value)


def _swap(doc: Document, ops: bytes) -> None:
    with doc.transaction() as tx:
        first = {k: v for k in doc.keys(doc.values(ops)[0][1]) if (v := doc.get(doc.values(ops)[0][1], k))}
        tx.delete(ops, 0)
        made = tx.insert_object(ops, 5, ObjType.Map)
        for key, (scalar, _) in first.items():
            assert isinstance(scalar, tuple)
            tx.put(made, key, scalar[0], scalar[1])


def _change_a_type(doc: Document, ops: bytes) -> None:
    with doc.transaction() as tx:
        tx.put(doc.values(ops)[7][1], "lamport", ScalarType.F64, 1.0)


def _add_a_column(doc: Document, ops: bytes) -> None:
    with doc.transaction() as tx:
        tx.put(doc.values(ops)[7][1], "extra", ScalarType.Int, 1)


def _change_a_task(doc: Document, _ops: bytes) -> None:
    tasks = doc.get(ROOT, "tasks")
    assert tasks is not None
    with doc.transaction() as tx:
        task = doc.get(tasks[1], doc.keys(tasks[1])[0])
        assert task is not None
        tx.put(task[1], "state", ScalarType.Str, "OTHER")


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (_change_a_field, ["plan.op_differs"]),
        (_change_a_type, ["plan.op_differs"]),
        (_add_a_column, ["plan.op_extra", "plan.op_missing"]),
        (_delete_an_op, ["plan.op_missing"]),
        (_repeat_as_new, ["plan.op_extra"]),
        (_swap, ["plan.order"]),
        (_change_a_task, ["plan.task_differs"]),
    ],
)
def test_verify_names_every_difference(
    one: Migration, change: Callable[[Document, bytes], None], codes: list[str]
) -> None:
    one.run()
    _changed(one, change)
    verdict = one.verify()
    assert not verdict.passed
    assert one.codes() == sorted([*codes, "plan.changed"])


@pytest.mark.parametrize(
    ("change", "columns"), [(_change_a_field, "lamport"), (_change_a_type, "lamport"), (_change_a_task, "state")]
)
def test_a_difference_tells_just_the_columns_that_differ(
    one: Migration, change: Callable[[Document, bytes], None], columns: str
) -> None:
    one.run()
    _changed(one, change)
    one.verify()
    told = [f.happened for f in one.findings if f.code.endswith("_differs")]
    assert told == [f"v1 and the plan document differ in {columns}"]


def test_a_document_that_is_damaged_or_gone_is_told_by_verify(one: Migration) -> None:
    one.run()
    path = one.folder / "plan_automerge.bin"
    path.write_bytes(path.read_bytes()[:100])
    assert not one.verify().passed
    assert one.codes() == ["plan.damaged"]
    path.unlink()
    assert not one.verify().passed
    assert one.codes() == ["plan.missing"]
    one.run()
    assert one.verify().passed


def test_a_document_that_was_missing_and_is_there_again_unchanged_is_ours_as_before(one: Migration) -> None:
    one.run()
    path = one.folder / "plan_automerge.bin"
    aside = path.rename(one.folder.parent / "aside")
    assert not one.verify().passed
    aside.rename(path)
    assert one.run().conflicts == 0
    assert one.verify().passed
    assert one.codes() == []
    assert one.undo().removed == 1


def test_what_v2_adds_later_is_no_difference(one: Migration) -> None:
    one.run()
    path = one.folder / "plan_automerge.bin"
    doc = Document.load(path.read_bytes())
    ops = doc.get(ROOT, "ops")
    assert ops is not None
    _repeat_as_new(doc, ops[1])
    path.write_bytes(doc.save())
    verdict = one.verify()
    assert verdict.passed
    assert verdict.figures["ops of others"] == 1


def test_undo_keeps_a_document_that_changed_since(one: Migration) -> None:
    one.run()
    path = one.folder / "plan_automerge.bin"
    path.write_bytes(b"changed")
    done = one.undo()
    assert (done.removed, done.conflicts) == (0, 1)
    assert one.codes() == ["plan.kept"]
    assert path.read_bytes() == b"changed"


def test_after_an_undo_the_site_is_as_before_and_can_be_migrated_again(migration: Migration) -> None:
    before = sorted(p.name for p in migration.folder.iterdir())
    migration.run()
    first = migration.contents()
    migration.undo()
    assert sorted(p.name for p in migration.folder.iterdir()) == before
    migration.run()
    assert migration.contents() == first


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written_blocks_before_the_run(one: Migration) -> None:
    one.folder.chmod(0o500)
    found = one.does(lambda ctx: list(STEP.check(ctx)), Verb.CHECK)
    assert isinstance(found, list)
    assert [f.level for f in found] == [Level.BLOCKER]


def test_an_empty_plan_store_gives_an_empty_document(one: Migration) -> None:
    for table in ("ops", "tasks", "edges"):
        one.sql(f"DELETE FROM {table}")
    assert one.run().created == 0
    assert one.verify().passed
    one.add_op("first")
    assert one.run().created == 1
    assert one.verify().passed
