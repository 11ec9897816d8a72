"""Single rows of v1's plan store by what they name, where `plan_db` reads whole tables in order.

A row is shown as it is, sound or not: somebody wants to see why it is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Literal

from canswarm_tui.engine.sqlite import sqlite_errors
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_open import connect
from canswarm_tui.engine.v1.plan_rows import SCHEMA

OpColumn = Literal["op_id", "task_id", "thread_id"]
Cell = str | int | float | None
_OPS: Final = SCHEMA["ops"]


@dataclass(frozen=True, slots=True)
class FoundOp:
    """One row of `ops`: its cells in v1's order; bytes that are no UTF-8 come escaped."""

    rowid: int
    cells: tuple[Cell, ...]
    faults: tuple[str, ...]
    """Why v1's own code could not have written it, such as `lamport is blob`."""


def ops_with(db: PlanDb, column: OpColumn, value: bytes) -> Iterator[FoundOp]:
    """The ops whose `column` is the text `value`, in insertion order; holds a read lock until it ends."""
    columns = ", ".join(f"{name}, typeof({name})" for name in _OPS)
    sql = f"SELECT rowid, {columns} FROM ops WHERE {column} = CAST(? AS TEXT) ORDER BY rowid"
    with sqlite_errors(str(db.path)), closing(connect(db.source)) as connection:
        for rowid, *row in connection.execute(sql, (value,)):
            kinds = [kind.decode() for kind in row[1::2]]
            faults = [
                f"{name} is {kind}"
                for (name, known), kind in zip(_OPS.items(), kinds, strict=True)
                if kind not in known.kinds
            ]
            yield FoundOp(rowid, tuple(map(_cell, row[::2])), tuple(faults))


def has_op(db: PlanDb, column: OpColumn, value: bytes) -> bool:
    """Whether any op has the text `value` there."""
    sql = f"SELECT 1 FROM ops WHERE {column} = CAST(? AS TEXT) LIMIT 1"
    return bool(_rows(db, sql, value))


def task_row(db: PlanDb, task_id: bytes) -> tuple[Cell, ...] | None:
    """v1's derived row of a task, in v1's order of columns; None where it has none."""
    rows = _rows(db, f"SELECT {', '.join(SCHEMA['tasks'])} FROM tasks WHERE task_id = CAST(? AS TEXT)", task_id)
    return rows[0] if rows else None


def edges_of(db: PlanDb, task_id: bytes) -> list[tuple[Cell, ...]]:
    """v1's derived edges (parent, child) from or to a task, sorted as bytes."""
    sql = (
        "SELECT parent_id, child_id FROM edges WHERE parent_id = CAST(? AS TEXT) OR child_id = CAST(? AS TEXT)"
        " ORDER BY parent_id, child_id"
    )
    return _rows(db, sql, task_id, task_id)


def op_ids_from(db: PlanDb, first: bytes, limit: int) -> list[str]:
    """The first op ids from `first` on, in the order of their bytes."""
    sql = "SELECT op_id FROM ops WHERE op_id >= CAST(? AS TEXT) ORDER BY op_id LIMIT ?"
    return [str(row[0]) for row in _rows(db, sql, first, limit)]


def _rows(db: PlanDb, sql: str, *values: bytes | int) -> list[tuple[Cell, ...]]:
    with sqlite_errors(str(db.path)), closing(connect(db.source)) as connection:
        return [tuple(map(_cell, row)) for row in _fetched(connection, sql, values)]


def _fetched(connection: sqlite3.Connection, sql: str, values: tuple[bytes | int, ...]) -> list[tuple[object, ...]]:
    return connection.execute(sql, values).fetchall()


def _cell(value: object) -> Cell:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    assert value is None or isinstance(value, int | float)
    return value
