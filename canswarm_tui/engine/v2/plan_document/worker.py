"""The child process: `python -m canswarm_tui.engine.v2.plan_document.worker`; jobs on standard input, frames out.

A frame is `("progress", rows)`, `("conflict", op_id, there, wanted)`, `("done", kind, fields)` or
`("error", kind, subject, happened, remedy)`. It ends with its input, and dies with its parent. A kill loses nothing:
only the parent renames.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from automerge.core import Document

from canswarm_tui.engine.errors import Defect, EngineError
from canswarm_tui.engine.v2.plan_document import disputes, document, peers
from canswarm_tui.engine.v2.plan_document.files import file_digest, write_new
from canswarm_tui.engine.v2.plan_document.frames import Spool, read_frame, spooled, write_frame
from canswarm_tui.engine.v2.plan_document.jobs import (
    DISPUTES_TOLD,
    KINDS,
    Job,
    MergeJob,
    MergeResult,
    ReadJob,
    ReadResult,
    Result,
    WriteJob,
    WriteResult,
)

_PR_SET_PDEATHSIG: Final = 1
Tell = Callable[[tuple[object, ...]], None]


def main() -> None:
    """Serve jobs until the input ends."""
    _die_with(int(sys.argv[1]))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            kind, fields = read_frame(requests)
        except EOFError:
            return
        try:
            result = _do(KINDS[kind](**fields), lambda frame: write_frame(answers, frame))
            write_frame(answers, ("done", type(result).__name__, asdict(result)))
        except EngineError as exc:
            _answer_error(answers, exc)
        except MemoryError:
            _answer_error(answers, Defect("plan document", "the child process has no memory left", _REMEDY))
        except Exception as exc:  # noqa: BLE001 - reported to the parent, which raises it
            _answer_error(answers, Defect("plan document", f"{type(exc).__name__}: {exc}", _REMEDY))


_REMEDY: Final = "report this with `canswarm-tui diagnose`"


def _answer_error(answers: BinaryIO, exc: EngineError) -> None:
    write_frame(answers, ("error", type(exc).__name__, exc.subject, exc.happened, exc.remedy))


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, even inside a long save; where the system can't, the end of the input will do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(0)


def _do(job: Job, tell: Tell) -> Result:
    if isinstance(job, WriteJob):
        return _write(job, tell)
    if isinstance(job, ReadJob):
        return _read(job, tell)
    return _merge(job)


def _write(job: WriteJob, tell: Tell) -> WriteResult:
    content = _content(job)
    counts = (job.op_count, job.task_count, job.edge_count)
    path = Path(job.document)
    digest = file_digest(path)
    if digest is not None and (job.known_content, job.known_sha256) == (content, digest.hex()):
        size = path.stat().st_size
        return WriteResult(False, *counts, 0, 0, size, digest.hex(), [], content, peak_memory_bytes())
    doc = document.new_document(job.actor) if digest is None else document.load(path, job.actor)
    appended, conflicts, changed = _change(doc, job, tell)
    size, sha256 = (0, "") if digest is None else (path.stat().st_size, digest.hex())
    if changed:
        saved = doc.save()
        write_new(Path(job.new), saved)
        size, sha256 = len(saved), hashlib.sha256(saved).hexdigest()
    return WriteResult(
        changed, *counts, appended, conflicts, size, sha256, document.heads(doc), content, peak_memory_bytes()
    )


def _content(job: WriteJob) -> str:
    digest = hashlib.sha256()
    for spool in (job.ops, job.tasks, job.edges):
        content = file_digest(Path(spool))
        assert content is not None, "the parent has written it"
        digest.update(content)
    return digest.hexdigest()


def _change(doc: Document, job: WriteJob, tell: Tell) -> tuple[int, int, bool]:
    conflicts = told = 0
    written = document.Written()
    rows, tasks, edges = (spooled(Path(spool)) for spool in (job.ops, job.tasks, job.edges))
    for said in document.write(doc, rows, tasks, edges, with_place=job.with_place):
        if isinstance(said, document.Written):
            written = said
            done = written.appended + written.present
            tell(("progress", done - told))
            told = done
        else:
            conflicts += 1
            tell(("conflict", said.op_id, said.there, said.wanted))
    return written.appended, conflicts, written.changed


def _read(job: ReadJob, tell: Tell) -> ReadResult:
    path = Path(job.document)
    doc = document.load(path)
    ops, tasks, edges = (Spool(Path(name)) for name in (job.ops, job.tasks, job.edges))
    for count, ranked in enumerate(document.ranked_ops(doc, with_place=job.with_place), 1):
        ops.add(ranked)
        if count % 1000 == 0:
            tell(("progress", 1000))
    tell(("progress", ops.count % 1000))
    for task in document.task_rows(doc):
        tasks.add(task)
    for edge in document.edge_rows(doc):
        edges.add(edge)
    for spool in (ops, tasks, edges):
        spool.flush()
    digest = file_digest(path)
    assert digest is not None, "it was read just now"
    authors = disputes.authors_of(doc)
    return ReadResult(
        ops.count,
        tasks.count,
        edges.count,
        path.stat().st_size,
        digest.hex(),
        document.heads(doc),
        document.first_actor(doc),
        peak_memory_bytes(),
        authors.changes,
        authors.actors,
        list(islice(disputes.disputes(doc, authors), DISPUTES_TOLD)),
        authors.later <= disputes.OPERATIONS_AT_MOST,
    )


def _merge(job: MergeJob) -> MergeResult:
    proof = peers.prove_merge(document.load(Path(job.document)), document.load(Path(job.peer)))
    return MergeResult(
        proof.merged_heads, proof.rounds, proof.message_bytes, proof.lost_message_stalls, peak_memory_bytes()
    )


def peak_memory_bytes() -> int:
    """The most memory that this process had; `ru_maxrss` alone would count the parent's, inherited at its start."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
