"""The rows that travel into and out of a plan document, and which of them no document can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Row = tuple[int, str, str, int, str, str, str, str, int]
"""An op: its place in v1's order (the rowid; 0 for what v2 wrote), then v1's columns in v1's order."""
TaskRow = tuple[str, str, str | None, str, int]
"""task_id, thread_id, task_type, state, last_lamport."""
EdgeRow = tuple[str, str]
"""Parent and child."""

SCHEMA: Final = 1
"""The shape that this program writes."""
OP_COLUMNS: Final = (
    "op_id",
    "thread_id",
    "lamport",
    "actor_id",
    "op_type",
    "task_id",
    "payload_json",
    "timestamp_ns",
)
OP_TYPES: Final[tuple[type, ...]] = (str, str, int, str, str, str, str, int)
TASK_COLUMNS: Final = ("task_id", "thread_id", "task_type", "state", "last_lamport")

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Rejected:
    """An op that no document can hold as it is: reported, never put in."""

    place: int
    op_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """An op that the document already holds with other columns: left alone."""

    op_id: str
    there: tuple[object, ...]
    wanted: tuple[object, ...]


def fault(row: Row) -> str:
    """Why the row can't go into a document, or nothing: wrong type, past 64 bits, text that has no UTF-8."""
    if _is_plain(row):
        return ""
    if row[0] < 1:
        return f"its rowid is {row[0]}, places begin with 1"
    for name, kind, value in zip(OP_COLUMNS, OP_TYPES, row[1:], strict=True):
        wrong = _cell_fault(kind, value)
        if wrong:
            return f"{name} {wrong}"
    return ""


def _is_plain(row: Row) -> bool:
    """Nearly every row: told at a glance, because a site has millions. False says nothing."""
    place, op_id, thread_id, lamport, actor_id, op_type, task_id, payload_json, timestamp_ns = row
    return (
        type(op_id) is type(thread_id) is type(actor_id) is type(op_type) is type(task_id) is type(payload_json) is str
        and type(lamport) is type(timestamp_ns) is int
        and place > 0
        and op_id.isascii()
        and thread_id.isascii()
        and actor_id.isascii()
        and op_type.isascii()
        and task_id.isascii()
        and payload_json.isascii()
        and _INT_MIN <= lamport <= _INT_MAX
        and _INT_MIN <= timestamp_ns <= _INT_MAX
    )


def _cell_fault(kind: type, value: object) -> str:
    if type(value) is not kind:
        return f"is {type(value).__name__}, not {kind.__name__}"
    if isinstance(value, str):
        sound = value.isascii() or _encodes(value)
        return "" if sound else "holds half of a surrogate pair, which has no UTF-8"
    assert isinstance(value, int)
    return "" if _INT_MIN <= value <= _INT_MAX else "is past 64 bits"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
