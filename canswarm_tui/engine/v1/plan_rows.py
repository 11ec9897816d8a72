"""The rows of v1's plan store as values, and the schema they come from; knows no database connection.

`payload_json` stays verbatim text: whether it is JSON is a question for `plan_projection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OP_TYPES: Final = frozenset({"ADD_TASK", "REQUIRES", "PRODUCES", "STATE", "LINK", "ANNOTATE"})
STATES: Final = frozenset({"DRAFT", "DECIDED", "VERIFIED", "FINAL"})


@dataclass(frozen=True, slots=True)
class Op:
    """One row of `ops`; `rowid` is its place in insertion order."""

    rowid: int
    op_id: str
    thread_id: str
    lamport: int
    actor_id: str
    op_type: str
    task_id: str
    payload_json: str
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class Task:
    """One row of `tasks`."""

    task_id: str
    thread_id: str
    task_type: str | None
    state: str
    last_lamport: int


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One row of `edges`."""

    parent_id: str
    child_id: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that v1's own code could not have written: a value of the wrong SQLite type, or text that is no UTF-8."""

    table: str
    rowid: int
    name: str
    """Its key as far as it can be told, with `rowid N` in front."""
    faults: tuple[str, ...]
    """Such as `lamport is blob`."""


@dataclass(frozen=True, slots=True)
class Column:
    """`kinds` are the SQLite types that a value of it may have; `key` is its place in the primary key, 0 for none."""

    declared: str
    kinds: tuple[str, ...]
    not_null: bool
    key: int = 0


_TEXT: Final = Column("TEXT", ("text",), True)
_INTEGER: Final = Column("INTEGER", ("integer",), True)
_TEXT_KEY: Final = Column("TEXT", ("text",), False, 1)

SCHEMA: Final[dict[str, dict[str, Column]]] = {
    "ops": {
        "op_id": _TEXT_KEY,
        "thread_id": _TEXT,
        "lamport": _INTEGER,
        "actor_id": _TEXT,
        "op_type": _TEXT,
        "task_id": _TEXT,
        "payload_json": _TEXT,
        "timestamp_ns": _INTEGER,
    },
    "tasks": {
        "task_id": _TEXT_KEY,
        "thread_id": _TEXT,
        "task_type": Column("TEXT", ("text", "null"), False),
        "state": _TEXT,
        "last_lamport": _INTEGER,
    },
    "edges": {
        "parent_id": Column("TEXT", ("text",), True, 1),
        "child_id": Column("TEXT", ("text",), True, 2),
    },
}
"""v1's tables, their columns in v1's order."""

OpRow = tuple[int, bytes, bytes, int, bytes, bytes, bytes, bytes, int, int]
TaskRow = tuple[int, bytes, bytes, bytes | None, bytes, int, int]
EdgeRow = tuple[int, bytes, bytes, int]


def op_from(row: OpRow) -> Op:
    """Of (rowid, columns…, sound); raises UnicodeDecodeError."""
    rowid, op_id, thread_id, lamport, actor_id, op_type, task_id, payload_json, timestamp_ns, _ = row
    return Op(
        rowid,
        op_id.decode(),
        thread_id.decode(),
        lamport,
        actor_id.decode(),
        op_type.decode(),
        task_id.decode(),
        payload_json.decode(),
        timestamp_ns,
    )


def task_from(row: TaskRow) -> Task:
    """Of (rowid, columns…, sound); raises UnicodeDecodeError."""
    _, task_id, thread_id, task_type, state, last_lamport, _ = row
    kind = None if task_type is None else task_type.decode()
    return Task(task_id.decode(), thread_id.decode(), kind, state.decode(), last_lamport)


def edge_from(row: EdgeRow) -> Edge:
    """Of (rowid, columns…, sound); raises UnicodeDecodeError."""
    return Edge(row[1].decode(), row[2].decode())
