"""One Automerge document of the plan store: made, appended to, read. Runs in a child process, see `worker`.

Automerge's save and load hold the interpreter's lock for their whole time, and it gives memory back only by exiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

from automerge.core import ROOT, Document, ObjType, ScalarType, Transaction

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.v2.plan_document.files import DamagedDocument, file_errors
from canswarm_tui.engine.v2.plan_document.rows import (
    OP_COLUMNS,
    OP_TYPES,
    SCHEMA,
    TASK_COLUMNS,
    Conflict,
    EdgeRow,
    Row,
    TaskRow,
)

PLACE: Final = "seq"
_TEXT, _INT, _NULL, _TRUE = ScalarType.Str, ScalarType.Int, ScalarType.Null, ScalarType.Boolean
_KINDS: Final = list(OP_TYPES)
_SCALARS: Final = tuple(_TEXT if kind is str else _INT for kind in OP_TYPES)

Ranked = tuple[int, int, str, Row]
"""Sorts as readers must: v1's ops by place, then all others by lamport and op_id."""


@dataclass(slots=True)
class Written:
    """What one change put in."""

    appended: int = 0
    present: int = 0
    changed: bool = False


@contextmanager
def _automerge_errors(subject: str) -> Iterator[None]:
    """Automerge reports damage as bare `Exception`, and a panic of its core as a `BaseException` of its own."""
    try:
        yield
    except (EngineError, OSError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:
        raise DamagedDocument(
            subject,
            f"Automerge can't read it: {exc}",
            "move the file away, keep it, and run again: v1's plan.db still holds every op",
        ) from exc


def new_document(actor: bytes) -> Document:
    return Document(actor_id=actor)


def load(path: Path, actor: bytes | None = None) -> Document:
    """The document in a file, to be changed under `actor`. Raises `DamagedDocument`, also for an empty file."""
    with file_errors(path):
        content = path.read_bytes()
    subject = str(path)
    if not content:
        # Automerge takes no bytes for an empty document.
        raise DamagedDocument(subject, "the file is empty", "move it away and run again: v1's plan.db holds every op")
    with _automerge_errors(subject):
        doc = Document.load(content)
        if actor is not None:
            doc.set_actor(actor)
        wrong = shape_fault(doc)
    if wrong:
        raise DamagedDocument(subject, f"it is no plan document: {wrong}", "move the file away, keep it, and run again")
    return doc


def shape_fault(doc: Document) -> str:
    """How the root differs from the contract, or nothing."""
    schema = doc.get(ROOT, "schema")
    if schema is None or schema[0] != (_INT, SCHEMA):
        return f"schema is {None if schema is None else schema[0]}, not {SCHEMA}"
    for key, kind in (("ops", ObjType.List), ("tasks", ObjType.Map), ("edges", ObjType.Map)):
        found = doc.get(ROOT, key)
        if found is None or found[0] != kind:
            return f"{key} is missing or of another kind"
    return ""


def first_actor(doc: Document) -> bytes:
    """The actor of the first change: the migration that made the document."""
    return bytes(next(change for change in doc.get_changes([]) if not change.deps).actor_id)


def heads(doc: Document) -> list[str]:
    """In hex, sorted."""
    return sorted(head.hex() for head in doc.get_heads())


def write(
    doc: Document, rows: Iterable[Row], tasks: Iterable[TaskRow], edges: Iterable[EdgeRow], *, with_place: bool
) -> Iterator[Written | Conflict]:
    """One change: ops that are absent go in at their place in v1's order, then the views become what is given.

    Yields each op that is there with other columns, and after every 1,000 rows and at the end what was done so far.
    """
    written = Written()
    there = {row[1]: (at, row) for at, row in enumerate(_rows(doc, with_place))} if _has_root(doc) else {}
    with doc.transaction() as tx:
        if not _has_root(doc):
            tx.put(ROOT, "schema", _INT, SCHEMA)
            for key, kind in (("ops", ObjType.List), ("tasks", ObjType.Map), ("edges", ObjType.Map)):
                tx.put_object(ROOT, key, kind)
            written.changed = True
        yield from _write_ops(tx, rows, there, written, with_place)
        written.changed |= _write_tasks(tx, tasks)
        written.changed |= _write_edges(tx, edges)
    yield written


def _has_root(doc: Document) -> bool:
    return doc.get(ROOT, "schema") is not None


def _write_ops(
    tx: Transaction,
    rows: Iterable[Row],
    there: Mapping[str, tuple[int, Row]],
    written: Written,
    with_place: bool,
) -> Iterator[Written | Conflict]:
    ops = _object(tx, "ops")
    put, insert_object = tx.put, tx.insert_object
    at = 0
    fresh: set[str] = set()
    for count, row in enumerate(rows, 1):
        op_id = row[1]
        known = there.get(op_id)
        if known is not None:
            written.present += 1
            at = known[0] + written.appended + 1
            if known[1][1:] != row[1:]:
                yield Conflict(op_id, known[1], row)
        elif op_id not in fresh:
            fresh.add(op_id)
            op = insert_object(ops, at, ObjType.Map)
            cells: Sequence[str | int] = row[1:]
            for column, scalar, value in zip(OP_COLUMNS, _SCALARS, cells, strict=True):
                put(op, column, scalar, value)
            if with_place:
                put(op, PLACE, _INT, row[0])
            at += 1
            written.appended += 1
            written.changed = True
        if count % 1000 == 0:
            yield written


def _cells(row: Row) -> tuple[str, str, int, str, str, str, str, int]:
    return row[1:]


def _write_tasks(tx: Transaction, tasks: Iterable[TaskRow]) -> bool:
    root = _object(tx, "tasks")
    changed = False
    for row in tasks:
        found = tx.get(root, row[0])
        task = tx.put_object(root, row[0], ObjType.Map) if found is None else found[1]
        for column, value in zip(TASK_COLUMNS, row, strict=True):
            scalar = _NULL if value is None else _INT if isinstance(value, int) else _TEXT
            now = tx.get(task, column)
            if now is None or now[0] != (scalar, value):
                tx.put(task, column, scalar, value)
                changed = True
    return changed


def _write_edges(tx: Transaction, edges: Iterable[EdgeRow]) -> bool:
    root = _object(tx, "edges")
    changed = False
    for parent, child in edges:
        found = tx.get(root, parent)
        children = tx.put_object(root, parent, ObjType.Map) if found is None else found[1]
        if tx.get(children, child) is None:
            tx.put(children, child, _TRUE, True)
            changed = True
    return changed


def _object(source: Document | Transaction, key: str) -> bytes:
    found = source.get(ROOT, key)
    assert found is not None, "the root's shape was looked at before"
    return bytes(found[1])


def ranked_ops(doc: Document, *, with_place: bool) -> Iterator[Ranked]:
    """Every op_id once, in readers' order: v1's as they lie in the list, then the others sorted.

    An op of v1 is one that the migration's own actor put in. Its place is `seq`, or in a document without, its
    position among them from 1. A value of an unexpected kind comes as what it is, so that a comparison shows it.
    """
    migration = first_actor(doc)
    seen: set[object] = set()
    others: list[Row] = []
    for row, made_by_us in zip(_rows(doc, with_place), _made_by(doc, migration), strict=True):
        if not made_by_us:
            others.append(row)
        elif row[1] not in seen:
            seen.add(row[1])
            place = row[0] if with_place else len(seen)
            yield 0, place, "", (place, *_cells(row))
    for lamport, op_id, row in sorted(map(_by_lamport, others), key=itemgetter(0, 1)):
        if row[1] not in seen:
            seen.add(row[1])
            yield 1, lamport, op_id, (0, *_cells(row))


def _by_lamport(row: Row) -> tuple[int, str, Row]:
    # Another actor may have written any kind of value.
    return row[3] if isinstance(row[3], int) else 0, str(row[1]), row


def _made_by(doc: Document, actor: bytes) -> Iterator[bool]:
    """For each op whether `actor` inserted it: an object's id holds the id of the actor that made it."""
    return (actor in object_id for _, object_id in doc.values(_object(doc, "ops")))


def _rows(doc: Document, with_place: bool) -> Iterator[Row]:
    get = doc.get
    for position, (kind, op) in enumerate(doc.values(_object(doc, "ops")), 1):
        if kind != ObjType.Map:
            yield (position, repr(kind), "", 0, "", "", "", "", 0)
            continue
        cells = [get(op, column) for column in OP_COLUMNS]
        values: list[object] = [
            cell[0][1] if cell is not None and isinstance(cell[0], tuple) else None for cell in cells
        ]
        if list(map(type, values)) != _KINDS:
            values = list(map(_plain, cells))
        place = _plain(get(op, PLACE)) if with_place else position
        if doc.length(op) != len(OP_COLUMNS) + with_place:
            values[0] = f"{values[0]!s} (with other columns than v1's: {', '.join(doc.keys(op))})"
        yield (place if isinstance(place, int) else 0, *values)  # type: ignore[misc]  # damaged values stay as they are


def _plain(found: tuple[object, bytes] | None) -> object:
    if found is None:
        return None
    value = found[0]
    if not isinstance(value, tuple):
        return repr(value)
    plain = value[1]
    return plain if type(plain) in (str, int) else repr(value)


def task_rows(doc: Document) -> Iterator[TaskRow]:
    """Sorted by task id as bytes."""
    root = _object(doc, "tasks")
    for task_id in sorted(doc.keys(root), key=str.encode):
        found = doc.get(root, task_id)
        if found is None or found[0] != ObjType.Map:
            yield (task_id, "", repr(found), "", 0)
            continue
        cells = [doc.get(found[1], column) for column in TASK_COLUMNS]
        row = tuple(None if cell is not None and cell[0] == (_NULL, None) else _plain(cell) for cell in cells)
        yield (task_id, *row[1:]) if row[0] == task_id else (task_id, f"task_id is {row[0]}", *row[2:])  # type: ignore[misc]


def edge_rows(doc: Document) -> Iterator[EdgeRow]:
    """Sorted by parent, then child, as bytes."""
    root = _object(doc, "edges")
    for parent in sorted(doc.keys(root), key=str.encode):
        found = doc.get(root, parent)
        assert found is not None
        yield from ((parent, child) for child in sorted(doc.keys(found[1]), key=str.encode))
