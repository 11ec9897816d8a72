"""An audit log as crashes, disks and strangers leave it: lines cut, zeroed, doubled, forged, or no lines at all."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from canswarm_tui.engine.v1.envelope import Json, sign
from canswarm_tui.sandbox.site import signer_of
from canswarm_tui.sandbox.site_seal import Signer, envelope, line, parcel

THREAD: Final = "damaged-thread"
_START_NS: Final = 1_795_600_000_000_000_000
_FORGED: Final = "A" * 86 + "=="
_SPOILED_LINE: Final = 20
"""From 1: a line of the first thread."""


def plant(path: Path, seed: int) -> Iterator[tuple[str, str]]:
    """Spoils one line in place and appends bad ones; yields (kind, `line N`), N from 1. The last line has no end."""
    with path.open("rb") as log:
        lines = sum(1 for _ in log)
    yield "line_signature_invalid", f"line {_spoil_in_place(path)}"
    with path.open("ab") as log:
        for kind, text in _Forger(seed).lines():
            lines += 1
            log.write(text)
            if kind:
                yield kind, f"line {lines}"


def _spoil_in_place(path: Path) -> int:
    """One letter of a line's own signature; what it carries stays sound."""
    with path.open("r+b") as log:
        for _ in range(_SPOILED_LINE - 1):
            log.readline()
        start = log.tell()
        text = log.readline()
        at = text.rindex(b'"sig_b64":"') + len(b'"sig_b64":"') + 10
        log.seek(start + at)
        log.write(b"A" if text[at : at + 1] != b"A" else b"B")
    return _SPOILED_LINE


class _Forger:
    """Makes lines, sound and damaged, each with a later stamp than the one before."""

    def __init__(self, seed: int) -> None:
        self._signer = signer_of(seed)
        self._rng = random.Random(f"canswarm site {seed} damage")
        self._lost = hashlib.sha256(f"canswarm site {seed} never stored".encode()).hexdigest()
        self._lamport = 0

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """(kind or empty for a sound line, the bytes)."""
        yield "artifact_not_found", self._line(self._envelope("COMMIT", {"artifact_hash": self._lost}))
        sound = self._line(self._envelope("NEED", {"need_id": "damaged"}))
        yield "", sound
        yield "duplicate_line", sound
        yield (
            "envelope_signature_invalid",
            self._line({**self._envelope("CLAIM", {"task_id": "x"}), "sig_b64": _FORGED}),
        )
        yield "envelope_payload_hash_invalid", self._line(self._resigned({"payload_hash": "0" * 64}))
        yield "line_payload_hash_invalid", self._line_with_wrong_hash()
        yield "kind_not_allowed", self._line(self._envelope("SHOUT", {"text": "!"}))
        yield "lamport_not_positive", self._line(self._envelope("NEED", {"need_id": "zero"}, lamport=0))
        yield "payload_too_large", self._line(self._envelope("PROPOSE", {"plan": "x" * 65536}))
        yield "envelope_damaged", self._line(self._resigned({"nonce": None}))
        yield "raw", self._line({"_raw": "\udcff not JSON".encode("utf-8", "backslashreplace").decode()})
        yield "not_json", b"this is no line of v1\n"
        yield "not_a_line", b'{"ts_ns": 1}\n'
        yield "nul_bytes", b"\0" * 4096 + b"\n"
        yield "blank", b"\n"
        yield "truncated", self._line(self._envelope("NEED", {"need_id": "cut"}))[:-200]

    def _envelope(self, kind: str, payload: Json, lamport: int | None = None) -> dict[str, Json]:
        self._lamport += 1
        ids = (self._uuid(), self._uuid())
        stamp = _START_NS + self._lamport
        return envelope(self._signer, THREAD, kind, payload, self._lamport if lamport is None else lamport, stamp, ids)

    def _resigned(self, changes: dict[str, Json]) -> dict[str, Json]:
        """An envelope that was wrong before it was signed."""
        return sign({**self._envelope("NEED", {"need_id": "wrong"}), **changes}, self._signer.seed)

    def _line(self, carried: Json, signer: Signer | None = None) -> bytes:
        self._lamport += 1
        subject = f"thread.{THREAD}.need"
        stamp = _START_NS + self._lamport * 1000
        return line(signer or self._signer, parcel(carried), "BUS.PUBLISH", THREAD, subject, stamp).encode()

    def _line_with_wrong_hash(self) -> bytes:
        fields = json.loads(self._line(self._envelope("NEED", {"need_id": "line hash"})))
        signed = sign({**fields, "payload_hash": "f" * 64}, self._signer.seed)
        return json.dumps(signed, separators=(",", ":")).encode() + b"\n"

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
