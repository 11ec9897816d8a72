"""The blobs of the demonstration site: one a thread, among them every size at which a target behaves differently."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.v1.blobs import blob_path

_KIB: Final = 1 << 10
SPECIAL_SIZES: Final = (
    0,
    1,
    4 * _KIB,
    70_000,
    256 * _KIB - 1,
    256 * _KIB,
    256 * _KIB + 1,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (2 << 20) - 1,
    2 << 20,
    (2 << 20) + 1,
    (5 << 20) + 3,
)
"""Around IPFS's chunk, its block limits and one that takes several blocks; all are in every site, committed or not."""
_USUAL_SIZES: Final = (38, 39, 189, 190, 190, 190, 901, 190)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A blob to be: name, size and how its bytes are made."""

    name: str
    body: bytes


def artifact(seed: int, index: int) -> Artifact:
    """What thread `index` commits."""
    body = hashlib.shake_256(f"canswarm site {seed} blob {index}".encode()).digest(size_of(index))
    return Artifact(hashlib.sha256(body).hexdigest(), body)


def size_of(index: int) -> int:
    """Bytes of the blob of thread `index`: special ones first, then small, and now and then a larger one."""
    if index < len(SPECIAL_SIZES):
        return SPECIAL_SIZES[index]
    if index % 1000 == 500:
        return 256 * _KIB + 3
    if index % 100 == 50:
        return 70_002
    if index % 25 == 10:
        return 4 * _KIB + 1
    return _USUAL_SIZES[index % len(_USUAL_SIZES)]


def write(cas: Path, blob: Artifact) -> None:
    """As v1 does: a temporary file, mode 0600, then renamed into place."""
    path = blob_path(cas, blob.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"tmp{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        file.write(blob.body)
    temporary.rename(path)
