"""A plan store that hands or bugs have touched: rows that v1 never writes, and derived tables that don't follow."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

_SPACE: Final = uuid.UUID("00000000-0000-4000-8000-000000000000")
_STAMP_NS: Final = 1_795_500_000_000_000_000


def plant(path: Path, seed: int) -> Iterator[tuple[str, str]]:
    """Adds bad rows to `ops` and spoils `tasks` and `edges`; yields (kind, op id, task id or `parent → child`)."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        thread, actor, lamport = db.execute("SELECT thread_id, actor_id, max(lamport) FROM ops").fetchone()
        for at, (kind, changes) in enumerate(_ODD_OPS):
            op_id = str(uuid.uuid5(_SPACE, f"{seed} damaged op {at}"))
            row = {
                "op_id": op_id,
                "thread_id": thread,
                "lamport": lamport,
                "actor_id": actor,
                "op_type": "ANNOTATE",
                "task_id": "damaged",
                "payload_json": json.dumps({"annotation_type": "damaged"}),
                "timestamp_ns": _STAMP_NS + at,
                **changes,
            }
            db.execute("INSERT INTO ops VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tuple(row.values()))
            yield kind, op_id
        yield from _spoil_tables(db, thread)
        db.execute("COMMIT")


_ODD_OPS: Final[tuple[tuple[str, dict[str, str | bytes | int]], ...]] = (
    ("bad_payload", {"payload_json": '{"annotation_type": '}),
    ("bad_payload", {"payload_json": "[]"}),
    ("unknown_type", {"op_type": "RETRACT"}),
    ("bad_field", {"op_type": "LINK", "payload_json": '{"parent": "damaged"}'}),
    ("lamport_not_positive", {"lamport": 0}),
    ("bad_row", {"lamport": "soon"}),
    ("bad_row", {"payload_json": b"\x00\xff blob"}),
    ("bad_row", {"timestamp_ns": b"1795423412"}),
)


def _spoil_tables(db: sqlite3.Connection, thread: str) -> Iterator[tuple[str, str]]:
    (final, gone) = (row[0] for row in db.execute("SELECT task_id FROM tasks WHERE state = 'FINAL' LIMIT 2").fetchall())
    db.execute("UPDATE tasks SET state = 'DRAFT' WHERE task_id = ?", (final,))
    yield "table_differs", final
    db.execute("DELETE FROM tasks WHERE task_id = ?", (gone,))
    yield "table_differs", gone
    db.execute("INSERT INTO tasks VALUES ('no-op-made-me', ?, 'generic', 'FINAL', 3)", (thread,))
    yield "table_differs", "no-op-made-me"
    db.execute("INSERT INTO edges VALUES ('no-op', 'linked-us')")
    yield "table_differs", "no-op → linked-us"
    edge = db.execute("SELECT parent_id, child_id FROM edges WHERE parent_id <> 'no-op' LIMIT 1").fetchone()
    if edge is not None:
        db.execute("DELETE FROM edges WHERE (parent_id, child_id) = (?, ?)", edge)
        yield "table_differs", " → ".join(edge)
