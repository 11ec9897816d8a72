"""How the interface looks and is driven for one person, kept in a file of their own; nothing of a site is in it.

Read before Textual is imported, because the frame rate must be known by then; so nothing here imports it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs
import tomli_w

THEMES = ("swarm-dark", "swarm-light", "ansi-dark", "ansi-light")
"""In the order in which they are offered; the last two are the terminal's own colours."""
BANDWIDTHS = ("auto", "full", "reduced")
"""`auto`: reduced over SSH, that is when SSH_CONNECTION is set."""
FRAMES_REDUCED = "10"


@dataclass(frozen=True, slots=True)
class Preferences:
    theme: str = THEMES[0]
    bandwidth: str = BANDWIDTHS[0]
    mouse: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    """Other keys for actions, by the action's id: `run-step = "f5"`; several are separated by commas."""

    @property
    def is_reduced(self) -> bool:
        """Fewer frames and no animations."""
        return self.bandwidth == "reduced" or (self.bandwidth == "auto" and bool(os.environ.get("SSH_CONNECTION")))


def preferences_file() -> Path:
    return platformdirs.user_config_path("canswarm-tui") / "interface.toml"


def load_preferences() -> tuple[Preferences, tuple[str, ...]]:
    """The preferences, and a sentence for each that can't be what it says and is left at its default."""
    file = preferences_file()
    try:
        table = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return Preferences(), ()
    except (OSError, ValueError) as exc:
        return Preferences(), (f"{file} can't be used ({exc}): every preference is at its default",)
    return _checked(table, file)


def save_preferences(wanted: Preferences) -> Path:
    """Write the file whole; returns its path. Raises `OSError`."""
    file = preferences_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(
        tomli_w.dumps(
            {"theme": wanted.theme, "bandwidth": wanted.bandwidth, "mouse": wanted.mouse, "keys": dict(wanted.keys)}
        )
    )
    partial.replace(file)
    return file


def _checked(table: Mapping[str, object], file: Path) -> tuple[Preferences, tuple[str, ...]]:
    found, wrong = Preferences(), []
    for name, value in table.items():
        match name, value:
            case "theme", str() if value in THEMES:
                found = replace(found, theme=value)
            case "bandwidth", str() if value in BANDWIDTHS:
                found = replace(found, bandwidth=value)
            case "mouse", bool():
                found = replace(found, mouse=value)
            case "keys", dict() if all(isinstance(keys, str) for keys in value.values()):
                found = replace(found, keys=value)
            case _:
                wrong.append(f"{name} in {file} is not one that there is ({_offered(name)})")
    return found, tuple(wrong)


def _offered(name: str) -> str:
    offers = {
        "theme": ", ".join(THEMES),
        "bandwidth": ", ".join(BANDWIDTHS),
        "mouse": "true, false",
        "keys": 'ACTION = "KEY"',
    }
    return offers.get(name, "the names are theme, bandwidth, mouse, keys")
