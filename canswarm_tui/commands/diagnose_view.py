"""A look as lines for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from canswarm_tui.commands.face import Face
from canswarm_tui.engine.health.facts import Check, Look, Section
from canswarm_tui.engine.text import advice, bytes_text, shown


def write_look(face: Face, one: Look) -> None:
    """Name, condition and address on a line, then the error, the worries and the sections."""
    face.write(f"{one.name:<10} {one.condition} {shown(one.address)} ({one.took_ms:.0f} ms)")
    if one.error is not None:
        face.write(f"    {shown(advice(one.error.happened, one.error.remedy))}")
    for worry in one.worries:
        face.write(f"    {worry.level}: {shown(worry.subject)}: {shown(advice(worry.happened, worry.remedy))}")
    write_sections(face, one.sections)


def write_sections(face: Face, sections: Sequence[Section]) -> None:
    for one in sections:
        face.write(f"  {shown(one.title)}")
        for name, value in one.facts:
            text = bytes_text(value) if name.endswith("bytes") and isinstance(value, int | float) else str(value)
            face.write(f"    {shown(name.removesuffix(' bytes'))}: {shown(text)}")


def write_check(face: Face, one: Check) -> None:
    """Symptom, verdict, what was looked at, remedy and command, a line each."""
    face.write(f"    {one.id:<18} {shown(one.symptom)}")
    face.write(f"      {one.verdict.value}: {shown(one.said)}")
    for line in one.looked_at:
        face.write(f"      looked at: {shown(line)}")
    if one.remedy:
        face.write(f"      what to do: {shown(one.remedy)}")
    face.write(f"      $ {shown(one.command)}")


def check_view(one: Check) -> dict[str, object]:
    return {**asdict(one), "verdict": one.verdict.value, "variables": one.variables}


def look_view(one: Look) -> dict[str, object]:
    error = None
    if one.error is not None:
        error = {"kind": type(one.error).__name__, "happened": one.error.happened, "remedy": one.error.remedy}
    worries = [
        {"code": w.code, "level": str(w.level), "subject": w.subject, "happened": w.happened, "remedy": w.remedy}
        for w in one.worries
    ]
    return {
        "address": one.address, "condition": str(one.condition), "took_ms": one.took_ms,
        "sections": [section_view(s) for s in one.sections], "worries": worries, "error": error,
    }  # fmt: skip


def section_view(one: Section) -> dict[str, object]:
    return {"title": one.title, "facts": dict(one.facts)}
