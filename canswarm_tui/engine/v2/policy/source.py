"""The policy as it is published: Rego modules and the data of one version, ours or the operator's.

Ours are package data, beside the WASM that was built from them and the facts of that build.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import Defect, SettingsError
from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.v2.policy.answer import DATA_PATH, PACKAGE, Json, compact

REGO: Final = "envelope.rego"
REGO_TEST: Final = "envelope_test.rego"
TEST_ENDING: Final = "_test.rego"
WASM: Final = "policy.wasm"
BUILD_FACTS: Final = "build.json"
MAX_MODULE_BYTES: Final = 4 << 20

_PACKAGE_LINE: Final = re.compile(rb"^\s*package\s+([A-Za-z0-9_.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PolicySource:
    """`modules` and `tests` hold (file name, Rego) sorted by name; `data` is the JSON text of the version."""

    version: str
    modules: tuple[tuple[str, bytes], ...]
    tests: tuple[tuple[str, bytes], ...]
    data: bytes
    folder: Path | None
    """The operator's folder; None for ours."""

    @property
    def shipped(self) -> bool:
        return self.folder is None

    @property
    def rego_sha256(self) -> str:
        """Over the modules without their tests: names, lengths and contents."""
        digest = hashlib.sha256()
        for name, text in self.modules:
            digest.update(f"{name}\0{len(text)}\0".encode() + text)
        return digest.hexdigest()

    @property
    def document(self) -> dict[str, Json]:
        """The whole data document that the rules see, as the WASM runtime is given it."""
        inner: Json = json.loads(self.data)
        for name in reversed(DATA_PATH):
            inner = {name: inner}
        assert isinstance(inner, dict)
        return inner


def load_source(settings: PolicySettings) -> PolicySource:
    """The policy that the settings choose; raises `SettingsError` for an operator's folder that can't be used."""
    data = compact(json.loads(_shipped(f"data_{settings.version}.json")))
    if settings.rego_dir is None:
        ours, tests_of_ours = (REGO, _shipped(REGO)), (REGO_TEST, _shipped(REGO_TEST))
        return PolicySource(settings.version, (ours,), (tests_of_ours,), data, None)
    found = _own(settings.rego_dir)
    modules = tuple(pair for pair in found if not pair[0].endswith(TEST_ENDING))
    tests = tuple(pair for pair in found if pair[0].endswith(TEST_ENDING))
    if PACKAGE not in {package_of(text) for _, text in modules}:
        raise SettingsError(
            "policy.rego_dir", f"no file in {settings.rego_dir} has package {PACKAGE}",
            f"write `package {PACKAGE}` with the rules `decision`, `decisions` and `allow`",
        )  # fmt: skip
    return PolicySource(settings.version, modules, tests, data, settings.rego_dir)


def package_of(module: bytes) -> str:
    """The package that a Rego module declares; empty where none can be seen."""
    found = _PACKAGE_LINE.search(module)
    return found[1].decode("ascii") if found else ""


@dataclass(frozen=True, slots=True)
class ShippedWasm:
    """Our WASM, its digest checked against the one recorded when it was built."""

    wasm: bytes
    sha256: str
    opa_version: str
    command: tuple[str, ...]


def shipped_wasm() -> ShippedWasm:
    """The WASM of our own Rego; raises `Defect` where it, or the Rego beside it, is not what was recorded."""
    facts = json.loads(_shipped(BUILD_FACTS))
    wasm = _shipped(WASM)
    digest = hashlib.sha256(wasm).hexdigest()
    rego = load_source(PolicySettings()).rego_sha256
    if digest != facts["wasm_sha256"] or rego != facts["rego_sha256"]:
        which = "WASM" if digest != facts["wasm_sha256"] else "Rego"
        raise Defect(
            "shipped policy", f"the {which} is not the one that was recorded at its build",
            "the installation is damaged: install canswarm-tui again",
        )  # fmt: skip
    return ShippedWasm(wasm, digest, facts["opa_version"], tuple(facts["command"]))


def _shipped(name: str) -> bytes:
    return (files("canswarm_tui.engine.v2.policy") / name).read_bytes()


def _own(folder: Path) -> tuple[tuple[str, bytes], ...]:
    try:
        if not folder.is_dir():
            raise SettingsError("policy.rego_dir", f"there is no folder {folder}", "name the folder of your Rego")
        paths = sorted(path for path in folder.rglob("*.rego") if path.is_file())
        if not paths:
            raise SettingsError("policy.rego_dir", f"{folder} holds no .rego file", "name the folder of your Rego")
        large = [path for path in paths if path.stat().st_size > MAX_MODULE_BYTES]
        if large:
            raise SettingsError("policy.rego_dir", f"{large[0]} is larger than 4 MiB", "is it really a Rego module?")
        return tuple((path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)
    except OSError as exc:
        raise SettingsError(
            "policy.rego_dir", f"{exc.filename or folder}: {exc.strerror or exc}", "check the folder and its rights"
        ) from exc
