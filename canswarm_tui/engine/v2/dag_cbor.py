"""The little of DAG-CBOR that a CAR header and our manifests are made of, in its one canonical form.

Maps with text keys, lists, text, bytes, integers and CIDs (tag 42). Anything else is refused, in both directions.
Format: https://ipld.io/specs/codecs/dag-cbor/spec/
"""

from __future__ import annotations

from canswarm_tui.engine.v2.cid import CID_BYTES, Cid

Value = int | bytes | str | Cid | list["Value"] | dict[str, "Value"]

_UINT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP = range(6)
_CID_TAG = b"\xd8\x2a\x58" + bytes((CID_BYTES + 1, 0))
"""Tag 42, a byte string of 37, and the identity multibase."""
_MAX_DEPTH = 16


def encode(value: Value) -> bytes:
    """The canonical bytes: map keys ordered by length, then as bytes; shortest numbers; definite lengths."""
    parts: list[bytes] = []
    _encode(value, parts)
    return b"".join(parts)


def decode(data: bytes) -> Value:
    """The value; raises ValueError for other bytes than `encode` makes."""
    value, end = _decode(memoryview(data), 0, 0)
    if end != len(data):
        raise ValueError("bytes after the end of a CBOR value")
    if encode(value) != data:
        raise ValueError("CBOR that is not in the canonical form")
    return value


def _encode(value: Value, parts: list[bytes]) -> None:
    match value:
        case Cid():
            parts.append(_CID_TAG + bytes(value))
        case bytes():
            parts.append(_head(_BYTES, len(value)) + value)
        case str():
            text = value.encode()
            parts.append(_head(_TEXT, len(text)) + text)
        case int():
            parts.append(_head(_UINT, value) if value >= 0 else _head(_NEGATIVE, -1 - value))
        case list():
            parts.append(_head(_LIST, len(value)))
            for item in value:
                _encode(item, parts)
        case dict():
            parts.append(_head(_MAP, len(value)))
            for key, item in _ordered(value):
                parts.append(_head(_TEXT, len(key)) + key)
                _encode(item, parts)


def _ordered(value: dict[str, Value]) -> list[tuple[bytes, Value]]:
    return sorted(((k.encode(), v) for k, v in value.items()), key=lambda item: (len(item[0]), item[0]))


def _head(major: int, number: int) -> bytes:
    lead = major << 5
    if number < 24:
        return bytes((lead | number,))
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            return bytes((lead | code,)) + number.to_bytes(width, "big")
    raise ValueError("a number of more than 64 bits")


def _number(data: memoryview, at: int) -> tuple[int, int, int]:
    """Major type, number and the offset after a head."""
    if at >= len(data):
        raise ValueError("CBOR ends too early")
    major, short = data[at] >> 5, data[at] & 0x1F
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise ValueError("CBOR of indefinite length")
    width = 1 << (short - 24)
    return major, int.from_bytes(_take(data, at + 1, width), "big"), at + 1 + width


def _take(data: memoryview, at: int, size: int) -> memoryview:
    if at + size > len(data):
        raise ValueError("CBOR ends too early")
    return data[at : at + size]


def _decode(data: memoryview, at: int, depth: int) -> tuple[Value, int]:
    if depth > _MAX_DEPTH:
        raise ValueError("CBOR that is nested too deeply")
    major, number, at = _number(data, at)
    match major:
        case 0:
            return number, at
        case 1:
            return -1 - number, at
        case 2:
            return bytes(_take(data, at, number)), at + number
        case 3:
            return bytes(_take(data, at, number)).decode(), at + number
        case 4:
            return _decode_list(data, at, number, depth)
        case 5:
            return _decode_map(data, at, number, depth)
        case 6:
            return _decode_cid(data, at, number, depth)
        case _:
            raise ValueError("a kind of CBOR value that is not used here")


def _decode_list(data: memoryview, at: int, length: int, depth: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    for _ in range(length):
        item, at = _decode(data, at, depth + 1)
        items.append(item)
    return items, at


def _decode_map(data: memoryview, at: int, length: int, depth: int) -> tuple[dict[str, Value], int]:
    entries: dict[str, Value] = {}
    for _ in range(length):
        key, at = _decode(data, at, depth + 1)
        if not isinstance(key, str) or key in entries:
            raise ValueError("a CBOR map with a key that is no text or comes twice")
        entries[key], at = _decode(data, at, depth + 1)
    return entries, at


def _decode_cid(data: memoryview, at: int, tag: int, depth: int) -> tuple[Cid, int]:
    content, end = _decode(data, at, depth + 1)
    if tag != 42 or not isinstance(content, bytes) or content[:1] != b"\0":
        raise ValueError("a CBOR tag that is no CID")
    return Cid.from_bytes(content[1:]), end
