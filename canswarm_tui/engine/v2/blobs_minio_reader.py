"""Reading a bucket back: every object, in order, several at once, each hashed; memory bounded by the window."""

from __future__ import annotations

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from minio.error import InvalidResponseError, S3Error

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_errors import s3_errors

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadBlob:
    """One object: the SHA-256 of what the server returned; None where it returned nothing."""

    key: bytes
    digest: bytes | None
    size: int
    body: bytes | Path | None = None
    """The content, or a temporary file with it; None when only the hash was wanted."""


Again = Callable[[EngineError, Callable[[], ReadBlob]], ReadBlob]
"""What is done about a read that has failed: `RetryPolicy.after`, or raise."""


def read_many(
    client: S3Client, keys: Iterable[bytes], again: Again, *,
    workers: int = 8, inline_bytes: int = 0, folder: Path | None = None,
) -> Iterator[ReadBlob]:  # fmt: skip
    """Read the named objects in the order of `keys`.

    With `folder` the contents come along: up to `inline_bytes` in memory, larger ones as a file in `folder`, which
    whoever takes it removes. Raises what `again`, called in several threads, raises of the client's errors; what was
    read until then has been given out.
    """

    def read(key: bytes) -> ReadBlob:
        try:
            return _read(client, key, inline_bytes, folder)
        except EngineError as exc:
            return again(exc, lambda: _read(client, key, inline_bytes, folder))

    pool = ThreadPoolExecutor(workers, thread_name_prefix="s3-read")
    waiting: deque[Future[ReadBlob]] = deque()
    try:
        for key in keys:
            waiting.append(pool.submit(read, key))
            if len(waiting) >= workers * 4:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(client: S3Client, key: bytes, inline_bytes: int, folder: Path | None) -> ReadBlob:
    with s3_errors(client.subject):
        try:
            answer = client.api.get_object(client.bucket, key.decode())
        except S3Error as exc:
            if exc.code == "NoSuchKey":
                return ReadBlob(key, None, 0)
            raise
        except InvalidResponseError as exc:
            if exc._code == 404:
                return ReadBlob(key, None, 0)
            raise
        try:
            size = int(answer.headers.get("content-length", "0"))
            if size <= max(inline_bytes, _CHUNK):
                content = answer.read()
                body = content if folder is not None and len(content) <= inline_bytes else None
                if body is None and folder is not None:
                    return _kept(key, iter([content]), folder)
                return ReadBlob(key, hashlib.sha256(content).digest(), len(content), body)
            if folder is not None:
                return _kept(key, answer.stream(_CHUNK), folder)
            sha, total = hashlib.sha256(), 0
            for chunk in answer.stream(_CHUNK):
                sha.update(chunk)
                total += len(chunk)
            return ReadBlob(key, sha.digest(), total)
        finally:
            answer.close()
            answer.release_conn()


def _kept(key: bytes, chunks: Iterator[bytes], folder: Path) -> ReadBlob:
    sha, total = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix="blob-", delete=False) as file:
        path = Path(file.name)
        try:
            for chunk in chunks:
                sha.update(chunk)
                total += file.write(chunk)
        except BaseException:
            path.unlink()
            raise
    return ReadBlob(key, sha.digest(), total, path)
