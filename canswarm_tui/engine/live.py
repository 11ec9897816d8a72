"""The live file: how far the live run is, for those that only watch."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from canswarm_tui.engine.step import Progress, Verb


def read_live(path: Path) -> dict[str, Any] | None:
    """The last progress that the live run wrote, or None where there is none."""
    try:
        facts = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return facts if isinstance(facts, dict) else None


def write_live(path: Path, step: str, verb: Verb, progress: Progress) -> None:
    """Replaced whole, so that no reader sees half of it. Raises `OSError`."""
    facts: dict[str, Any] = {"step": step, "verb": verb.value, "at": time.time(), "pid": os.getpid()}
    facts |= {name: getattr(progress, name) for name in ("doing", "done", "total", "done_bytes", "total_bytes")}
    facts |= {name: getattr(progress, name) for name in ("rate", "eta_s", "waiting", "limit_records_s")}
    facts["figures"] = dict(progress.figures)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(facts))
    partial.replace(path)
