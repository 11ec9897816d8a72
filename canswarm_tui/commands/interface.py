"""Opening the terminal interface; says what to do where there is no terminal."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.preferences import FRAMES_REDUCED, load_preferences

M_ARENA_MAX = -8
"""Of mallopt(3)."""


def open_interface(
    config: str | None,
    flags: Mapping[str, str] | None = None,
    *,
    observe: bool,
    mouse: bool,
    last_act: Callable[[], object] = bool,
) -> int:
    """Run the interface until it is left; returns the exit code. Raises `SettingsError` without a terminal.

    `last_act` is done where a lost terminal ends the process before this returns.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingsError("terminal", "the interface needs a terminal", "use the commands: `canswarm-tui --help`")
    preferences, complaints = load_preferences()
    if preferences.is_reduced:
        # Textual reads it when it is imported: fewer frames over a slow line.
        os.environ.setdefault("TEXTUAL_FPS", FRAMES_REDUCED)
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if not mouse:
        preferences = replace(preferences, mouse=False)
    _share_heaps()
    for fixed in ("COLUMNS", "LINES"):  # exported by some shells: they hide the terminal's size, and every change of it
        os.environ.pop(fixed, None)
    gc.disable()  # until the first paint: a tenth of the way there would be spent on it
    from canswarm_tui.app import open_app

    file = Path(config) if config else None
    return open_app(file, flags, observe=observe, preferences=preferences, complaints=complaints, last_act=last_act)


def _share_heaps() -> None:
    """Two heaps for all threads, where glibc has one for each: servers are looked at by many short ones."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
