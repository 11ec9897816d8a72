"""One op, one task or one thread of the plan store, in v1's tables and in the Automerge documents.

A task is its derived row, its edges and its ops; a thread is its ops, in v1's order. The receipt is of a whole
document, so beside a single record it only tells whether the document is still the one that this run wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.three_ways.values import Held, Likeness, Pair, held_receipt, likeness_of
from canswarm_tui.engine.three_ways.view import Sides
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_lookup import OpColumn, edges_of, has_op, ops_with, task_row
from canswarm_tui.engine.v2.plan_document import store
from canswarm_tui.engine.v2.plan_document.files import DamagedDocument, file_digest
from canswarm_tui.engine.v2.plan_document.rows import OP_COLUMNS, TASK_COLUMNS
from canswarm_tui.engine.v2.plan_document.target import PlanTarget, partition_of, read_index

EXCERPT_LINES: Final = 60
_COLUMN_OF: Final[dict[str, OpColumn]] = {"op": "op_id", "task": "task_id", "thread": "thread_id"}
_AT: Final = {"op": 1, "task": 6, "thread": 2}
"""Where a row of a document has the id."""
_NAMED: Final = 5
"""Ops that differ and are told by name."""

Cells = tuple[object, ...]


@dataclass(frozen=True)
class _OneDocument(PlanTarget):
    """One of several documents, to be read alone."""

    only: Path = Path()

    @property
    def documents(self) -> tuple[Path, ...]:
        return (self.only,)


@dataclass
class _Side:
    """A digest over what one side holds, record by record, and its first lines."""

    where: str

    def __post_init__(self) -> None:
        self._sha256, self._size, self.records = hashlib.sha256(), 0, 0
        self._lines: list[str] = []

    def add(self, what: str, columns: Iterable[str], cells: Cells, *, short: bool) -> None:
        named = dict(zip(columns, cells, strict=True))
        content = json.dumps([what, named], default=repr).encode()
        self._sha256.update(len(content).to_bytes(8, "big") + content)
        self._size += len(content)
        self.records += 1
        if len(self._lines) <= EXCERPT_LINES:
            self._lines += _short(what, named) if short else _long(named)

    def held(self, problem: str = "") -> Held:
        lines = self._lines[:EXCERPT_LINES] + (["…"] if len(self._lines) > EXCERPT_LINES else [])
        digest = self._sha256.digest() if self.records else None
        return Held(self.where, digest, self._size, tuple(lines), (), problem)


def in_automerge(settings: Settings, journal: Journal, key: bytes) -> Sides:
    """`key` is an op id, else a task id, else a thread id, whichever the site (or, failing that, the target) knows."""
    place = place_of(settings)
    place.make()
    with TemporaryDirectory(prefix="compare-", dir=place.folder) as name:
        scratch = Path(name)
        db = PlanDb.open(settings.site.plan_db, scratch)
        noun = next((noun for noun, column in _COLUMN_OF.items() if has_op(db, column, key)), "")
        if noun not in ("", "op"):
            db.snapshot(scratch / "plan.db")  # many rows are read, so v1's writer is not made to wait
            db = PlanDb.open(scratch / "plan.db", scratch)
        return _Comparison(settings, db, key, scratch).run(noun, journal)


@dataclass
class _Comparison:
    settings: Settings
    db: PlanDb
    key: bytes
    scratch: Path

    def run(self, noun: str, journal: Journal) -> Sides:
        target = self._on_disk()
        problem, reading = "", None
        try:
            reading = self._read(self._one_of(target, noun))
        except DamagedDocument as exc:
            problem = f"{exc.subject}: {exc.happened}"
        found = noun or self._noun_there(reading)
        site, there = (
            _Side(f"{self.settings.site.plan_db}"),
            _Side(f"{target.file if not target.partitions else target.folder}"),
        )
        notes = self._fill(found, site, there, reading)
        site_held = replace(site.held(), problem=self._site_fault(found))
        return self._sides(found, site_held, there.held(problem), journal, target, notes)

    def _on_disk(self) -> PlanTarget:
        """The form in which a reader of the site finds the documents."""
        site = self.settings.site
        plain = PlanTarget(site.plan_document, site.plan_partitions, b"")
        index = read_index(plain.index)
        return plain if index is None else replace(plain, partitions=index.partitions)

    def _one_of(self, target: PlanTarget, noun: str) -> PlanTarget:
        """Just the document of an op's or a thread's thread, where there are many."""
        if not target.partitions or noun not in ("op", "thread"):
            return target
        thread = next(ops_with(self.db, _COLUMN_OF[noun], self.key)).cells[1]
        number = partition_of(str(thread), target.partitions)
        return _OneDocument(target.file, target.folder, b"", target.partitions, target.documents[number])

    def _read(self, target: PlanTarget) -> store.Reading | None:
        if not all(path.exists() for path in target.documents):
            return None
        folder = self.scratch / "read"
        folder.mkdir()
        return store.read(target, store.Tools(folder, 1))

    def _noun_there(self, reading: store.Reading | None) -> str:
        """What the target knows under the key, where the site knows nothing."""
        text, seen = self._text, set[str]()
        for row in reading.ops() if reading is not None else ():
            seen |= {noun for noun, at in _AT.items() if row[at] == text}
        return next((noun for noun in _COLUMN_OF if noun in seen), "op")

    @property
    def _text(self) -> str:
        return self.key.decode("utf-8", "backslashreplace")

    def _fill(self, noun: str, site: _Side, there: _Side, reading: store.Reading | None) -> tuple[str, ...]:
        """Both sides, op beside op; gives back which of them differ, and in what."""
        notes: list[str] = []
        if noun == "task":
            self._derived(site, there, reading)
        found = ops_with(self.db, _COLUMN_OF[noun], self.key)
        # Where one row is wanted it is read from the site itself: its lock is not held while the documents are read.
        ops = (op.cells for op in (list(found) if noun == "op" else found))
        differ = 0
        for ours, theirs in zip_longest(ops, self._ops_there(noun, reading)):
            if ours is not None:
                site.add("op", OP_COLUMNS, ours, short=noun != "op")
            if theirs is not None:
                there.add("op", OP_COLUMNS, theirs, short=noun != "op")
            if ours != theirs and reading is not None:
                differ += 1
                if differ <= _NAMED:
                    notes.append(_parted(ours, theirs))
        if differ > _NAMED:
            notes.append(f"and {differ - _NAMED:,} more ops differ")
        return tuple(notes)

    def _derived(self, site: _Side, there: _Side, reading: store.Reading | None) -> None:
        row = task_row(self.db, self.key)
        if row is not None:
            site.add("task", TASK_COLUMNS, row, short=True)
        for edge in edges_of(self.db, self.key):
            site.add("edge", ("parent", "child"), edge, short=True)
        if reading is None:
            return
        for task in reading.tasks():
            if task[0] == self._text:
                there.add("task", TASK_COLUMNS, task, short=True)
        for parent, child in reading.edges():
            if self._text in (parent, child):
                there.add("edge", ("parent", "child"), (parent, child), short=True)

    def _ops_there(self, noun: str, reading: store.Reading | None) -> Iterator[Cells]:
        if reading is not None:
            yield from (row[1:] for row in reading.ops() if row[_AT[noun]] == self._text)

    def _site_fault(self, noun: str) -> str:
        """The first row that v1's own code could not have written."""
        for op in ops_with(self.db, _COLUMN_OF[noun], self.key):
            if op.faults:
                return f"rowid {op.rowid} is no op as v1 writes it: {'; '.join(op.faults)}"
        return ""

    def _sides(
        self, noun: str, site: Held, there: Held, journal: Journal, target: PlanTarget, notes: tuple[str, ...]
    ) -> Sides:
        document = self._document(noun, target)
        key = str(document.relative_to(target.file.parent)).encode()
        receipt = held_receipt(journal.step("plan-store").receipt(key))
        receipt = replace(receipt, where=f"{receipt.where}: the whole document {shown(key)}")
        return Sides(noun, site, there, receipt, _pairs(site, there, receipt, file_digest(document)), notes)

    def _document(self, noun: str, target: PlanTarget) -> Path:
        """The file that holds the record; the index where it may be spread over several."""
        one = self._one_of(target, noun) if has_op(self.db, _COLUMN_OF[noun], self.key) else target
        return one.documents[0] if len(one.documents) == 1 else target.index


def _pairs(site: Held, there: Held, receipt: Held, document: bytes | None) -> tuple[Pair, Pair, Pair]:
    whole = "the receipt is of the whole document, not of one record"
    if receipt.digest is None:
        without = "the journal has no receipt of the document"
        own = Pair("target", "receipt", Likeness.MISSING if document else Likeness.ABSENT, without)
    elif document is None:
        own = Pair("target", "receipt", Likeness.MISSING, "the document is not there")
    elif document == receipt.digest:
        own = Pair("target", "receipt", Likeness.EQUAL, "the document is the one that this run wrote")
    else:
        own = Pair("target", "receipt", Likeness.APART, "the document was written again since: its receipt is older")
    return Pair("site", "target", likeness_of(site, there)), Pair("site", "receipt", Likeness.APART, whole), own


def _parted(ours: Cells | None, theirs: Cells | None) -> str:
    if ours is None:
        return f"only the target has op {_id(theirs)} here"
    if theirs is None:
        return f"only the site has op {_id(ours)} here"
    if ours[0] != theirs[0]:
        return f"the site has op {_id(ours)} where the target has {_id(theirs)}"
    columns = [name for name, a, b in zip(OP_COLUMNS, ours, theirs, strict=True) if a != b]
    return f"op {_id(ours)} differs in {', '.join(columns)}"


def _id(cells: Cells | None) -> str:
    return shown(str(cells[0]), 80) if cells else ""


def _long(named: dict[str, object]) -> list[str]:
    return [f"{name}: {shown(str(value))}" for name, value in named.items()]


def _short(what: str, named: dict[str, object]) -> list[str]:
    shortened = {"op_id", "op_type", "lamport", "payload_json"}
    chosen = [shown(str(v), 200) for n, v in named.items() if what != "op" or n in shortened]
    return [f"{what}: {'  '.join(chosen)}"]
