"""Decisions in Redis as hands leave them: lost, wrong types, bad JSON, fields that are missing or lie, odd keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_SOUND: Final[dict[str, Any]] = {
    "need_id": "",
    "proposal_id": "by hand",
    "epoch": 1,
    "lamport": 7,
    "k_plan": 1,
    "decider_id": "by hand",
    "timestamp_ns": 1_795_423_412_870_333_193,
}


def plant(file: Path) -> Iterator[tuple[str, str]]:
    """Takes one decision out of `redis.jsonl` and appends damaged keys; yields (kind, key as people read it)."""
    sound = file.read_text(encoding="ascii").splitlines(keepends=True)
    if sound:
        lost = sound.pop(len(sound) // 2)
        file.write_text("".join(sound), encoding="ascii")
        yield "lost", json.loads(lost)["key"]
    with file.open("a", encoding="ascii") as lines:
        for kind, line in _lines():
            lines.write(json.dumps(line) + "\n")
            key = line.get("key") or base64.b64decode(line["key_b64"]).decode("utf-8", "backslashreplace")
            yield kind, key


def _lines() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "wrong_type", {"key": "decide:broken-hash", "type": "hash", "value": {"need_id": "broken-hash"}}
    yield "wrong_type", {"key": "decide:broken-list", "type": "list", "value": ["a"]}
    yield "bad_json", {"key": "decide:broken-json", "value": '{"need_id": "broken-json", '}
    yield "bad_json", {"key": "decide:broken-empty", "value": ""}
    yield "not_an_object", {"key": "decide:broken-array", "value": "[1, 2]"}
    yield "field_missing", {"key": "decide:broken-field", "value": _value("broken-field", proposal_id=None)}
    yield "field_mistyped", {"key": "decide:broken-epoch", "value": _value("broken-epoch", epoch="1")}
    yield "field_mistyped", {"key": "decide:broken-bool", "value": _value("broken-bool", lamport=True)}
    yield "need_id_differs", {"key": "decide:broken-name", "value": _value("another need")}
    yield "expires", {"key": "decide:expiring", "value": _value("expiring"), "ttl_ms": 86_400_000}
    odd = base64.b64encode(b"decide:\xff\xfe need").decode()
    yield "key_not_utf8", {"key_b64": odd, "value": _value("?")}


def _value(need_id: str, **changes: Any) -> str:
    fields = {**_SOUND, "need_id": need_id, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None})
