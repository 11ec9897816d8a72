"""The plan documents of a site: prepared beside the old ones, published by rename, read back, removed.

Preparing and publishing are two acts, so that a caller can write down in between what is about to appear: the digests
are known and nothing has changed yet. A kill before the rename leaves the old documents, after it the new ones.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from canswarm_tui.engine.changes import tell_change
from canswarm_tui.engine.records import Removal
from canswarm_tui.engine.v2.plan_document.children import Crew, Pulse
from canswarm_tui.engine.v2.plan_document.files import (
    file_digest,
    file_errors,
    new_name,
    rename_durably,
    sync_folder,
    write_new,
)
from canswarm_tui.engine.v2.plan_document.frames import spooled
from canswarm_tui.engine.v2.plan_document.intake import Lot, lay_out
from canswarm_tui.engine.v2.plan_document.jobs import (
    Job,
    MergeJob,
    MergeResult,
    ReadJob,
    ReadResult,
    Result,
    WriteJob,
    WriteResult,
)
from canswarm_tui.engine.v2.plan_document.rows import Conflict, EdgeRow, Rejected, Row, TaskRow
from canswarm_tui.engine.v2.plan_document.target import Index, IndexEntry, PlanTarget, read_index

R = TypeVar("R", bound=Result)
_RANK = itemgetter(0, 1, 2)


def _nothing(*_: object) -> None:
    return


@dataclass(frozen=True)
class Tools:
    """What the work needs and whom it tells. `scratch` is an empty folder with room for the rows once."""

    scratch: Path
    processes: int = 2
    pulse: Pulse = _nothing
    """Called ten times a second and more; may raise, which ends the child processes."""
    progress: Callable[[str, int], None] = _nothing
    """What is being done (`reading`, `writing`, `reading back`), and rows done so far."""
    rejected: Callable[[Rejected], None] = _nothing
    conflict: Callable[[Conflict], None] = _nothing


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file as it will be after `publish`."""

    path: Path
    sha256: bytes
    size: int
    changed: bool
    ops: int = 0
    """Ops in it that were given; 0 for the index."""
    heads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preparation:
    files: tuple[PreparedFile, ...]
    """The documents in order, then the index, if there is one."""
    ops: int
    appended: int
    tasks: int
    edges: int
    conflicts: int
    peak_memory_bytes: int
    """Of the child processes, together."""


def prepare(target: PlanTarget, rows: Iterable[Row], tools: Tools) -> Preparation:
    """Write the next documents beside the present ones. `rows`: all ops of the site, in v1's order, each time.

    What a document holds already is not put in again. Raises `DamagedDocument` for a document that can't be read,
    NoSpace, Refused, and what `tools.pulse` raises.
    """

    def look(count: int) -> None:
        tools.pulse()
        tools.progress("reading", count)

    with file_errors(target.file.parent):
        if target.partitions:
            target.folder.mkdir(mode=0o700, exist_ok=True)
    lots = lay_out(rows, target, tools.scratch, look, tools.rejected)
    known = read_index(target.index) if target.partitions else None
    jobs = [_write_job(target, number, lot, known) for number, lot in enumerate(lots)]
    results = _work(jobs, tools, "writing", WriteResult)
    files = [_prepared(Path(job.document), result) for job, result in zip(jobs, results, strict=True)]
    if target.partitions:
        files.append(_prepare_index(target, known, files, results))
    return Preparation(
        tuple(files),
        sum(result.ops for result in results),
        sum(result.appended for result in results),
        sum(result.tasks for result in results),
        sum(result.edges for result in results),
        sum(result.conflicts for result in results),
        _peak(results, tools.processes),
    )


def _write_job(target: PlanTarget, number: int, lot: Lot, known: Index | None) -> WriteJob:
    path = target.documents[number]
    entry = known.documents[number] if known is not None and known.partitions == target.partitions else None
    return WriteJob(
        str(path),
        str(new_name(path)),
        target.actor,
        bool(target.partitions),
        str(lot.ops),
        str(lot.tasks),
        str(lot.edges),
        lot.op_count,
        lot.task_count,
        lot.edge_count,
        entry.content if entry else "",
        entry.sha256 if entry else "",
    )


def _prepared(path: Path, result: WriteResult) -> PreparedFile:
    return PreparedFile(
        path, bytes.fromhex(result.sha256), result.size, result.changed, result.ops, tuple(result.heads)
    )


def _prepare_index(
    target: PlanTarget, known: Index | None, files: list[PreparedFile], results: list[WriteResult]
) -> PreparedFile:
    entries = tuple(
        IndexEntry(
            file.path.name,
            result.ops,
            result.tasks,
            result.edges,
            file.heads or (known.documents[number].heads if known is not None else ()),
            result.size,
            result.sha256,
            result.content,
        )
        for number, (file, result) in enumerate(zip(files, results, strict=True))
    )
    content = Index(target.partitions, target.actor.hex(), entries).to_bytes()
    digest = hashlib.sha256(content).digest()
    changed = file_digest(target.index) != digest
    if changed:
        write_new(new_name(target.index), content)
    return PreparedFile(target.index, digest, len(content), changed)


def publish(preparation: Preparation) -> None:
    """Rename the changed files into place, the index last; each is on the disk before the next is touched.

    May be called again after it failed: what is in place already is passed over.
    """
    for file in preparation.files:
        new = new_name(file.path)
        if file.changed and (new.exists() or file_digest(file.path) != file.sha256):
            rename_durably(new, file.path)
            tell_change("plan document", f"put {file.path} in place, {file.size:,} bytes")


def discard(target: PlanTarget) -> None:
    """Remove what an unfinished `prepare` left beside the documents, and the folder where nothing is in it."""
    for path in (*target.documents, target.index):
        with file_errors(path):
            new_name(path).unlink(missing_ok=True)
    _remove_empty(target.folder)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the documents hold, spooled in the scratch folder: iterate as often as wanted while that is there."""

    documents: tuple[ReadResult, ...] = field(repr=False)
    """In document order."""
    peak_memory_bytes: int
    _scratch: Path

    def ops(self) -> Iterator[Row]:
        """Readers' order: v1's ops by place over all documents, then the others (place 0) by lamport and op_id.

        In the one-document form an op's place is its position from 1.
        """
        for ranked in heapq.merge(*self._spools("ops"), key=_RANK):
            yield ranked[3]

    def tasks(self) -> Iterator[TaskRow]:
        """Of all documents, sorted by task id as bytes."""
        yield from heapq.merge(*self._spools("tasks"), key=lambda task: task[0].encode())

    def edges(self) -> Iterator[EdgeRow]:
        """Of all documents, sorted by parent, then child, as bytes."""
        yield from heapq.merge(*self._spools("edges"), key=lambda edge: (edge[0].encode(), edge[1].encode()))

    def _spools(self, kind: str) -> list[Iterator[Any]]:
        return [spooled(self._scratch / f"{number:04d}.{kind}.read") for number in range(len(self.documents))]


def read(target: PlanTarget, tools: Tools) -> Reading:
    """Load every document from the disk. Raises SiteUnreadable where one is missing, `DamagedDocument` for damage."""
    jobs = [
        ReadJob(
            str(path),
            bool(target.partitions),
            *(str(tools.scratch / f"{number:04d}.{kind}.read") for kind in ("ops", "tasks", "edges")),
        )
        for number, path in enumerate(target.documents)
    ]
    results = _work(jobs, tools, "reading back", ReadResult)
    return Reading(tuple(results), _peak(results, tools.processes), tools.scratch)


def prove_merge(document: Path, peer: Path, tools: Tools) -> MergeResult:
    """Fork, merge and sync two copies in memory, with a lost message too; raises WrongAnswer where they disagree."""
    (result,) = _work([MergeJob(str(document), str(peer))], tools, "syncing", MergeResult)
    return result


def remove(path: Path, sha256: bytes) -> Removal:
    """Delete a file that is still what the receipt says; KEPT for any other content."""
    there = file_digest(path)
    if there is None:
        return Removal.GONE
    if there != sha256:
        return Removal.KEPT
    with file_errors(path):
        path.unlink()
        sync_folder(path.parent)
        tell_change("plan document", f"removed {path}")
    return Removal.REMOVED


def _remove_empty(folder: Path) -> None:
    with file_errors(folder):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            sync_folder(folder.parent)


def _work(jobs: Sequence[Job], tools: Tools, doing: str, kind: type[R]) -> list[R]:
    done = 0

    def progress(rows: int) -> None:
        nonlocal done
        done += rows
        tools.progress(doing, done)

    results: dict[int, R] = {}
    with Crew(tools.processes, tools.scratch, tools.pulse) as crew:
        for number, result in crew.work(jobs, progress, tools.conflict):
            assert isinstance(result, kind)
            results[number] = result
    return [results[number] for number in range(len(jobs))]


def _peak(results: Sequence[WriteResult | ReadResult], processes: int) -> int:
    """Each process's peak only grows, so the largest ones bound what all had together."""
    return sum(sorted((result.peak_memory_bytes for result in results), reverse=True)[:processes])
