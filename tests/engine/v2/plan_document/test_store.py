from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from automerge.core import ROOT, Document, ObjType, ScalarType, extract
from hypothesis import given, settings
from hypothesis import strategies as st

from canswarm_tui.engine.errors import Refused, SiteUnreadable, Stopped
from canswarm_tui.engine.records import Removal
from canswarm_tui.engine.v2.plan_document.files import DamagedDocument
from canswarm_tui.engine.v2.plan_document.rows import OP_COLUMNS, Conflict, Rejected, Row
from canswarm_tui.engine.v2.plan_document.store import discard, prepare, prove_merge, publish, read, remove
from canswarm_tui.engine.v2.plan_document.target import PlanTarget, partition_of, read_index
from tests.engine.v2.plan_document.ops import migrate, op, op_sequences, target, tools, v1_tables

FORMS = pytest.mark.parametrize("partitions", [0, 3], ids=["one document", "partitioned"])


def contents(to: PlanTarget) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (*to.documents, to.index) if path.exists()}


def plain_map(doc: Document, key: bytes) -> dict[str, object]:
    found = extract(doc, key)
    assert isinstance(found, dict)
    return dict(found)


def v1_rows(site: Path) -> list[Row]:
    with sqlite3.connect(site / ".state" / "plan.db") as db:
        return list(db.execute("SELECT rowid, * FROM ops ORDER BY rowid"))


@FORMS
def test_a_real_v1_site_comes_back_op_for_op_with_its_tasks_and_edges(
    v1_site: Path, tmp_path: Path, partitions: int
) -> None:
    to, rows = target(tmp_path, partitions), v1_rows(v1_site)
    migrate(to, rows, tools(tmp_path))
    reading = read(to, tools(tmp_path))
    found = list(reading.ops())
    assert [row[1:] for row in found] == [row[1:] for row in rows]
    if partitions:
        assert found == rows
    with sqlite3.connect(v1_site / ".state" / "plan.db") as db:
        assert list(reading.tasks()) == list(db.execute("SELECT * FROM tasks ORDER BY task_id"))
        assert list(reading.edges()) == list(db.execute("SELECT * FROM edges ORDER BY parent_id, child_id"))


@settings(max_examples=12, deadline=None)
@given(rows=op_sequences(), cuts=st.lists(st.integers(0, 25), max_size=2), partitions=st.sampled_from([0, 2, 5]))
def test_any_ops_in_any_number_of_runs_give_v1s_order_and_v1s_tables(
    rows: list[Row], cuts: list[int], partitions: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        to = target(Path(name), partitions)
        for upto in [*sorted(cuts), len(rows)]:
            migrate(to, rows[:upto], tools(Path(name)))
        reading = read(to, tools(Path(name)))
        assert [row[1:] for row in reading.ops()] == [row[1:] for row in rows]
        assert (list(reading.tasks()), list(reading.edges())) == v1_tables(rows)


@FORMS
def test_the_same_runs_give_the_same_bytes_and_heads(tmp_path: Path, partitions: int) -> None:
    rows = [op(n, "STATE", f"t{n % 7}", n, state="FINAL") for n in range(1, 60)]
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        to = target(tmp_path / name, partitions)
        migrate(to, rows[:40], tools(tmp_path / name))
        migrate(to, rows, tools(tmp_path / name))
        made.append((contents(to), [d.heads for d in read(to, tools(tmp_path / name)).documents]))
    assert made[0] == made[1]


@FORMS
def test_a_second_run_with_nothing_new_writes_nothing(tmp_path: Path, partitions: int) -> None:
    to, rows = target(tmp_path, partitions), [op(n) for n in range(1, 30)]
    migrate(to, rows, tools(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in (*to.documents, to.index) if path.exists()}
    again = prepare(to, rows, tools(tmp_path))
    assert not any(file.changed for file in again.files)
    assert again.appended == 0
    publish(again)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_op_that_was_repaired_later_takes_its_place_in_v1s_order(tmp_path: Path) -> None:
    to = target(tmp_path)
    good = [op(n) for n in range(1, 10)]
    seen: list[Rejected] = []
    broken = [*good[:4], (*good[4][:7], '{"half', 5), *good[5:]]
    migrate(to, broken, dataclasses.replace(tools(tmp_path), rejected=seen.append))
    assert [(r.place, r.op_id) for r in seen] == [(5, "op-5")]
    migrate(to, good, tools(tmp_path))
    assert [row[1] for row in read(to, tools(tmp_path)).ops()] == [row[1] for row in good]


def test_ops_that_no_document_can_hold_are_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    bad: list[Row] = [
        (1, "past 64 bits", "t", 2**63, "a", "ANNOTATE", "x", "{}", 1),
        (2, "surrogate", "t", 1, "a", "ANNOTATE", "half \ud800", "{}", 1),
        (3, "a number as text", "t", "1", "a", "ANNOTATE", "x", "{}", 1),  # type: ignore[list-item]
        (4, "bytes", "t", 1, "a", "ANNOTATE", "x", b"{}", 1),  # type: ignore[list-item]
        (5, "no JSON", "t", 1, "a", "ANNOTATE", "x", "{", 1),
        (6, "no key", "t", 1, "a", "STATE", "", '{"state": "FINAL"}', 1),
        (7, "no end", "t", 1, "a", "LINK", "x", '{"parent": "p", "child": ""}', 1),
        (0, "no place", "t", 1, "a", "ANNOTATE", "x", "{}", 1),
    ]
    seen: list[Rejected] = []
    to = target(tmp_path)
    migrate(to, [*bad, op(9)], dataclasses.replace(tools(tmp_path), rejected=seen.append))
    assert [r.op_id for r in seen] == [row[1] for row in bad]
    assert all(r.reason for r in seen)
    assert [row[1] for row in read(to, tools(tmp_path)).ops()] == ["op-9"]


@FORMS
def test_an_op_that_changed_in_the_site_is_a_conflict_and_the_document_keeps_its_own(
    tmp_path: Path, partitions: int
) -> None:
    to, seen = target(tmp_path, partitions), list[Conflict]()
    migrate(to, [op(1), op(2)], tools(tmp_path))
    migrate(to, [op(1), (*op(2)[:3], 99, *op(2)[4:])], dataclasses.replace(tools(tmp_path), conflict=seen.append))
    assert [(c.op_id, c.there[3], c.wanted[3]) for c in seen] == [("op-2", 1, 99)]
    assert [row[3] for row in read(to, tools(tmp_path)).ops()] == [1, 1]


def test_v2_code_written_from_the_guide_finds_ops_tasks_and_edges_by_their_names(tmp_path: Path) -> None:
    to = target(tmp_path)
    migrate(to, [op(1, "ADD_TASK", "t", 3, type="worker"), op(2, "LINK", parent="t", child="u")], tools(tmp_path))
    assert extract(Document.load(to.file.read_bytes())) == {
        "schema": 1,
        "ops": [
            dict(
                zip(
                    OP_COLUMNS,
                    row[1:],
                    strict=True,
                )
            )
            for row in (op(1, "ADD_TASK", "t", 3, type="worker"), op(2, "LINK", parent="t", child="u"))
        ],
        "tasks": {
            "t": {"task_id": "t", "thread_id": "thread-1", "task_type": "worker", "state": "DRAFT", "last_lamport": 3}
        },
        "edges": {"t": {"u": True}},
    }


def test_a_partition_holds_its_threads_ops_with_their_place_and_the_tasks_that_they_made(tmp_path: Path) -> None:
    to = target(tmp_path, 3)
    rows = [op(1, "ADD_TASK", "t", 1), op(2, "STATE", "t", 5, state="FINAL"), *(op(n) for n in range(3, 30))]
    migrate(to, rows, tools(tmp_path))
    tasks: dict[str, dict[str, object]] = {}
    places: dict[object, str] = {row[0]: row[1] for row in rows}
    for number, path in enumerate(to.documents):
        doc = Document.load(path.read_bytes())
        ops = doc.get(ROOT, "ops")
        assert ops is not None
        for _, row in doc.values(ops[1]):
            fields = plain_map(doc, row)
            assert partition_of(str(fields["thread_id"]), 3) == number
            assert places[fields["seq"]] == fields["op_id"]
        held = doc.get(ROOT, "tasks")
        assert held is not None
        for task_id in doc.keys(held[1]):
            assert task_id not in tasks
            found = doc.get(held[1], task_id)
            assert found is not None
            tasks[task_id] = plain_map(doc, found[1])
            assert partition_of(str(tasks[task_id]["thread_id"]), 3) == number
    assert tasks["t"]["state"] == "FINAL"


def test_the_index_names_every_partition_with_what_is_in_it(tmp_path: Path) -> None:
    to = target(tmp_path, 4)
    migrate(to, [op(n) for n in range(1, 40)], tools(tmp_path))
    index, reading = read_index(to.index), read(to, tools(tmp_path))
    assert index is not None
    assert index.actor == to.actor.hex()
    assert [(e.ops, e.heads, e.sha256, e.size) for e in index.documents] == [
        (d.ops, tuple(d.heads), d.sha256, d.size) for d in reading.documents
    ]


@FORMS
def test_files_are_private_and_nothing_else_is_left_beside_them(tmp_path: Path, partitions: int) -> None:
    to = target(tmp_path, partitions)
    migrate(to, [op(1)], tools(tmp_path))
    files = [path for path in (*to.documents, to.index) if path.exists()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert not list(tmp_path.rglob("*.new"))


@pytest.mark.parametrize("content", [b"", b"garbage", "truncated", "flipped", "foreign"])
def test_a_damaged_document_is_told_and_left_as_it_is(tmp_path: Path, content: bytes | str) -> None:
    to = target(tmp_path)
    migrate(to, [op(n) for n in range(1, 20)], tools(tmp_path))
    whole = to.file.read_bytes()
    if content == "truncated":
        content = whole[: len(whole) // 2]
    elif content == "flipped":
        content = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    elif content == "foreign":
        doc = Document(actor_id=b"1" * 16)
        with doc.transaction() as tx:
            tx.put(ROOT, "schema", ScalarType.Str, "mine")
        content = doc.save()
    assert isinstance(content, bytes)
    to.file.write_bytes(content)
    for act in (lambda: read(to, tools(tmp_path)), lambda: prepare(to, [op(1)], tools(tmp_path))):
        with pytest.raises(DamagedDocument) as told:
            act()
        assert str(to.file) in told.value.subject
    assert to.file.read_bytes() == content


def test_a_missing_document_is_told_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(SiteUnreadable):
        read(target(tmp_path), tools(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_right_to_write_is_told(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o500)
    with pytest.raises(Refused):
        prepare(target(state), [op(1)], tools(tmp_path))


def test_a_stop_ends_the_children_at_once_and_leaves_the_old_document(tmp_path: Path) -> None:
    to = target(tmp_path)
    migrate(to, [op(1)], tools(tmp_path))
    before = to.file.read_bytes()
    writing = threading.Event()

    def progress(doing: str, _done: int) -> None:
        if doing == "writing":
            writing.set()

    stopped_at = 0.0

    def pulse() -> None:
        nonlocal stopped_at
        if writing.is_set():
            stopped_at = time.monotonic()
            raise Stopped("test", "asked to", "go on")

    with pytest.raises(Stopped):
        prepare(
            to,
            [op(n) for n in range(1, 30_000)],
            dataclasses.replace(tools(tmp_path), progress=progress, pulse=pulse),
        )
    assert time.monotonic() - stopped_at < 1
    assert to.file.read_bytes() == before


_KILLED = """
import sys, json
from pathlib import Path
from tests.engine.v2.plan_document.ops import op, target, tools, migrate
migrate(target(Path(sys.argv[1]), int(sys.argv[2])), [op(n) for n in range(1, 4000)], tools(Path(sys.argv[1])))
"""


@FORMS
def test_killed_at_any_instant_the_same_run_again_gives_the_same_bytes(tmp_path: Path, partitions: int) -> None:
    rows = [op(n) for n in range(1, 4000)]
    (tmp_path / "calm").mkdir()
    calm = target(tmp_path / "calm", partitions)
    migrate(calm, rows[:100], tools(tmp_path / "calm"))
    old = contents(calm)
    migrate(calm, rows, tools(tmp_path / "calm"))
    wanted = contents(calm)
    lucky = random.Random(partitions)
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        to = target(folder, partitions)
        migrate(to, rows[:100], tools(folder))
        process = subprocess.Popen([sys.executable, "-c", _KILLED, str(folder), str(partitions)])
        time.sleep(lucky.uniform(0.1, 0.9))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name, content in contents(to).items():
            assert content in (old[name], wanted[name])
        migrate(to, rows, tools(folder))
        assert contents(to) == wanted


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _KILLED.replace("4000", "60000"), str(tmp_path), "0"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        process.wait()
        pytest.skip("this system does not list a process's children")
    ends = time.monotonic() + 30
    while not (worker := children.read_text().split()) and time.monotonic() < ends:
        time.sleep(0.01)
    process.kill()
    process.wait()
    while Path(f"/proc/{worker[0]}").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not Path(f"/proc/{worker[0]}").exists()


@FORMS
def test_undo_removes_only_what_is_still_as_it_was_written(tmp_path: Path, partitions: int) -> None:
    to = target(tmp_path, partitions)
    done = prepare(to, [op(1)], tools(tmp_path))
    publish(done)
    first, *others = done.files
    first.path.write_bytes(b"changed since")
    assert remove(first.path, first.sha256) is Removal.KEPT
    assert all(remove(file.path, file.sha256) is Removal.REMOVED for file in others)
    assert all(remove(file.path, file.sha256) is Removal.GONE for file in others)
    assert first.path.read_bytes() == b"changed since"


def test_discard_takes_away_what_was_prepared_and_never_published(tmp_path: Path) -> None:
    to = target(tmp_path, 2)
    prepare(to, [op(1)], tools(tmp_path))
    assert list(to.folder.iterdir())
    discard(to)
    assert not to.folder.exists()


def test_ops_of_other_actors_come_after_v1s_by_lamport_and_op_id_and_each_once(tmp_path: Path) -> None:
    to = target(tmp_path)
    migrate(to, [op(1), op(2)], tools(tmp_path))
    doc = Document.load(to.file.read_bytes())
    with doc.transaction() as tx:
        ops = tx.get(ROOT, "ops")
        assert ops is not None
        for op_id, lamport in (("b", 9), ("a", 9), ("c", 2), ("op-1", 3)):
            made = tx.insert_object(ops[1], 0, ObjType.Map)
            row: tuple[str | int, ...] = (op_id, "t", lamport, "v2", "ANNOTATE", "x", "{}", 1)
            for column, value in zip(OP_COLUMNS, row, strict=True):
                tx.put(made, column, ScalarType.Int if isinstance(value, int) else ScalarType.Str, value)
    to.file.write_bytes(doc.save())
    assert [row[1] for row in read(to, tools(tmp_path)).ops()] == ["op-1", "op-2", "c", "a", "b"]


def test_two_copies_of_a_document_fork_merge_and_sync_also_after_a_lost_message(tmp_path: Path) -> None:
    to = target(tmp_path)
    migrate(to, [op(n) for n in range(1, 300)], tools(tmp_path))
    proof = prove_merge(to.file, to.file, tools(tmp_path))
    assert proof.merged_heads
    assert proof.rounds > 0
    assert proof.lost_message_stalls


def test_memory_of_the_children_is_measured(tmp_path: Path) -> None:
    done = prepare(target(tmp_path), [op(1)], tools(tmp_path))
    assert 5 << 20 < done.peak_memory_bytes < 300 << 20


def test_the_index_is_plain_json(tmp_path: Path) -> None:
    to = target(tmp_path, 2)
    migrate(to, [op(1)], tools(tmp_path))
    assert json.loads(to.index.read_text())["partitions"] == 2
