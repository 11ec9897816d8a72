"""`verify STEP --key KEY`: one record three ways, as text or as one JSON object."""

from __future__ import annotations

import os
from collections.abc import Sequence

from canswarm_tui.commands.face import Face
from canswarm_tui.commands.views import when
from canswarm_tui.engine.errors import ExitCode, SettingsError
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.three_ways import HINTS, Held, ThreeWays, compare_three_ways


def compare_record(face: Face, steps: Sequence[str], key: str) -> int:
    """DONE when site and target hold the same, ATTENTION when not; the engine's errors go through."""
    if len(steps) != 1:
        names = "; ".join(f"{step}: {hint}" for step, hint in HINTS.items())
        raise SettingsError("--key", "it is a record of one step, so name that step", names)
    assert face.place.folder.exists()
    found = compare_three_ways(face.settings, steps[0], os.fsencode(key))
    _write(face, found)
    return face.answer(ExitCode.DONE if found.equal else ExitCode.ATTENTION, {"three_ways": three_ways_view(found)})


def three_ways_view(found: ThreeWays) -> dict[str, object]:
    """The comparison as plain data."""
    return {
        "step": found.step, "noun": found.noun, "key": found.key.decode("utf-8", "backslashreplace"),
        "equal": found.equal, "known": found.known, "summary": found.summary,
        "read_at": when(found.read_at), "site": _view(found.site),
        "target": _view(found.target), "receipt": _view(found.receipt), "notes": list(found.notes),
        "pairs": [
            {"first": p.first, "second": p.second, "likeness": p.likeness.value, "why": p.why} for p in found.pairs
        ],
    }  # fmt: skip


def _view(side: Held) -> dict[str, object]:
    return {
        "where": side.where, "there": side.digest is not None,
        "sha256": None if side.digest is None else side.digest.hex(), "size_bytes": side.size_bytes,
        "excerpt": list(side.excerpt), "facts": list(side.facts), "problem": side.problem or None,
    }  # fmt: skip


def _write(face: Face, found: ThreeWays) -> None:
    face.write(f"{found.step}: {found.noun} {shown(found.key, 200)}")
    for name, side in (("site", found.site), ("target", found.target), ("receipt", found.receipt)):
        face.write(f"{name}: {shown(side.where)}")
        for line in _lines(side):
            face.write(f"    {line}")
    for pair in found.pairs:
        why = f" ({pair.why})" if pair.why else ""
        face.write(f"{pair.first} and {pair.second}: {pair.likeness.value}{why}")
    for note in found.notes:
        face.write(f"note: {note}")
    face.write(found.summary)


def _lines(side: Held) -> list[str]:
    """Digest, size, problem, facts and excerpt of one side."""
    if side.digest is None and not side.problem:
        return ["nothing is there"]
    lines = [] if side.digest is None else [f"SHA-256 {side.digest.hex()}, {side.size_bytes:,} bytes"]
    return [*lines, *([f"! {side.problem}"] if side.problem else []), *side.facts, *(f"| {t}" for t in side.excerpt)]
