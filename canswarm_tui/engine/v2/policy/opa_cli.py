"""The `opa` program: checks, formats, tests and compiles Rego. One call is one process with a time-out.

Works on copies in a temporary folder, so that the names it sees, and with them the WASM, are always the same.
Reference: https://www.openpolicyagent.org/docs/latest/cli/
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import NoSpace, SettingsError, Unreachable, WrongAnswer
from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.v2.policy.answer import ENTRYPOINTS
from canswarm_tui.engine.v2.policy.source import PolicySource

TIMEOUT_S: Final = 60.0
_OLDEST: Final = (1, 0)
_MEMBER: Final = "/policy.wasm"
_EXCERPT_CHARS: Final = 600

BUILD_COMMAND: Final = (
    "opa", "build", "-t", "wasm", *(part for name in ENTRYPOINTS for part in ("-e", name)),
    "--prune-unused", "--ignore", "*_test.rego", "-o", "bundle.tar.gz", ".",
)  # fmt: skip
"""How the WASM is built, in a folder that holds just the Rego; its bytes depend on nothing else but opa's version."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What `opa` found wrong with the Rego: bad input, so a value and not an error."""

    command: str
    """`check`, `fmt`, `test` or `build`."""
    text: str
    """Its own words, shortened."""


def unsound(complaints: Iterable[Complaint]) -> list[Complaint]:
    """Those for which the rules can't be trusted: all but how they are laid out."""
    return [one for one in complaints if one.command != "fmt"]


@dataclass(frozen=True, slots=True)
class RegoTests:
    passed: int
    total: int


def find_opa(settings: PolicySettings) -> Path | None:
    """The program that the settings name, or the one on PATH; None where there is none.

    Raises `SettingsError` where the settings name something that can't be started.
    """
    if settings.opa_binary is None:
        found = shutil.which("opa")
        return None if found is None else Path(found)
    if not os.access(settings.opa_binary, os.X_OK) or not settings.opa_binary.is_file():
        raise SettingsError(
            "policy.opa_binary", f"{settings.opa_binary} is no program that can be started", "name the opa program"
        )
    return settings.opa_binary


def require_opa(settings: PolicySettings) -> OpaCli:
    """The program, for what can't be done without it; raises `SettingsError`."""
    path = find_opa(settings)
    if path is None:
        raise SettingsError(
            "policy.opa_binary", "your own Rego needs the opa program, and there is none on PATH",
            "install opa 1.x, or name it with CANSWARM_POLICY__OPA_BINARY; without policy.rego_dir it is not needed",
        )  # fmt: skip
    return OpaCli(path)


class OpaCli:
    """Raises `EngineError`s when the program can't do its work, and gives `Complaint`s about the Rego."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def version(self) -> str:
        """Such as `1.22.2`; raises `WrongAnswer` for a program that is not opa 1.0 or newer."""
        result = self._run(("version",), Path(tempfile.gettempdir()))
        found = re.search(r"^Version:\s*v?((\d+)\.(\d+)\S*)", result.stdout, re.MULTILINE)
        if found is None or (int(found[2]), int(found[3])) < _OLDEST:
            raise WrongAnswer(str(self._path), "it is not opa 1.0 or newer", "name opa 1.x in policy.opa_binary")
        return found[1]

    def examine(self, source: PolicySource) -> tuple[list[Complaint], RegoTests]:
        """`check --strict`, `fmt --fail` and `test` over modules and tests; an empty list means that all is well."""
        with _folder((*source.modules, *source.tests)) as folder:
            complaints = [
                *self._complaint("check", self._run(("check", "--strict", "."), folder)),
                *self._complaint("fmt", self._run(("fmt", "--fail", "--list", "."), folder)),
            ]
            if any(one.command == "check" for one in complaints) or not source.tests:
                return complaints, RegoTests(0, 0)
            result = self._run(("test", "--format", "json", "."), folder)
            return [*complaints, *self._complaint("test", result)], _count(result.stdout)

    def build(self, source: PolicySource) -> bytes | Complaint:
        """The WASM of the modules: byte for byte the same for the same Rego and the same opa."""
        with _folder(source.modules) as folder:
            result = self._run(BUILD_COMMAND[1:], folder)
            for complaint in self._complaint("build", result):
                return complaint
            return _member(folder / "bundle.tar.gz")

    def _run(self, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        subject = f"{self._path} {arguments[0]}"
        try:
            return subprocess.run(
                [str(self._path), *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=self._timeout_s, check=False, env=_environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            raise Unreachable(subject, f"it took longer than {self._timeout_s:.0f} s", "see what slows it") from exc
        except OSError as exc:
            raise SettingsError(subject, exc.strerror or str(exc), "name the opa program in policy.opa_binary") from exc

    @staticmethod
    def _complaint(command: str, result: subprocess.CompletedProcess[str]) -> Iterator[Complaint]:
        if result.returncode == 0:
            return
        if "no space left on device" in result.stderr:
            raise NoSpace("opa", "the disk for temporary files is full", "free some space there")
        text = " ".join(_words(command, result).split())
        yield Complaint(command, text[:_EXCERPT_CHARS] or f"it ended with {result.returncode}")


def _words(command: str, result: subprocess.CompletedProcess[str]) -> str:
    if command == "test" and not result.stderr.strip():
        return "failed: " + ", ".join(name for name, passed in _tests(result.stdout) if not passed)
    return result.stderr.strip() or result.stdout


def _tests(output: str) -> Iterator[tuple[str, bool]]:
    try:
        rows = json.loads(output)
    except ValueError:
        return
    for row in rows if isinstance(rows, list) else ():
        yield str(row.get("name")), not (row.get("fail") or row.get("error"))


def _count(output: str) -> RegoTests:
    results = [passed for _, passed in _tests(output)]
    return RegoTests(sum(results), len(results))


@contextmanager
def _folder(modules: Iterable[tuple[str, bytes]]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="canswarm-rego-") as name:
        folder = Path(name)
        try:
            for relative, text in modules:
                path = folder / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text)
        except OSError as exc:
            raise NoSpace(name, exc.strerror or str(exc), "free some space for temporary files") from exc
        yield folder


def _member(bundle: Path) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle.read_bytes()), mode="r:gz") as tar:
            member = tar.extractfile(_MEMBER)
            assert member is not None
            return member.read()
    except (OSError, tarfile.TarError, KeyError) as exc:
        raise WrongAnswer("opa build", f"its bundle holds no {_MEMBER} ({exc})", "use opa 1.x") from exc


def _environment() -> dict[str, str]:
    """Just what a program needs: opa takes flags from OPA_… variables, and those would change the build."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
