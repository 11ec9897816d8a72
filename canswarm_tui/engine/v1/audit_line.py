"""One line of v1's audit log, judged: what it is, what is wrong with it, and the facts about the envelope it carries.

Pure, so that child processes can do it; `audit_log` cuts the file into lines. A line is `ts_ns`, `thread_id`,
`subject`, `kind`, `payload_hash`, `payload`, `version` 1 and a signature over its canonical form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from canswarm_tui.engine.v1.envelope import (
    Facts,
    Json,
    Uncanonical,
    claims_envelope,
    facts,
    is_envelope,
    parse_json,
    payload_hash,
    signature_holds,
    signed_form,
)

PUBLISH: Final = "BUS.PUBLISH"
DELIVER: Final = "BUS.DELIVER"
_TEXTS: Final = ("thread_id", "subject", "kind", "payload_hash", "sig_pk_b64", "sig_b64")
_CACHED_VERDICTS: Final = 4096

_holds = lru_cache(maxsize=_CACHED_VERDICTS)(signature_holds)
"""PUBLISH and DELIVER lines carry the same envelope. The cache compares whole messages, so verdicts stay exact."""


class LineForm(StrEnum):
    """What a line is; every line is exactly one."""

    ENVELOPE = "envelope"
    """Carries an envelope, or something that claims to be one."""
    PLAIN = "plain"
    """Carries a plain message, as old lines do."""
    RAW = "raw"
    """Carries `_raw`: bytes that v1 could not read as JSON."""
    NOT_A_LINE = "not_a_line"
    """JSON, but not an audit line: no object, or a field missing or mistyped."""
    NOT_JSON = "not_json"
    TRUNCATED = "truncated"
    """The last line, without its newline and no whole JSON: cut by a crash, or being written."""
    TOO_LONG = "too_long"
    BLANK = "blank"


class LineFault(StrEnum):
    """What is wrong with a line, besides its form; several may hold."""

    LINE_SIGNATURE = "line_signature_invalid"
    LINE_HASH = "line_payload_hash_invalid"
    """The line's `payload_hash` is not that of what it carries."""
    ENVELOPE_DAMAGED = "envelope_damaged"
    """A field of the envelope is missing or mistyped."""
    ENVELOPE_SIGNATURE = "envelope_signature_invalid"
    ENVELOPE_HASH = "envelope_payload_hash_invalid"
    NUL_BYTES = "nul_bytes"
    """Zeros that a crashed machine left where data should be."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The envelope of a line. Texts are empty and numbers 0 where a damaged envelope has none."""

    identity: bytes
    """16 bytes that are equal for equal envelopes, signature included, and for no others."""
    id: str
    thread_id: str
    lamport: int
    need_id: str | None
    """Of a DECIDE with a need id that is text, else None."""
    facts: Facts


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line and its verdict."""

    number: int
    """From 1."""
    offset: int
    """Where it begins in the file, in bytes."""
    size: int
    """Bytes, newline included."""
    form: LineForm
    faults: tuple[LineFault, ...] = ()
    ts_ns: int = 0
    kind: str = ""
    """`BUS.PUBLISH` or `BUS.DELIVER`; empty where it has none."""
    thread_id: str = ""
    """The subscriber's for a DELIVER; the envelope's own is in `carried`."""
    carried: Carried | None = None

    @property
    def sound(self) -> bool:
        """An envelope or a plain message with nothing wrong."""
        return self.form in (LineForm.ENVELOPE, LineForm.PLAIN) and not self.faults


@dataclass(frozen=True, slots=True)
class Judge:
    """How lines are judged: where an artifact is looked up, and which policy hashes count as current."""

    blob_exists: Callable[[str], bool]
    current_hashes: Collection[str]

    def line(self, number: int, offset: int, text: bytes) -> AuditLine:
        """The verdict on the bytes of one line; any bytes at all give one."""
        size = len(text)
        nul = (LineFault.NUL_BYTES,) if b"\0" in text else ()
        if not text.strip():
            return AuditLine(number, offset, size, LineForm.BLANK)
        try:
            value = parse_json(text)
        except ValueError:
            form = LineForm.NOT_JSON if text.endswith(b"\n") else LineForm.TRUNCATED
            return AuditLine(number, offset, size, form, nul)
        if not isinstance(value, dict) or not _is_line(value):
            return AuditLine(number, offset, size, LineForm.NOT_A_LINE, nul)
        return self._parsed(number, offset, size, value)

    def _parsed(self, number: int, offset: int, size: int, value: dict[str, Json]) -> AuditLine:
        payload = value["payload"]
        form = _form(payload)
        carried: Carried | None = None
        inner: tuple[LineFault, ...] = ()
        if form is LineForm.ENVELOPE and isinstance(payload, dict):
            carried, inner = self._carried(payload)
        return AuditLine(
            number,
            offset,
            size,
            form,
            (*_line_faults(value), *inner),
            _number(value.get("ts_ns")),
            _text(value.get("kind")),
            _text(value.get("thread_id")),
            carried,
        )

    def _carried(self, envelope: dict[str, Json]) -> tuple[Carried, tuple[LineFault, ...]]:
        signed = signed_form(envelope)
        valid = signed is not None and _holds(*signed)
        found = facts(envelope, self.blob_exists, self.current_hashes, valid)
        faults = {
            LineFault.ENVELOPE_DAMAGED: not is_envelope(envelope),
            LineFault.ENVELOPE_SIGNATURE: not found.signature_valid,
            LineFault.ENVELOPE_HASH: not found.payload_hash_valid,
        }
        carried = Carried(
            _identity(envelope, signed),
            _text(envelope.get("id")),
            _text(envelope.get("thread_id")),
            _number(envelope.get("lamport")),
            _need_id(envelope),
            found,
        )
        return carried, tuple(fault for fault, holds in faults.items() if holds)


def _is_line(value: dict[str, Json]) -> bool:
    return (
        all(isinstance(value.get(name), str) for name in _TEXTS)
        and type(value.get("ts_ns")) is int
        and value.get("version") == 1
        and "payload" in value
    )


def _form(payload: Json) -> LineForm:
    if isinstance(payload, dict) and "_raw" in payload:
        return LineForm.RAW
    return LineForm.ENVELOPE if claims_envelope(payload) else LineForm.PLAIN


def _line_faults(value: dict[str, Json]) -> tuple[LineFault, ...]:
    signed = signed_form(value)
    try:
        hash_holds = payload_hash(value["payload"]) == value["payload_hash"]
    except Uncanonical:
        hash_holds = False
    bad_signature = () if signed is not None and signature_holds(*signed) else (LineFault.LINE_SIGNATURE,)
    return bad_signature if hash_holds else (*bad_signature, LineFault.LINE_HASH)


def _identity(envelope: dict[str, Json], signed: tuple[bytes, bytes] | None) -> bytes:
    message = b"".join(signed) if signed is not None else repr(envelope).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(message, digest_size=16).digest()


def _need_id(envelope: dict[str, Json]) -> str | None:
    payload = envelope.get("payload")
    if envelope.get("kind") != "DECIDE" or not isinstance(payload, dict):
        return None
    need = payload.get("need_id")
    return need if isinstance(need, str) else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Json) -> int:
    return value if type(value) is int else 0
