"""The README names every setting, command, step and exit code, and the files that it links to exist."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from canswarm_tui import cli
from canswarm_tui.cli import _COMMANDS
from canswarm_tui.engine.checklist import STEP_NAMES
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.settings_file import env_name, known_keys

ROOT = Path(__file__).resolve().parent.parent
JSON = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
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


def test_every_command_has_its_fields_in_the_page_about_json() -> None:
    rows = "\n".join(line for line in JSON.splitlines() if line.startswith("| `"))
    assert [name for name in _COMMANDS if f"`{name}" not in rows] == []


@pytest.mark.parametrize("command", ["status", "findings list", "stop", "keys", "sandbox status"])
def test_a_command_answers_with_the_fields_that_the_page_names(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [n for n in os.environ if n.startswith("CANSWARM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / ".state").mkdir()
    cli.run([*command.split(), "--json", "--site", str(tmp_path), "--state-dir", str(tmp_path / "state")])
    answer = json.loads(capsys.readouterr().out)
    head = set(re.findall(r"^\| `(\w+)` \|", JSON.split("## The fields")[0], re.MULTILINE))
    assert (answer["format"], answer["error"]) == ("canswarm-tui/1", None)
    assert set(answer) - head <= documented(command)


def documented(command: str) -> set[str]:
    """The fields in the command's row; `status` has those of `run` as well."""
    rows = [line.split("|")[1:3] for line in JSON.split("## The fields")[1].splitlines() if line.startswith("| `")]
    fields = {
        name: set(re.findall(r"`(\w+)`", told)) for names, told in rows for name in re.findall(r"`([^`]+)`", names)
    }
    return fields[command] | (fields["run"] if command == "status" else set())
