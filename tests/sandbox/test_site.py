"""The demonstration site: deterministic, accepted by v1's own rules, and with every trap in it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.v1 import blobs
from canswarm_tui.engine.v1.audit_line import AuditLine, Judge
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_projection import Projection, compare_tables
from canswarm_tui.engine.v1.plan_rows import OP_TYPES, BadRow, Op
from canswarm_tui.engine.v1.policy import V1, decide
from canswarm_tui.engine.v1.site import read_clock, read_keys
from canswarm_tui.sandbox.site import LINES_A_THREAD, SiteWritten, write_site
from canswarm_tui.sandbox.site_blobs import SPECIAL_SIZES
from canswarm_tui.sandbox.site_story import DEFAULT_NEED, OPS_A_THREAD

THREADS = 40
HISTORY_LINES = 12


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SiteWritten:
    return write_site(tmp_path_factory.mktemp("generated") / "site", THREADS, seed=7)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _judged(folder: Path) -> list[AuditLine]:
    judge = Judge(lambda name: blobs.blob_exists(folder / ".cas", name), V1.current_hashes)
    with (folder / "logs" / "swarm.jsonl").open("rb") as log:
        return [judge.line(number, 0, text) for number, text in enumerate(log, 1)]


def _ops(folder: Path, scratch: Path) -> list[Op]:
    found = list(PlanDb.open(folder / ".state" / "plan.db", scratch).ops())
    assert not [op for op in found if isinstance(op, BadRow)]
    return [op for op in found if isinstance(op, Op)]


def test_the_same_seed_gives_the_same_bytes_however_many_processes_write_them(
    written: SiteWritten, tmp_path: Path
) -> None:
    write_site(tmp_path / "again", THREADS, seed=7)
    assert _files(tmp_path / "again") == _files(written.folder)


def test_child_processes_write_what_one_process_writes(tmp_path: Path) -> None:
    write_site(tmp_path / "alone", 210, seed=3, processes=1)
    write_site(tmp_path / "shared", 210, seed=3, processes=2)
    assert _files(tmp_path / "alone") == _files(tmp_path / "shared")


def test_another_seed_gives_other_threads_keys_and_blobs(written: SiteWritten, tmp_path: Path) -> None:
    write_site(tmp_path / "other", 2, seed=8)
    ours, theirs = _files(written.folder), _files(tmp_path / "other")
    assert ours[".env"] != theirs[".env"]
    assert not {name for name in ours if name.startswith(".cas")} & {
        name for name in theirs if name.startswith(".cas") and not name.endswith(EMPTY)
    }


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_counts_are_those_of_a_real_site_and_are_told_truly(written: SiteWritten, tmp_path: Path) -> None:
    counts = PlanDb.open(written.folder / ".state" / "plan.db", tmp_path).counts()
    assert (counts.ops, counts.threads) == (THREADS * OPS_A_THREAD, THREADS)
    assert (written.ops, written.tasks, written.edges) == (counts.ops, counts.tasks, counts.edges)
    log = (written.folder / "logs" / "swarm.jsonl").read_bytes()
    assert log.count(b"\n") == written.audit_lines == THREADS * LINES_A_THREAD + HISTORY_LINES
    assert len((written.folder / "redis.jsonl").read_text().splitlines()) == written.decisions


def test_the_plan_store_has_the_schema_that_the_real_v1_wrote(written: SiteWritten, v1_site: Path) -> None:
    def schema(path: Path) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(path)) as db:
            return db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()

    assert schema(written.folder / ".state" / "plan.db") == schema(v1_site / ".state" / "plan.db")


def test_the_derived_tables_are_what_a_replay_of_the_ops_gives(written: SiteWritten, tmp_path: Path) -> None:
    plan = PlanDb.open(written.folder / ".state" / "plan.db", tmp_path)
    assert plan.integrity_faults() == ()
    with Projection(tmp_path) as projection:
        assert list(projection.feed(plan.ops())) == []
        assert list(compare_tables(projection, plan.tasks(), plan.edges())) == []


def test_every_line_and_every_envelope_is_signed_and_sound(written: SiteWritten) -> None:
    assert [line for line in _judged(written.folder) if not line.sound] == []


def test_v1s_policy_accepts_every_envelope_but_those_of_history(written: SiteWritten) -> None:
    denied = Counter(
        decide(line.carried.facts).allow for line in _judged(written.folder)[HISTORY_LINES:] if line.carried is not None
    )
    assert denied == {True: THREADS * LINES_A_THREAD}
    history = [line for line in _judged(written.folder)[:HISTORY_LINES] if line.carried is not None]
    assert not any(decide(line.carried.facts).allow for line in history if line.carried is not None)
    assert any(
        line.carried.facts.artifact_named and not line.carried.facts.artifact_present
        for line in history
        if line.carried
    )


def test_blobs_have_every_size_that_matters_and_hold_what_their_names_say(written: SiteWritten) -> None:
    found = list(blobs.inventory(written.folder / ".cas", processes=1))
    good = [blob for blob in found if isinstance(blob, blobs.Blob)]
    assert len(good) == len(found) == written.blobs
    assert set(SPECIAL_SIZES) <= {blob.size for blob in good}
    assert {blob.mode for blob in good} == {0o600}
    assert sum(blob.size for blob in good) == written.blob_bytes


def test_decisions_agree_with_the_decide_ops_and_no_need_is_decided_twice(written: SiteWritten, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (written.folder / "redis.jsonl").read_text().splitlines()]
    values = {line["key"].removeprefix("decide:"): json.loads(line["value"]) for line in lines}
    assert len(values) == len(lines)
    decided = {
        payload["need_id"]: (payload["proposal_id"], op.lamport)
        for op in _ops(written.folder, tmp_path)
        if (payload := json.loads(op.payload_json)).get("annotation_type") == "decide"
    }
    assert decided == {need: (value["proposal_id"], value["lamport"]) for need, value in values.items()}
    assert DEFAULT_NEED in values
    assert any(":" in need and "/" in need and not need.isascii() for need in values)


def test_every_trap_of_a_real_plan_store_is_there(written: SiteWritten, tmp_path: Path) -> None:
    ops = _ops(written.folder, tmp_path)
    assert {op.op_type for op in ops} == OP_TYPES
    with closing(sqlite3.connect(written.folder / ".state" / "plan.db")) as db:
        tasks = {row[0]: row for row in db.execute("SELECT task_id, thread_id, task_type, state FROM tasks")}
    assert {row[3] for row in tasks.values()} == {"DRAFT", "DECIDED", "FINAL"}
    shared = Counter((op.thread_id, op.lamport) for op in ops)
    assert max(shared.values()) > 1, "ops of one thread share a lamport"
    last: dict[str, int] = {}
    late = [op for op in ops if op.lamport < last.get(op.thread_id, 0) or last.update({op.thread_id: op.lamport})]
    assert late, "insertion order is not Lamport order"
    noted = {op.task_id for op in ops if op.op_type == "ANNOTATE"} - tasks.keys()
    assert {"global", "unknown"} < noted, "ANNOTATE names what is no task"
    added = {op.task_id for op in ops if op.op_type == "ADD_TASK"}
    assert {row[2] for task, row in tasks.items() if task not in added} == {None}, "FINALIZE without ADD_TASK"
    assert [task for task in added if tasks[task][2] is None], "a STATE that came before its ADD_TASK"
    spans = {op.task_id for op in ops if op.task_id in tasks and tasks[op.task_id][1] != op.thread_id}
    assert spans, "a task has ops of two threads"
    text = "".join(op.payload_json for op in ops)
    for trap in (str(2**53 + 1), str(2**64 + 1), "1e+22", "-0.0", "null", "\\u03b4", "[[], [null, [true,"):
        assert trap in text


def test_insertion_order_and_lamport_order_give_different_tables(written: SiteWritten, tmp_path: Path) -> None:
    plan = PlanDb.open(written.folder / ".state" / "plan.db", tmp_path)
    with Projection(tmp_path) as projection:
        ops = _ops(written.folder, tmp_path)
        ops.sort(key=lambda op: (op.lamport, op.rowid))
        list(projection.feed(iter(ops)))
        assert list(compare_tables(projection, plan.tasks(), plan.edges()))


def test_keys_are_a_pair_and_secret_and_the_clock_is_ahead_of_every_op(written: SiteWritten, tmp_path: Path) -> None:
    keys = read_keys(written.folder / ".env")
    assert keys.trouble == ""
    assert (written.folder / ".env").stat().st_mode & 0o777 == 0o600
    counter = read_clock(written.folder / ".state" / "lamport.json").counter
    assert counter is not None
    assert counter >= max(op.lamport for op in _ops(written.folder, tmp_path))


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(SettingsError, match="not empty"):
        write_site(tmp_path, 1, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
