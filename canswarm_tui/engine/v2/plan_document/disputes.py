"""Values that actors have written at the same time: Automerge keeps one and hides the others until somebody overwrites.

The binding has no call for it; only the text of a diff's patches says `conflict: true`. A diff takes quadratic time,
so it is asked from where the first actor's own changes end, and not at all where too much was written since.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from automerge.core import ROOT, Document

OPERATIONS_AT_MOST: Final = 10_000
_TEXT: Final = r'"((?:[^"\\]|\\.)*)"'
_PATCH: Final = re.compile(rf"path: (\[.*\]), action: PutMap \{{ key: {_TEXT}, value: .*, conflict: true \}} \}}", re.S)
_STEP: Final = re.compile(rf"Map\({_TEXT}\)")


@dataclass(frozen=True, slots=True)
class Authors:
    """Who has written a document; `later` is how many operations lie after the first actor's own beginning."""

    changes: int
    actors: int
    later: int
    base: bytes
    """Hash of the last change before any other actor's."""


def authors_of(doc: Document) -> Authors:
    changes = doc.get_changes([])
    first = changes[0].actor_id
    own = list(takewhile(lambda change: change.actor_id == first, changes))
    later = sum(change.max_op - change.start_op + 1 for change in changes[len(own) :])
    return Authors(len(changes), len({bytes(change.actor_id) for change in changes}), later, bytes(own[-1].hash))


def disputes(doc: Document, authors: Authors) -> Iterator[str]:
    """`tasks/T1/state: FINAL stands; DECIDED was written at the same time`, for each value that hides another."""
    if authors.actors < 2 or authors.later > OPERATIONS_AT_MOST:
        return
    tips = {bytes(change.actor_id): bytes(change.hash) for change in doc.get_changes([])}
    later = [tip for tip in tips.values() if tip != authors.base]
    for patch in doc.diff([authors.base], doc.get_heads()):
        found = _PATCH.search(repr(patch))
        if found is None:
            continue
        path = [_plain(step) for step in _STEP.findall(found[1])]
        key = _plain(found[2])
        holder = _at(doc, path)
        stands = _value(doc, holder, key, None)
        others = sorted({_value(doc, holder, key, tip) for tip in later} - {stands, ""})
        hidden = ", ".join(others) or "another value"
        yield f"{'/'.join([*path, key])}: {stands} stands; {hidden} was written at the same time"


def _at(doc: Document, path: list[str]) -> bytes:
    holder = ROOT
    for step in path:
        found = doc.get(holder, step)
        assert found is not None, "the patch has just named it"
        holder = found[1]
    return holder


def _value(doc: Document, holder: bytes, key: str, tip: bytes | None) -> str:
    """As text; empty where it wasn't there at that change."""
    try:
        found: Any = doc.get(holder, key) if tip is None else doc.get(holder, key, [tip])
    except Exception:  # noqa: BLE001 - the binding's only exception: the object didn't exist yet
        return ""
    if found is None:
        return ""
    value = found[0]
    return str(value[1]) if isinstance(value, tuple) else str(value)


def _plain(text: str) -> str:
    """What Rust's debug text of a string says."""
    text = re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}.get(found[1], found[1]), text)
