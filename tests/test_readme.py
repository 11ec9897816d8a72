"""The README names every setting, command, step and exit code, and the files that it links to exist."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from canswarm_tui.cli import _COMMANDS
from canswarm_tui.engine.checklist import STEP_NAMES
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.settings_file import env_name, known_keys

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_readme_with_its_environment_variable() -> None:
    missing = [key for key in known_keys() if f"`{key}`" not in README or f"`{env_name(key)}`" not in README]
    assert missing == []


def test_every_command_is_in_the_readme() -> None:
    commands = {name for name in _COMMANDS if f"canswarm-tui {name}" not in README and f"make {name}" not in README}
    assert commands <= {"backup"}


def test_every_step_is_in_the_readme() -> None:
    assert [name for name in STEP_NAMES if f"`{name}`" not in README] == []


def test_every_exit_code_is_in_the_readme() -> None:
    assert [int(code) for code in ExitCode if f"\n| {int(code)} | " not in README] == []


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / unquote(link)).exists()] == []
