"""Values on pipes and in scratch files: length, then marshal.

Marshal, because it is several times as fast as JSON and both ends are this program under one interpreter: nothing that
anybody else wrote is ever read with it.
"""

from __future__ import annotations

import marshal
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from canswarm_tui.engine.v2.plan_document.files import file_errors

_LENGTH: Final = struct.Struct(">Q")
_PLAIN: Final = 0
"""The version without references and interning: equal values are equal bytes."""
CHUNK_ROWS: Final = 512


def write_frame(stream: BinaryIO, value: object) -> None:
    """One value of plain types; the stream is flushed."""
    data = marshal.dumps(cast(Any, value), _PLAIN)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:
    """The next value; raises EOFError at the end, also at an end within a frame."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return marshal.loads(_exactly(stream, length))  # noqa: S302 - see the module's docstring


def _exactly(stream: BinaryIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Spool:
    """A scratch file of rows, written in chunks: the same rows and chunks are the same bytes.

    It holds no file open between chunks, so there may be any number of them.
    """

    def __init__(self, path: Path, chunk_rows: int = CHUNK_ROWS) -> None:
        self.path = path
        self.count = 0
        self._chunk_rows = chunk_rows
        self._rows: list[tuple[object, ...]] = []
        with file_errors(path):
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def add(self, row: tuple[object, ...]) -> None:
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= self._chunk_rows:
            self.flush()

    def flush(self) -> None:
        """To be called after the last row."""
        if self._rows:
            with file_errors(self.path), self.path.open("ab") as stream:
                write_frame(stream, self._rows)
            self._rows = []


def spooled(path: Path) -> Iterator[Any]:
    """The rows of a flushed spool, in order; a chunk is held at a time and no file is kept open between chunks."""
    at = 0
    while True:
        with file_errors(path), path.open("rb") as stream:
            stream.seek(at)
            try:
                rows = read_frame(stream)
            except EOFError:
                return
            at = stream.tell()
        yield from rows
