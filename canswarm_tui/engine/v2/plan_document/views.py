"""Tasks and edges projected from ops by v1's rules, written anew from their description and not from v1's reader.

The rules run in SQLite because v1's do: the columns convert and refuse values exactly as v1's tables did, and a scratch
file keeps memory flat. Ops must come in v1's order, then what v2 wrote by lamport and op_id.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import EngineError, NoSpace, SiteUnreadable
from canswarm_tui.engine.v2.plan_document.rows import EdgeRow, Row, TaskRow

_DECODE: Final = json.JSONDecoder().decode
_TABLES: Final = """
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
CREATE TABLE tasks (task_id TEXT PRIMARY KEY, thread_id TEXT NOT NULL, task_type TEXT,
                    state TEXT NOT NULL DEFAULT 'DRAFT', last_lamport INTEGER NOT NULL);
CREATE TABLE edges (parent_id TEXT NOT NULL, child_id TEXT NOT NULL, thread_id TEXT NOT NULL,
                    PRIMARY KEY (parent_id, child_id));
"""


class Projection:
    """Takes ops one by one; then says what tasks and edges they make. To be closed."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: a scratch file, replaced; None keeps all in memory."""
        self._subject = str(path or "projection")
        with self._errors():
            if path is not None:
                path.unlink(missing_ok=True)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._db.executescript(_TABLES)
            self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    def take(self, row: Row) -> str:
        """Let one op have its effect, or none where v1's tables would refuse it.

        Answers why a document can't hold the op with its effect, or nothing.
        """
        try:
            payload = _DECODE(row[7])
        except (ValueError, RecursionError) as exc:
            return f"payload_json can't be read as JSON: {exc}"
        if row[5] not in ("ADD_TASK", "STATE", "LINK"):
            return ""
        if not isinstance(payload, dict):
            return ""
        try:
            return self._take(row, payload)
        except (KeyError, ValueError):
            return ""
        except sqlite3.OperationalError as exc:
            raise self._broken(exc) from exc

    def _take(self, row: Row, payload: dict[str, object]) -> str:
        _, _, thread_id, lamport, _, op_type, task_id, _, _ = row
        if op_type == "LINK":
            return self._link(thread_id, payload["parent"], payload["child"])
        if not task_id:
            return "its task_id is empty, and a document has no empty keys"
        if op_type == "ADD_TASK":
            self._db.execute(
                "INSERT INTO tasks VALUES (?, ?, ?, 'DRAFT', ?) ON CONFLICT (task_id) DO NOTHING",
                (task_id, thread_id, _bindable(payload.get("type")), lamport),
            )
            return ""
        state = _bindable(payload["state"])
        if state is None:
            raise ValueError("v1's column state is NOT NULL")
        self._db.execute(
            "INSERT INTO tasks VALUES (?, ?, NULL, 'DRAFT', 0) ON CONFLICT (task_id) DO NOTHING", (task_id, thread_id)
        )
        self._db.execute(
            "UPDATE tasks SET state = ?, last_lamport = ? WHERE task_id = ? AND last_lamport < ?",
            (state, lamport, task_id, lamport),
        )
        return ""

    def _link(self, thread_id: str, parent: object, child: object) -> str:
        parent, child = _bindable(parent), _bindable(child)
        if parent is None or child is None:
            raise ValueError("v1's columns are NOT NULL")
        if parent == "" or child == "":
            return "an end of its edge is empty, and a document has no empty keys"
        self._db.execute(
            "INSERT INTO edges VALUES (?, ?, ?) ON CONFLICT (parent_id, child_id) DO NOTHING",
            (parent, child, thread_id),
        )
        return ""

    def tasks(self, *, as_made: bool = False) -> Iterator[TaskRow]:
        """Sorted by task id as bytes; or in the order in which ops made them."""
        order = "rowid" if as_made else "task_id"
        with self._errors():
            yield from self._db.execute(
                f"SELECT task_id, thread_id, task_type, state, last_lamport FROM tasks ORDER BY {order}"
            )

    def edges(self) -> Iterator[EdgeRow]:
        """Sorted by parent, then child, as bytes."""
        with self._errors():
            yield from self._db.execute("SELECT parent_id, child_id FROM edges ORDER BY parent_id, child_id")

    def owned_edges(self) -> Iterator[tuple[str, str, str]]:
        """Thread of the first LINK, parent, child, in the order in which ops made them."""
        with self._errors():
            yield from self._db.execute("SELECT thread_id, parent_id, child_id FROM edges ORDER BY rowid")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            raise self._broken(exc) from exc

    def _broken(self, exc: sqlite3.OperationalError) -> EngineError:
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            return NoSpace(self._subject, f"SQLite says: {exc}", "free some space on its disk")
        return SiteUnreadable(self._subject, f"SQLite says: {exc}", "check the scratch folder's disk")


def _bindable(value: object) -> object:
    """What can be an SQLite value as it is and then be text in a document; raises ValueError for the rest."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError("past 64 bits")
    elif isinstance(value, float):
        return None if math.isnan(value) else value  # as SQLite has it
    elif value is not None:
        raise ValueError("no scalar")
    return value
