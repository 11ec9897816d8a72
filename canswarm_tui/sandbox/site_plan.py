"""v1's plan store, written in bulk: the very tables and indexes of v1, and the derived tables by v1's rules."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_INDENT: Final = " " * 20
SCHEMA: Final = (
    f"CREATE TABLE ops (\n{_INDENT}op_id TEXT PRIMARY KEY,\n{_INDENT}thread_id TEXT NOT NULL,\n"
    f"{_INDENT}lamport INTEGER NOT NULL,\n{_INDENT}actor_id TEXT NOT NULL,\n{_INDENT}op_type TEXT NOT NULL,\n"
    f"{_INDENT}task_id TEXT NOT NULL,\n{_INDENT}payload_json TEXT NOT NULL,\n"
    f"{_INDENT}timestamp_ns INTEGER NOT NULL\n{_INDENT[4:]})",
    "CREATE INDEX idx_thread ON ops(thread_id)",
    "CREATE INDEX idx_lamport ON ops(lamport)",
    "CREATE INDEX idx_task ON ops(task_id)",
    f"CREATE TABLE tasks (\n{_INDENT}task_id TEXT PRIMARY KEY,\n{_INDENT}thread_id TEXT NOT NULL,\n"
    f"{_INDENT}task_type TEXT,\n{_INDENT}state TEXT NOT NULL DEFAULT 'DRAFT',\n"
    f"{_INDENT}last_lamport INTEGER NOT NULL\n{_INDENT[4:]})",
    f"CREATE TABLE edges (\n{_INDENT}parent_id TEXT NOT NULL,\n{_INDENT}child_id TEXT NOT NULL,\n"
    f"{_INDENT}PRIMARY KEY (parent_id, child_id)\n{_INDENT[4:]})",
)
"""As v1's `sqlite_schema` has it, blanks included."""

OpTuple = tuple[str, str, int, str, str, str, str, int]


class PlanWriter:
    """A new `plan.db`. Use with `with`; `finish` must have been called before its end."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")
        for statement in SCHEMA:
            self._db.execute(statement)
        self._db.execute("BEGIN")
        self._tasks: dict[str, tuple[str, str | None, str, int]] = {}
        self._edges: dict[tuple[str, str], None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def add(self, ops: Iterable[OpTuple]) -> None:
        """The next ops in insertion order."""
        rows = list(ops)
        self._db.executemany("INSERT INTO ops VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        for _, thread_id, lamport, _, op_type, task_id, payload, _ in rows:
            if op_type in ("ADD_TASK", "STATE", "LINK"):
                self._derive(thread_id, lamport, op_type, task_id, json.loads(payload))

    def finish(self) -> tuple[int, int]:
        """Writes the derived tables; returns (tasks, edges)."""
        tasks = ((task_id, *rest) for task_id, rest in self._tasks.items())
        self._db.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?)", tasks)
        self._db.executemany("INSERT INTO edges VALUES (?, ?)", self._edges)
        self._db.execute("COMMIT")
        return len(self._tasks), len(self._edges)

    def _derive(self, thread_id: str, lamport: int, op_type: str, task_id: str, payload: dict[str, str]) -> None:
        match op_type:
            case "ADD_TASK":
                self._tasks.setdefault(task_id, (thread_id, payload["type"], "DRAFT", lamport))
            case "STATE":
                thread, kind, _, last = self._tasks.setdefault(task_id, (thread_id, None, "DRAFT", 0))
                if lamport > last:
                    self._tasks[task_id] = (thread, kind, payload["state"], lamport)
            case _:
                self._edges[payload["parent"], payload["child"]] = None
