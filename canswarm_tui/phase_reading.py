"""What a phase screen reads beside the journal's records: preflight's counts, exported files, the tail of an output.

Read in a thread; the screen that asked may have gone by then, and the answer with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from textual.message import Message

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import Place
from canswarm_tui.engine.step import Figure

COUNTED = ("preflight", "blobs-minio")
"""Steps whose screen shows what preflight counted."""
TAIL_LINES = 12
_TAIL_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Reading:
    """Empty where there is nothing yet."""

    inventory: Mapping[str, Figure] = field(default_factory=dict)
    """What preflight counted in the site."""
    exported: tuple[tuple[str, int | None], ...] = ()
    """Exported files with their sizes in bytes as they are now; None for one that is gone."""
    output: Path | None = None
    """Where the output of v1's tests is kept."""
    tail: tuple[str, ...] = ()
    """The last lines of that output, as they are."""
    backup: Mapping[str, str] = field(default_factory=dict)
    """The newest backup of this run as the journal has it: folder, created, keep_until, proved_at (ISO 8601, or "")."""


class PhaseRead(Message):
    """A reading has arrived."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading


def read_phase(place: Place, step: str) -> Reading:
    """Read what the screen of this step shows; what can't be read is left out."""
    if not place.journal.exists():
        return Reading()
    try:
        journal = Journal.observe(place.journal)
        try:
            inventory = journal.step("preflight").fact("inventory") if step in COUNTED else None
            files = journal.step(step).fact("files") if step == "documentation" else None
            last = journal.step(step).fact("last") if step == "backup" else None
        finally:
            journal.close()
    except EngineError:
        return Reading()
    output = place.folder / "v1-tests.log"
    has_output = step == "v1-tests" and output.exists()
    return Reading(
        {name: value for name, value in inventory.items() if isinstance(value, int | float | str)}
        if isinstance(inventory, dict)
        else {},
        tuple((name, _size(place.exports / name)) for name in files) if isinstance(files, dict) else (),
        output if has_output else None,
        tail_of(output) if has_output else (),
        {name: str(value) for name, value in last.items()} if isinstance(last, dict) else {},
    )


def tail_of(path: Path) -> tuple[str, ...]:
    """The last lines of a file, at most `TAIL_LINES`, however large it is; nothing where it can't be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "backslashreplace").splitlines()
    except OSError:
        return ()
    return tuple(lines[-TAIL_LINES:])


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
