from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SiteUnreadable, Unreachable
from canswarm_tui.engine.v1 import plan_open
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_rows import BadRow, Op

CRASH = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size=2")
db.execute("BEGIN")
db.execute("UPDATE ops SET payload_json = payload_json || ' '")
os.kill(os.getpid(), 9)
"""
WAL_CRASH = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("DELETE FROM ops WHERE rowid > 500")
os.kill(os.getpid(), 9)
"""


def plan(site: Path) -> Path:
    return site / ".state" / "plan.db"


@contextmanager
def edited(site: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(plan(site))) as db:
        yield db
        db.commit()


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if path.is_file()
    }


def crash(program: str, database: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program, str(database)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_real_plan_store_is_read_in_insertion_order(v1_site: Path, tmp_path: Path) -> None:
    db = PlanDb.open(plan(v1_site), tmp_path / "scratch")
    ops = list(db.ops())
    with edited(v1_site) as raw:
        assert [tuple(getattr(op, name) for name in Op.__slots__) for op in ops] == raw.execute(
            "SELECT rowid, * FROM ops ORDER BY rowid"
        ).fetchall()
    assert [op.rowid for op in ops] != sorted(op.rowid for op in ops if isinstance(op, Op) and op.lamport)[::-1]
    counts = db.counts()
    assert (counts.ops, counts.tasks, counts.edges, counts.threads, counts.last_rowid) == (578, 79, 12, 53, 578)
    assert counts.ops_by_type == {"ADD_TASK": 53, "ANNOTATE": 409, "LINK": 12, "STATE": 104}
    assert len(list(db.thread_ids())) == 53
    assert db.integrity_faults() == db.schema_faults() == ()


def test_reading_goes_on_after_a_rowid(v1_site: Path, tmp_path: Path) -> None:
    db = PlanDb.open(plan(v1_site), tmp_path)
    assert list(db.ops(570)) == list(db.ops())[570:]
    assert list(db.ops(578)) == []


def test_a_row_with_a_negative_rowid_is_not_lost(v1_site: Path, tmp_path: Path) -> None:
    with edited(v1_site) as raw:
        raw.execute("UPDATE ops SET rowid = -7 WHERE rowid = 300")
    assert next(PlanDb.open(plan(v1_site), tmp_path).ops()).rowid == -7


def test_tasks_and_edges_come_sorted_by_bytes(v1_site: Path, tmp_path: Path) -> None:
    with edited(v1_site) as raw:
        for name in ("\U0001f600", "\uffff", "é", "Z", "a"):
            raw.execute("INSERT INTO tasks VALUES (?, 't', NULL, 'DRAFT', 1)", (name,))
            raw.execute("INSERT INTO edges VALUES (?, ?)", (name, name))
    db = PlanDb.open(plan(v1_site), tmp_path)
    tasks = [task.task_id.encode() for task in db.tasks() if not isinstance(task, BadRow)]
    edges = [(edge.parent_id.encode(), edge.child_id.encode()) for edge in db.edges() if not isinstance(edge, BadRow)]
    assert (len(tasks), len(edges)) == (84, 17)
    assert tasks == sorted(tasks)
    assert edges == sorted(edges)


def test_a_value_of_the_wrong_type_is_told_and_the_rest_goes_on(v1_site: Path, tmp_path: Path) -> None:
    with edited(v1_site) as raw:
        raw.execute("UPDATE ops SET lamport = 1.5, thread_id = x'00' WHERE rowid = 10")
        raw.execute("UPDATE ops SET payload_json = CAST(x'ff7b7d' AS TEXT) WHERE rowid = 20")
        raw.execute("UPDATE ops SET op_id = NULL WHERE rowid = 30")
        raw.execute("UPDATE tasks SET last_lamport = 'soon' WHERE rowid = 1")
        raw.execute("UPDATE edges SET child_id = x'ff' WHERE rowid = 1")
    db = PlanDb.open(plan(v1_site), tmp_path)
    rows = list(db.ops())
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [(row.rowid, row.faults) for row in bad] == [
        (10, ("thread_id is blob", "lamport is real")),
        (20, ("payload_json is not UTF-8",)),
        (30, ("op_id is null",)),
    ]
    assert [row.rowid for row in rows] == list(range(1, 579))
    assert [row.faults for row in db.tasks() if isinstance(row, BadRow)] == [("last_lamport is text",)]
    assert [row.faults for row in db.edges() if isinstance(row, BadRow)] == [("child_id is blob",)]
    assert len(list(db.tasks())) == 79


def test_a_snapshot_equals_the_store_and_is_private(v1_site: Path, tmp_path: Path) -> None:
    db = PlanDb.open(plan(v1_site), tmp_path / "scratch")
    seen: list[tuple[int, int]] = []
    db.snapshot(tmp_path / "copy.db", lambda done, total: seen.append((done, total)))
    copy = PlanDb.open(tmp_path / "copy.db", tmp_path / "scratch")
    assert list(copy.ops()) == list(db.ops())
    assert list(copy.tasks()) == list(db.tasks())
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_snapshot_ends_although_somebody_keeps_writing(
    v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canswarm_tui.engine.v1.plan_db._STEP_PAGES", 5)
    steps: list[int] = []

    def write_meanwhile(done: int, _total: int) -> None:
        steps.append(done)
        with edited(v1_site) as raw:
            raw.execute("UPDATE ops SET timestamp_ns = timestamp_ns + 1 WHERE rowid = 1")

    PlanDb.open(plan(v1_site), tmp_path).snapshot(tmp_path / "copy.db", write_meanwhile)
    assert len(list(PlanDb.open(tmp_path / "copy.db", tmp_path).ops())) == 578
    assert len(steps) < 50


def test_a_hot_journal_is_rolled_back_in_a_copy_and_the_site_is_left_alone(v1_site: Path, tmp_path: Path) -> None:
    before = list(PlanDb.open(plan(v1_site), tmp_path).ops())
    crash(CRASH, plan(v1_site))
    assert (plan(v1_site).parent / "plan.db-journal").stat().st_size > 0
    state = state_of(plan(v1_site).parent)
    db = PlanDb.open(plan(v1_site), tmp_path / "scratch")
    assert db.recovered_from == plan_open.HOT_JOURNAL
    assert list(db.ops()) == before
    assert state_of(plan(v1_site).parent) == state


def test_a_write_ahead_log_is_read_in_a_copy_and_the_site_is_left_alone(v1_site: Path, tmp_path: Path) -> None:
    crash(WAL_CRASH, plan(v1_site))
    state = state_of(plan(v1_site).parent)
    db = PlanDb.open(plan(v1_site), tmp_path / "scratch")
    assert db.recovered_from == plan_open.WRITE_AHEAD_LOG
    assert db.counts().ops == 500
    assert state_of(plan(v1_site).parent) == state


def test_reading_leaves_no_trace_in_the_site(v1_site: Path, tmp_path: Path) -> None:
    plan(v1_site).chmod(0o444)
    state = state_of(plan(v1_site).parent)
    db = PlanDb.open(plan(v1_site), tmp_path / "scratch")
    assert len(list(db.ops())) == 578
    assert state_of(plan(v1_site).parent) == state


def test_a_writer_that_holds_the_file_is_a_transient_trouble(
    v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_open, "BUSY_TIMEOUT_S", 0.1)
    with edited(v1_site) as raw:
        raw.isolation_level = None
        raw.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable) as caught:
            PlanDb.open(plan(v1_site), tmp_path)
        assert caught.value.transient
        raw.execute("ROLLBACK")


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be looked at" * 30])
def test_what_is_no_plan_store_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.db"
    path.write_bytes(content)
    with pytest.raises(SiteUnreadable):
        list(PlanDb.open(path, tmp_path / "scratch").ops())


def test_a_missing_plan_store_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SiteUnreadable, match=r"site\.root"):
        PlanDb.open(tmp_path / "plan.db", tmp_path)


def test_a_foreign_schema_is_described(v1_site: Path, tmp_path: Path) -> None:
    with edited(v1_site) as raw:
        raw.executescript(
            "DROP TABLE edges; ALTER TABLE tasks ADD COLUMN note TEXT; ALTER TABLE tasks DROP COLUMN task_type"
        )
    assert PlanDb.open(plan(v1_site), tmp_path).schema_faults() == (
        "column tasks.task_type is missing",
        "column tasks.note is not v1's",
        "table edges is missing",
    )


def test_damaged_pages_are_found(v1_site: Path, tmp_path: Path) -> None:
    with plan(v1_site).open("r+b") as file:
        file.seek(4096 * 6)
        file.write(b"\xff" * 4096 * 40)
    db = PlanDb.open(plan(v1_site), tmp_path)
    assert db.integrity_faults()
    with pytest.raises(SiteUnreadable, match="SQLite says"):
        list(db.ops())


def test_a_locked_source_ends_a_snapshot(v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_open, "BUSY_TIMEOUT_S", 0.05)
    db = PlanDb.open(plan(v1_site), tmp_path)
    with edited(v1_site) as raw:
        raw.isolation_level = None
        raw.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable):
            db.snapshot(tmp_path / "copy.db")
        raw.execute("ROLLBACK")
