"""What v1's `tasks` and `edges` must be: derived from the ops in insertion order, and compared with the tables.

The derived tables live in a temporary database, so memory does not grow with the site. The rules are v1's, exactly:
insertion order (rowid) decides, not the Lamport order, and ANNOTATE, REQUIRES and PRODUCES create no task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from canswarm_tui.engine.sqlite import sqlite_errors, temporary_database, temporary_subject
from canswarm_tui.engine.v1.envelope import Json, parse_json
from canswarm_tui.engine.v1.plan_rows import OP_TYPES, STATES, BadRow, Edge, Op, Task

_BATCH: Final = 5000

_TABLES: Final = (
    "CREATE TABLE tasks (task_id TEXT PRIMARY KEY, thread_id TEXT, task_type TEXT, state TEXT, last_lamport INTEGER)"
    " WITHOUT ROWID",
    "CREATE TABLE edges (parent_id TEXT, child_id TEXT, PRIMARY KEY (parent_id, child_id)) WITHOUT ROWID",
)
_ADD_TASK: Final = "INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, 'DRAFT', ?)"
_SET_STATE: Final = "UPDATE tasks SET state = ?, last_lamport = ? WHERE task_id = ? AND last_lamport < ?"
_ADD_EDGE: Final = "INSERT OR IGNORE INTO edges VALUES (?, ?)"


class OpFault(StrEnum):
    """Why v1 would refuse an op today."""

    UNKNOWN_TYPE = "unknown_type"
    BAD_PAYLOAD = "bad_payload"
    """No JSON, or no object."""
    BAD_FIELD = "bad_field"
    """A field that the op needs is missing or no text; it changes nothing, unless SQLite would have taken it."""
    UNKNOWN_STATE = "unknown_state"
    """Applied all the same: v1's table takes any text."""
    LAMPORT_NOT_POSITIVE = "lamport_not_positive"


@dataclass(frozen=True, slots=True)
class OddOp:
    """An op that is a sound row, but not one that v1 would write today. It is still part of history."""

    rowid: int
    op_id: str
    fault: OpFault
    happened: str


@dataclass(frozen=True, slots=True)
class TableDifference:
    """Where a table is not what the ops say. None: no such row on that side, or SQL's NULL."""

    table: str
    name: str
    """The task id, or `parent → child`."""
    field: str
    """The column; `row` where a whole row is missing on one side."""
    derived: str | int | None
    stored: str | int | None


class Projection:
    """v1's derived tables, built from ops. Not for several threads; close it, or use `with`."""

    def __init__(self, folder: Path | None = None) -> None:
        """Empty; its temporary database lies in `folder`."""
        self._name = temporary_subject(folder)
        with sqlite_errors(self._name):
            self._db = temporary_database(folder)
            for table in _TABLES:
                self._db.execute(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def feed(self, ops: Iterable[Op | BadRow]) -> Iterator[OddOp]:
        """Applies ops in the order given and yields what is odd about them; to be consumed to its end.

        A `BadRow` changes nothing. May be called again with later ops.
        """
        rest = iter(ops)
        while batch := list(islice(rest, _BATCH)):
            odd: list[OddOp] = []
            with sqlite_errors(self._name):
                self._db.execute("BEGIN")
                for op in batch:
                    if isinstance(op, Op):
                        odd += self._apply(op)
                self._db.execute("COMMIT")
            yield from odd

    def tasks(self) -> Iterator[Task]:
        """Sorted by task id, as bytes."""
        with sqlite_errors(self._name):
            for row in self._db.execute("SELECT * FROM tasks ORDER BY task_id"):
                yield Task(*row)

    def edges(self) -> Iterator[Edge]:
        """Sorted by parent, then child, as bytes."""
        with sqlite_errors(self._name):
            for row in self._db.execute("SELECT * FROM edges ORDER BY parent_id, child_id"):
                yield Edge(*row)

    def _apply(self, op: Op) -> Iterator[OddOp]:
        if op.lamport <= 0:
            yield OddOp(op.rowid, op.op_id, OpFault.LAMPORT_NOT_POSITIVE, f"its lamport is {op.lamport}")
        if op.op_type not in OP_TYPES:
            yield OddOp(op.rowid, op.op_id, OpFault.UNKNOWN_TYPE, f"its type is {op.op_type[:80]!r}")
        try:
            payload = parse_json(op.payload_json)
        except ValueError as exc:
            yield OddOp(op.rowid, op.op_id, OpFault.BAD_PAYLOAD, f"its payload is no JSON: {exc}")
            return
        if not isinstance(payload, dict):
            yield OddOp(op.rowid, op.op_id, OpFault.BAD_PAYLOAD, "its payload is no object")
            return
        yield from self._derive(op, payload)

    def _derive(self, op: Op, payload: dict[str, Json]) -> Iterator[OddOp]:
        match op.op_type:
            case "ADD_TASK":
                yield from self._add_task(op, payload)
            case "STATE":
                yield from self._set_state(op, payload)
            case "LINK":
                yield from self._add_edge(op, payload)

    def _add_task(self, op: Op, payload: dict[str, Json]) -> Iterator[OddOp]:
        kind = payload.get("type")
        if kind is not None:
            yield from _not_text(op, payload, "type")
        if kind is None or _storable(kind):
            self._db.execute(_ADD_TASK, (op.task_id, op.thread_id, kind, op.lamport))

    def _set_state(self, op: Op, payload: dict[str, Json]) -> Iterator[OddOp]:
        state = payload.get("state")
        yield from _not_text(op, payload, "state")
        if isinstance(state, str) and state not in STATES:
            yield OddOp(op.rowid, op.op_id, OpFault.UNKNOWN_STATE, f"it sets the state {state[:80]!r}")
        if _storable(state):
            self._db.execute(_ADD_TASK, (op.task_id, op.thread_id, None, 0))
            self._db.execute(_SET_STATE, (state, op.lamport, op.task_id, op.lamport))

    def _add_edge(self, op: Op, payload: dict[str, Json]) -> Iterator[OddOp]:
        yield from _not_text(op, payload, "parent")
        yield from _not_text(op, payload, "child")
        if _storable(payload.get("parent")) and _storable(payload.get("child")):
            self._db.execute(_ADD_EDGE, (payload["parent"], payload["child"]))


def compare_tables(
    projection: Projection, tasks: Iterable[Task | BadRow], edges: Iterable[Edge | BadRow]
) -> Iterator[TableDifference]:
    """Every difference between what the ops say and v1's tables (in their sorted order); bad rows are passed over."""
    for key, derived, stored in _side_by_side(projection.tasks(), _sound(tasks), _task_key):
        if derived is not None and stored is not None:
            yield from _field_differences(derived, stored)
        else:
            ours_state = None if derived is None else derived.state
            yield TableDifference("tasks", key[0], "row", ours_state, None if stored is None else stored.state)
    for key, ours, theirs in _side_by_side(projection.edges(), _sound(edges), _edge_key):
        if ours is None or theirs is None:
            child = None if ours is None else ours.child_id
            yield TableDifference("edges", " → ".join(key), "row", child, None if theirs is None else theirs.child_id)


def _not_text(op: Op, payload: dict[str, Json], field: str) -> Iterator[OddOp]:
    value = payload.get(field)
    if not isinstance(value, str) or not _storable(value):
        happened = f"{field} is {'missing' if value is None else 'no text that can be stored'}"
        yield OddOp(op.rowid, op.op_id, OpFault.BAD_FIELD, happened)


def _storable(value: Json) -> bool:
    """What sqlite3 takes for a NOT NULL column; a TEXT column then keeps a number as its text, here as in v1."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, float) and value == value


Item = TypeVar("Item", Task, Edge)


def _sound(rows: Iterable[Item | BadRow]) -> Iterator[Item]:
    return (row for row in rows if not isinstance(row, BadRow))


def _side_by_side(
    derived: Iterator[Item], stored: Iterator[Item], key: Callable[[Item], tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], Item | None, Item | None]]:
    """Merges two streams that are sorted by key: (key, left or None, right or None)."""
    left, right = next(derived, None), next(stored, None)
    while left is not None or right is not None:
        if right is None or (left is not None and key(left) < key(right)):
            assert left is not None
            yield key(left), left, None
            left = next(derived, None)
        elif left is None or key(right) < key(left):
            yield key(right), None, right
            right = next(stored, None)
        else:
            yield key(left), left, right
            left, right = next(derived, None), next(stored, None)


def _task_key(task: Task) -> tuple[str, ...]:
    return (task.task_id,)


def _edge_key(edge: Edge) -> tuple[str, ...]:
    return (edge.parent_id, edge.child_id)


def _field_differences(derived: Task, stored: Task) -> Iterator[TableDifference]:
    if derived == stored:
        return
    pairs: dict[str, tuple[str | int | None, str | int | None]] = {
        "thread_id": (derived.thread_id, stored.thread_id),
        "task_type": (derived.task_type, stored.task_type),
        "state": (derived.state, stored.state),
        "last_lamport": (derived.last_lamport, stored.last_lamport),
    }
    for field, (ours, theirs) in pairs.items():
        if ours != theirs:
            yield TableDifference("tasks", derived.task_id, field, ours, theirs)
