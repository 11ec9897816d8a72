"""v1's audit log, `logs/swarm.jsonl`: streamed line by line, every signature checked, by several processes in order.

The parent only looks for newlines and hands out whole lines in ranges of some megabytes; so memory stays flat, and
line numbers and offsets are exact. Read up to the size that the file has at the start: v1 may be appending.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.v1.audit_line import AuditLine, Judge, LineForm
from canswarm_tui.engine.v1.blobs import blob_exists
from canswarm_tui.engine.v1.envelope import Json, parse_json
from canswarm_tui.engine.v1.workers import default_processes, ordered_map, stop_if_unwanted

RANGE_BYTES: Final = 4 << 20
MAX_LINE_BYTES: Final = 16 << 20
"""A longer line is told and skipped: v1's own are bounded by the bus, some megabytes at most."""


@dataclass(frozen=True, slots=True)
class LogRange:
    """Whole lines: bytes `start` to `end` of the file; `first_line` counts from 1."""

    start: int
    end: int
    first_line: int


def read_log(
    path: Path, cas: Path, current_hashes: Collection[str], processes: int | None = None
) -> Generator[AuditLine, None, None]:
    """Every line in order, judged; close it if you stop early. Raises `SiteUnreadable`.

    `cas` is where artifacts are looked up.
    """
    ranges = cut(path)
    small = _size(path) <= 2 * RANGE_BYTES
    workers = 1 if small else default_processes() if processes is None else processes
    work = partial(judge_range, path, cas, frozenset(current_hashes))
    with closing(ordered_map(work, ranges, workers)) as parts:
        for part in parts:
            yield from part


def cut(path: Path, range_bytes: int = RANGE_BYTES) -> Iterator[LogRange]:
    """Ranges of whole lines, in order, that cover the file; the last line may lack its newline."""
    try:
        with path.open("rb", buffering=0) as file:
            yield from _cut(file, _size(path), range_bytes)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def judge_range(path: Path, cas: Path, current_hashes: frozenset[str], part: LogRange) -> list[AuditLine]:
    """The lines of one range, judged; what a child process does."""
    judge = Judge(partial(blob_exists, cas), current_hashes)
    try:
        with path.open("rb") as file:
            file.seek(part.start)
            return list(_lines(file, judge, part))
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def reread(path: Path, line: AuditLine) -> Json:
    """What a line holds, read again from its offset; raises `SiteUnreadable` where it is no JSON (any more)."""
    try:
        with path.open("rb") as file:
            file.seek(line.offset)
            return parse_json(file.read(line.size))
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except ValueError as exc:
        raise SiteUnreadable(f"{path}, line {line.number}", str(exc), "read the log again: it has changed") from exc


def _cut(file: BinaryIO, end: int, range_bytes: int) -> Iterator[LogRange]:
    position = start = 0
    first_line = 1
    while position < end:
        block = file.read(min(range_bytes, end - position))
        if not block:
            break
        last_newline = block.rfind(b"\n")
        if last_newline >= 0:
            cut_at = position + last_newline + 1
            yield LogRange(start, cut_at, first_line)
            start, first_line = cut_at, first_line + block.count(b"\n")
        position += len(block)
    if start < position:
        yield LogRange(start, position, first_line)


def _lines(file: BinaryIO, judge: Judge, part: LogRange) -> Iterator[AuditLine]:
    offset, number = part.start, part.first_line
    while offset < part.end:
        stop_if_unwanted()
        text = file.readline(min(MAX_LINE_BYTES, part.end - offset))
        if not text:
            return
        if len(text) == MAX_LINE_BYTES and not text.endswith(b"\n"):
            size = len(text) + _skip_line(file, part.end - offset - len(text))
            yield AuditLine(number, offset, size, LineForm.TOO_LONG)
        else:
            size = len(text)
            yield judge.line(number, offset, text)
        offset += size
        number += 1


def _skip_line(file: BinaryIO, limit: int) -> int:
    """Reads on to the newline, at most `limit` bytes; returns how many."""
    skipped = 0
    while skipped < limit:
        text = file.readline(min(RANGE_BYTES, limit - skipped))
        skipped += len(text)
        if not text or text.endswith(b"\n"):
            break
    return skipped


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> SiteUnreadable:
    return SiteUnreadable(str(path), exc.strerror or str(exc), "check site.log_dir, the file's rights and its disk")
