"""A v1 site as the v1 program would have written it, made from a seed: `write_site`.

The same seed gives the same bytes in every file. Child processes tell, sign and store the threads, which is nearly all
of the work; this one writes their results down in order.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import SettingsError, file_error
from canswarm_tui.engine.v1.envelope import Json
from canswarm_tui.engine.v1.workers import default_processes, ordered_map
from canswarm_tui.sandbox import site_blobs, site_history, site_seal
from canswarm_tui.sandbox.site_plan import PlanWriter
from canswarm_tui.sandbox.site_seal import Signer
from canswarm_tui.sandbox.site_story import OPS_A_THREAD, Message, Story, last_lamport, tell

LINES_A_THREAD: Final = 34
COORDINATOR: Final = ("coordinator", "thread.*.*")
SUBSCRIBERS: Final = ("demo-thread-p", "demo-thread-w", "demo-thread-v", "demo-thread")
"""Thread ids that the audit log gives for deliveries to agents."""
_CHUNK_THREADS: Final = 50
_PUBLISHED_NS: Final = 150_000
_DELIVERED_NS: Final = 900_000
_ALONE_UP_TO: Final = 200
"""Threads for which child processes are not worth their start."""

OpTuple = tuple[str, str, int, str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class SiteWritten:
    """What a new site holds."""

    folder: Path
    threads: int
    ops: int
    tasks: int
    edges: int
    audit_lines: int
    decisions: int
    blobs: int
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The work of some threads: `lines` is text for the log, `decisions` are need ids with their values."""

    lines: bytes
    ops: list[OpTuple]
    decisions: list[tuple[str, str]]
    blob_names: list[str]
    blob_bytes: int


def signer_of(seed: int, name: str = "site key") -> Signer:
    """The key pair that a site of this seed has; made for demonstrations, never for a real swarm."""
    return Signer.of(hashlib.sha256(f"canswarm {name} {seed}".encode()).digest())


def write_site(
    out: Path,
    threads: int,
    seed: int,
    processes: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SiteWritten:
    """A new site in `out`, which must be absent or empty; `progress` gets the threads done so far.

    Every trap of real sites is there from 16 threads on, and every blob size in any site. Its Redis content is in
    `redis.jsonl`, a `{"key", "value"}` a line. Raises `SettingsError`.
    """
    _make_empty(out)
    signer = signer_of(seed)
    _write_env(out / ".env", signer)
    written = _Totals()
    cas = out / ".cas"
    for index in range(len(site_blobs.SPECIAL_SIZES)):
        written.blob(site_blobs.artifact(seed, index), cas)
    with (
        (out / "logs" / "swarm.jsonl").open("wb") as log,
        (out / "redis.jsonl").open("w", encoding="ascii") as redis,
        PlanWriter(out / ".state" / "plan.db") as plan,
    ):
        history = site_history.lines(signer_of(seed, "older key"), seed)
        log.write("".join(history).encode())
        written.lines += len(history)
        done = 0
        for chunk in _chunks(cas, threads, seed, processes):
            log.write(chunk.lines)
            plan.add(chunk.ops)
            for need_id, value in chunk.decisions:
                redis.write(json.dumps({"key": f"decide:{need_id}", "value": value}) + "\n")
            written.add(chunk)
            done = min(done + _CHUNK_THREADS, threads)
            if progress is not None:
                progress(done)
        tasks, edges = plan.finish()
    (out / ".state" / "lamport.json").write_text(json.dumps({"counter": last_lamport(threads)}))
    return SiteWritten(
        out,
        threads,
        threads * OPS_A_THREAD,
        tasks,
        edges,
        written.lines,
        written.decisions,
        len(written.names),
        written.blob_bytes,
    )


class _Totals:
    """Counts while the site grows; a blob counts once."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.blob_bytes = 0
        self.lines = 0
        self.decisions = 0

    def blob(self, blob: site_blobs.Artifact, cas: Path) -> None:
        site_blobs.write(cas, blob)
        self.names.add(blob.name)
        self.blob_bytes += len(blob.body)

    def add(self, chunk: _Chunk) -> None:
        self.lines += chunk.lines.count(b"\n")
        self.decisions += len(chunk.decisions)
        self.names.update(chunk.blob_names)
        self.blob_bytes += chunk.blob_bytes


def _make_empty(out: Path) -> None:
    try:
        if out.exists() and any(out.iterdir()):
            raise SettingsError(str(out), "the folder is not empty", "name a new folder with --out")
        for name in (".state", ".cas", "logs"):
            (out / name).mkdir(parents=True)
    except OSError as exc:
        raise file_error(str(out), exc, "name another folder with --out") from exc


def _write_env(path: Path, signer: Signer) -> None:
    path.touch(mode=0o600)
    path.write_text(
        f"SWARM_SIGNING_SK_B64={base64.b64encode(signer.seed).decode()}\nSWARM_VERIFY_PK_B64={signer.public_b64}\n"
    )


def _chunks(cas: Path, threads: int, seed: int, processes: int | None) -> Iterator[_Chunk]:
    alone = threads <= _ALONE_UP_TO
    workers = 1 if alone else default_processes() if processes is None else processes
    starts = range(0, threads, _CHUNK_THREADS)
    tasks = (range(start, min(start + _CHUNK_THREADS, threads)) for start in starts)
    yield from ordered_map(partial(_chunk, cas, seed), tasks, workers)


def _chunk(cas: Path, seed: int, indexes: range) -> _Chunk:
    signer = signer_of(seed)
    chunk = _Chunk(b"", [], [], [], 0)
    lines: list[str] = []
    size = 0
    for index in indexes:
        blob = site_blobs.artifact(seed, index)
        if index >= len(site_blobs.SPECIAL_SIZES):
            site_blobs.write(cas, blob)
            chunk.blob_names.append(blob.name)
            size += len(blob.body)
        story = tell(seed, index, signer.public_b64, blob.name)
        lines += _lines(story, signer)
        chunk.ops.extend(_op_rows(story))
        if story.decision is not None:
            chunk.decisions.append((story.need_id, site_seal.spaced(story.decision)))
    return _Chunk("".join(lines).encode(), chunk.ops, chunk.decisions, chunk.blob_names, size)


def _op_rows(story: Story) -> Iterator[OpTuple]:
    for op in story.ops:
        payload = site_seal.spaced(op.payload)
        yield op.op_id, story.thread_id, op.lamport, story.actor, op.op_type, op.task_id, payload, op.timestamp_ns


def _lines(story: Story, signer: Signer) -> list[str]:
    """Each message published and delivered to the coordinator; the rest of the 34 are deliveries to agents."""
    extra = LINES_A_THREAD - 2 * len(story.messages)
    lines: list[str] = []
    for at, message in enumerate(story.messages):
        times = extra // len(story.messages) + (at < extra % len(story.messages))
        lines += _message_lines(story, signer, message, at, times)
    return lines


def _message_lines(story: Story, signer: Signer, message: Message, at: int, agents: int) -> Iterator[str]:
    sealed: Json = site_seal.envelope(
        signer, story.thread_id, message.kind, message.payload, message.lamport, message.ts_ns, message.ids
    )
    parcel = site_seal.parcel(sealed)
    subject = f"thread.{story.thread_id}.{message.role}"
    stamp = message.ts_ns + _PUBLISHED_NS
    yield site_seal.line(signer, parcel, "BUS.PUBLISH", story.thread_id, subject, stamp)
    yield site_seal.line(signer, parcel, "BUS.DELIVER", *COORDINATOR, stamp + _DELIVERED_NS)
    for turn in range(agents):
        name = SUBSCRIBERS[(at + turn) % len(SUBSCRIBERS)]
        yield site_seal.line(
            signer, parcel, "BUS.DELIVER", name, f"thread.*.{message.role}", stamp + _DELIVERED_NS * (turn + 2) // 2
        )
