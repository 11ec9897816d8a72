"""The live file: how far the run is that another process leads, for those that only watch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_live(path: Path) -> dict[str, Any] | None:
    """The last progress that the live run wrote, or None where there is none."""
    try:
        facts = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return facts if isinstance(facts, dict) else None
