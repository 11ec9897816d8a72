from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_projection import OpFault, Projection, TableDifference, compare_tables
from canswarm_tui.engine.v1.plan_rows import BadRow, Edge, Op, Task

names = st.sampled_from(["a", "b", "ä", "global", "\U0001f600"])
bodies = st.one_of(
    st.tuples(st.just("ADD_TASK"), st.fixed_dictionaries({"type": names | st.none()})),
    st.tuples(st.just("STATE"), st.fixed_dictionaries({"state": st.sampled_from(["DRAFT", "DECIDED", "FINAL"])})),
    st.tuples(st.just("LINK"), st.fixed_dictionaries({"parent": names, "child": names})),
    st.tuples(st.sampled_from(["ANNOTATE", "REQUIRES", "PRODUCES"]), st.just({"type": "x", "state": "FINAL"})),
)
histories = st.lists(st.tuples(bodies, names, st.integers(1, 6)), max_size=40)


def op(rowid: int, op_type: str, payload: object, task: str = "a", lamport: int = 1) -> Op:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return Op(rowid, f"op{rowid}", "t", lamport, "actor", op_type, task, text, 1)


def naive(ops: list[Op]) -> tuple[list[Task], list[Edge]]:
    """V1's rules told once more, with plain dictionaries."""
    tasks: dict[str, Task] = {}
    edges: set[Edge] = set()
    for one in ops:
        payload = json.loads(one.payload_json)
        if one.op_type == "ADD_TASK" and one.task_id not in tasks:
            tasks[one.task_id] = Task(one.task_id, one.thread_id, payload["type"], "DRAFT", one.lamport)
        if one.op_type == "STATE":
            old = tasks.setdefault(one.task_id, Task(one.task_id, one.thread_id, None, "DRAFT", 0))
            if one.lamport > old.last_lamport:
                tasks[one.task_id] = Task(old.task_id, old.thread_id, old.task_type, payload["state"], one.lamport)
        if one.op_type == "LINK":
            edges.add(Edge(payload["parent"], payload["child"]))
    return sorted(tasks.values(), key=lambda task: task.task_id.encode()), sorted(edges)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_the_projection_follows_v1s_rules(history: list[tuple[tuple[str, dict[str, str]], str, int]]) -> None:
    ops = [op(at, kind, body, task, lamport) for at, ((kind, body), task, lamport) in enumerate(history)]
    with Projection() as projection:
        assert list(projection.feed(ops)) == []
        assert (list(projection.tasks()), list(projection.edges())) == naive(ops)


def test_a_late_op_with_a_small_lamport_changes_nothing() -> None:
    with Projection() as projection:
        list(projection.feed([op(1, "STATE", {"state": "FINAL"}, lamport=9), op(2, "STATE", {"state": "DRAFT"})]))
        assert list(projection.tasks()) == [Task("a", "t", None, "FINAL", 9)]


def test_feeding_in_parts_is_feeding_at_once() -> None:
    ops = [op(at, "STATE", {"state": "FINAL"}, f"task{at % 7}", at + 1) for at in range(50)]
    with Projection() as whole, Projection() as parts:
        list(whole.feed(ops))
        list(parts.feed(ops[:20]))
        list(parts.feed(ops[20:]))
        assert list(whole.tasks()) == list(parts.tasks())


def test_the_tables_of_a_real_site_are_what_its_ops_say(v1_site: Path, tmp_path: Path) -> None:
    db = PlanDb.open(v1_site / ".state" / "plan.db", tmp_path)
    with Projection(tmp_path) as projection:
        assert list(projection.feed(db.ops())) == []
        assert len(list(projection.tasks())) == 79
        assert list(compare_tables(projection, db.tasks(), db.edges())) == []


def test_each_difference_has_its_name(v1_site: Path, tmp_path: Path) -> None:
    path = v1_site / ".state" / "plan.db"
    with closing(sqlite3.connect(path)) as raw:
        (changed, gone), (edge,) = (
            [row[0] for row in raw.execute("SELECT task_id FROM tasks WHERE state = 'FINAL' ORDER BY 1 LIMIT 2")],
            raw.execute("SELECT parent_id, child_id FROM edges ORDER BY 1 LIMIT 1").fetchall(),
        )
        raw.execute("UPDATE tasks SET state = 'DRAFT', task_type = 'x' WHERE task_id = ?", (changed,))
        raw.execute("DELETE FROM tasks WHERE task_id = ?", (gone,))
        raw.execute("INSERT INTO tasks VALUES ('zz', 't', NULL, 'DRAFT', 1)")
        raw.execute("DELETE FROM edges WHERE parent_id = ? AND child_id = ?", edge)
        raw.commit()
    db = PlanDb.open(path, tmp_path)
    with Projection(tmp_path) as projection:
        list(projection.feed(db.ops()))
        differences = list(compare_tables(projection, db.tasks(), db.edges()))
    assert TableDifference("tasks", changed, "state", "FINAL", "DRAFT") in differences
    assert TableDifference("tasks", gone, "row", "FINAL", None) in differences
    assert TableDifference("tasks", "zz", "row", None, "DRAFT") in differences
    assert TableDifference("edges", " → ".join(edge), "row", edge[1], None) in differences
    assert len(differences) == 5


@pytest.mark.parametrize(
    ("odd", "faults"),
    [
        (op(1, "INVENT", {}), [OpFault.UNKNOWN_TYPE]),
        (op(1, "ANNOTATE", "{"), [OpFault.BAD_PAYLOAD]),
        (op(1, "ANNOTATE", "[1]"), [OpFault.BAD_PAYLOAD]),
        (op(1, "ANNOTATE", "[" * 200_000), [OpFault.BAD_PAYLOAD]),
        (op(1, "STATE", {"state": "LOST"}), [OpFault.UNKNOWN_STATE]),
        (op(1, "STATE", {}), [OpFault.BAD_FIELD]),
        (op(1, "STATE", {"state": ["FINAL"]}), [OpFault.BAD_FIELD]),
        (op(1, "STATE", {"state": "\ud800"}), [OpFault.UNKNOWN_STATE, OpFault.BAD_FIELD]),
        (op(1, "LINK", {"child": "b"}), [OpFault.BAD_FIELD]),
        (op(1, "ADD_TASK", {"type": 2**70}), [OpFault.BAD_FIELD]),
        (op(1, "STATE", {"state": "FINAL"}, lamport=0), [OpFault.LAMPORT_NOT_POSITIVE]),
    ],
)
def test_history_that_v1_would_refuse_is_told(odd: Op, faults: list[OpFault]) -> None:
    with Projection() as projection:
        found = list(projection.feed([odd]))
    assert sorted(one.fault for one in found) == sorted(faults)
    assert {(one.rowid, one.op_id) for one in found} == {(1, "op1")}


def test_a_bad_row_changes_nothing() -> None:
    with Projection() as projection:
        assert list(projection.feed([BadRow("ops", 1, "rowid 1 (x)", ("lamport is blob",))])) == []
        assert list(projection.tasks()) == []
