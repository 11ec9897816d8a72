"""v1's envelopes: canonical JSON, hashes, Ed25519 signatures, and the facts that every policy engine decides on.

Stands apart from `policy` because the facts are established once, by the host, and then judged three times: by v1's
own rules, by OPA and by WASM. Format: canonical JSON is sorted, compact and ASCII-escaped; a signature covers the
canonical JSON of an object without `sig_pk_b64` and `sig_b64`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

SIGNATURE_FIELDS: Final = ("sig_pk_b64", "sig_b64")
ENVELOPE_TEXTS: Final = (
    "id",
    "thread_id",
    "kind",
    "sender_pk_b64",
    "payload_hash",
    "policy_engine_hash",
    "nonce",
    *SIGNATURE_FIELDS,
)
UNKNOWN_SIZE: Final = -1
"""`Facts.payload_size_bytes` of a payload that has no canonical form; every policy must deny it."""

_HEX: Final = frozenset("0123456789abcdef")
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Uncanonical(ValueError):
    """A value that v1's JSON can't write: nested too deeply, or an integer too long for text."""


def canonical_json(value: object) -> bytes:
    """v1's canonical form: sorted keys, no spaces, ASCII-escaped. Raises `Uncanonical`."""
    try:
        return _encode(value).encode("ascii")
    except (ValueError, TypeError, RecursionError) as exc:
        raise Uncanonical(str(exc)) from exc


def parse_json(text: bytes | str) -> Json:
    """What v1 would read; raises ValueError for anything that is no JSON, too deep or not UTF-8."""
    try:
        return cast("Json", json.loads(text if isinstance(text, str) else text.decode()))
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def payload_hash(payload: object) -> str:
    """SHA-256 of the canonical payload, lower-case hex. Raises `Uncanonical`."""
    return hashlib.sha256(canonical_json(payload)).hexdigest()


def sign(fields: Mapping[str, Json], seed: bytes) -> dict[str, Json]:
    """The fields in their order, then `sig_pk_b64` and `sig_b64`; `seed` is the 32-byte Ed25519 seed."""
    key = SigningKey(seed)
    body = {name: value for name, value in fields.items() if name not in SIGNATURE_FIELDS}
    signature = key.sign(canonical_json(body)).signature
    return body | {"sig_pk_b64": _to_b64(bytes(key.verify_key)), "sig_b64": _to_b64(signature)}


def public_key(seed: bytes) -> bytes:
    """The 32-byte Ed25519 public key of a 32-byte seed."""
    return bytes(SigningKey(seed).verify_key)


def signed_form(value: object) -> tuple[bytes, bytes] | None:
    """(public key, signature + message) of a signed object, ready for `signature_holds`; None where it can't be one."""
    if not isinstance(value, dict):
        return None
    key, signature = _from_b64(value.get("sig_pk_b64"), 32), _from_b64(value.get("sig_b64"), 64)
    if key is None or signature is None:
        return None
    body = {name: item for name, item in value.items() if name not in SIGNATURE_FIELDS}
    try:
        return key, signature + canonical_json(body)
    except Uncanonical:
        return None


def signature_holds(key: bytes, signed: bytes) -> bool:
    """Ed25519 itself: `signed` is the 64-byte signature followed by the message."""
    try:
        crypto_sign_open(signed, key)
    except (CryptoError, ValueError):
        return False
    return True


def verify_signature(value: object) -> bool:
    """True when `value` is an object whose Ed25519 signature holds; false for any other value, never an exception."""
    form = signed_form(value)
    return form is not None and signature_holds(*form)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the host establishes about one envelope. JSON-safe: every field can be sent to any policy engine.

    All fields are on the safe side: what is missing, mistyped or can't be told is false, None or `UNKNOWN_SIZE`.
    """

    signature_valid: bool
    payload_hash_valid: bool
    lamport_positive: bool
    policy_hash_current: bool
    kind: str | None
    """None where the envelope names no kind, or one that is no text or no valid Unicode."""
    payload_size_bytes: int
    """Length of the canonical payload; 0 where there is none, `UNKNOWN_SIZE` where it has no canonical form."""
    artifact_named: bool
    """The payload is an object with an `artifact_hash` that is not null."""
    artifact_present: bool
    """That artifact is 64 lower-case hex digits and a blob of the content store; false where none is named."""

    def as_input(self) -> dict[str, Json]:
        """The facts by name, as a policy engine reads them."""
        return {name: cast("Json", getattr(self, name)) for name in self.__slots__}


def facts(
    envelope: object,
    blob_exists: Callable[[str], bool],
    current_hashes: Collection[str],
    signature_valid: bool | None = None,
) -> Facts:
    """The facts about any JSON value at all; never raises on its account.

    `blob_exists` is only asked about well-formed hashes. `current_hashes` are the policy hashes that count as current.
    `signature_valid` spares the check where the caller has verified this very envelope.
    """
    fields = envelope if isinstance(envelope, dict) else {}
    artifact = _artifact(fields.get("payload"))
    size, digest = _measure(fields)
    policy_hash = fields.get("policy_engine_hash")
    return Facts(
        signature_valid=verify_signature(envelope) if signature_valid is None else signature_valid,
        payload_hash_valid=digest is not None and fields.get("payload_hash") == digest,
        lamport_positive=is_lamport(fields.get("lamport")),
        policy_hash_current=isinstance(policy_hash, str) and policy_hash in current_hashes,
        kind=_unicode(fields.get("kind")),
        payload_size_bytes=size,
        artifact_named=artifact is not None,
        artifact_present=isinstance(artifact, str) and is_blob_name(artifact) and blob_exists(artifact),
    )


def is_blob_name(name: str) -> bool:
    """64 lower-case hex digits."""
    return len(name) == 64 and _HEX.issuperset(name)


def is_lamport(value: object) -> bool:
    """An integer above 0; JSON's true is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_envelope(value: object) -> bool:
    """Has every field of a version 1 envelope, each of its type; says nothing about whether it is valid."""
    return (
        isinstance(value, dict)
        and value.get("v") == 1
        and all(isinstance(value.get(name), str) for name in ENVELOPE_TEXTS)
        and type(value.get("lamport")) is int
        and type(value.get("ts_ns")) is int
        and "payload" in value
    )


def claims_envelope(value: object) -> bool:
    """Carries what only an envelope has, whole or not: then a missing field is damage and not a plain message."""
    return isinstance(value, dict) and ("sig_b64" in value or ("v" in value and "kind" in value))


def _artifact(payload: object) -> object:
    return payload.get("artifact_hash") if isinstance(payload, dict) else None


def _measure(fields: Mapping[str, object]) -> tuple[int, str | None]:
    if "payload" not in fields:
        return 0, None
    try:
        body = canonical_json(fields["payload"])
    except Uncanonical:
        return UNKNOWN_SIZE, None
    return len(body), hashlib.sha256(body).hexdigest()


def _unicode(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _to_b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _from_b64(text: object, size: int) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == size else None
