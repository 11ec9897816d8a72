"""Where settings come from: flags over environment over `canswarm.toml`; every error names key, source and remedy."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import platformdirs
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings import APP, Settings

PREFIX = "CANSWARM_"
FILE_NAME = "canswarm.toml"
_NOT_SETTINGS = {"CANSWARM_CONFIG"}


@dataclass(frozen=True, slots=True)
class Loaded:
    settings: Settings
    file: Path | None
    """The settings file that was read, if any."""
    exposed: str = ""
    """A warning where the file holds a secret itself and others may read it."""


def load_settings(config: Path | None = None, flags: Mapping[str, str] | None = None) -> Loaded:
    """Read and validate. `flags` are dotted keys (`etcd.endpoints`) with text values; secrets are refused there.

    Raises `SettingsError` naming the key, where it came from and what to do.
    """
    flags = flags or {}
    file = find_file(config)
    table = {} if file is None else _read(file)
    _refuse_unknown(table, flags, file)
    loader = _loader(nested(flags), table)
    try:
        loaded = loader()
    except ValidationError as exc:
        raise _explain(exc, lambda key: _source(key, flags, file)) from exc
    settings = Settings.model_construct(**{n: getattr(loaded, n) for n in Settings.model_fields})
    return Loaded(settings, file, "" if file is None else _exposed(file, table))


def _exposed(file: Path, table: Mapping[str, Any]) -> str:
    mode = file.stat().st_mode & 0o777
    values = {key: _value_of(table, key) for key in secret_keys()}
    held = [key for key, value in values.items() if isinstance(value, str) and value and not is_place(value)]
    if not held or not mode & 0o077:
        return ""
    return f"{file} holds {', '.join(sorted(held))} and others may read it (mode {mode:04o}): chmod 600 it"


def _value_of(table: Mapping[str, Any], key: str) -> object:
    group, _, name = key.partition(".")
    found = table.get(group)
    return found.get(name) if isinstance(found, dict) else None


def is_place(value: str) -> bool:
    """Whether it says where a secret is, and isn't one."""
    return value.startswith(("env:", "file:"))


def settings_of(values: Mapping[str, str]) -> Settings:
    """What dotted keys with text values say when they stand alone: neither environment nor file counts.

    Raises `SettingsError`.
    """
    known = known_keys()
    for key in values:
        if key not in known:
            raise SettingsError(key, "there is no such setting", _nearest(key, known))
    try:
        return Settings.model_validate(nested(values))
    except ValidationError as exc:
        raise _explain(exc, lambda _key: "what was given") from exc


def nested(values: Mapping[str, str]) -> dict[str, Any]:
    """Dotted keys as the tables of a settings file."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[name] = value
    return tree


def known_keys() -> dict[str, str]:
    """Every setting by its dotted key, with its description, in order."""
    return {key: description for key, description, _ in _fields(Settings)}


def secret_keys() -> frozenset[str]:
    return frozenset(key for key, _, kind in _fields(Settings) if _may_be(kind, SecretStr))


def path_keys() -> frozenset[str]:
    """The settings that are paths on this machine."""
    return frozenset(key for key, _, kind in _fields(Settings) if _may_be(kind, Path))


def env_name(key: str) -> str:
    """The environment variable of a dotted key."""
    return PREFIX + key.upper().replace(".", "__")


def default_file() -> Path:
    """Where `init` writes when nothing else is said: platformdirs' config folder."""
    return platformdirs.user_config_path(APP) / FILE_NAME


def find_file(config: Path | None) -> Path | None:
    """The file that settings are read from: the one named, CANSWARM_CONFIG's, the folder's, the user's; None: none."""
    named = config or (Path(os.environ["CANSWARM_CONFIG"]) if os.environ.get("CANSWARM_CONFIG") else None)
    if named is not None:
        return named
    return next((p for p in (Path.cwd() / FILE_NAME, default_file()) if os.path.lexists(p)), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(str(file), f"it is not TOML: {exc}", "mend that line") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(str(file), "it is no text in UTF-8", "is it the right file?") from exc
    except FileNotFoundError as exc:
        remedy = "check --config or CANSWARM_CONFIG, or write one with `canswarm-tui init`"
        raise SettingsError(str(file), "there is no such settings file", remedy) from exc
    except OSError as exc:
        raise SettingsError(str(file), f"it can't be read: {exc.strerror}", "name a file that you may read") from exc


def _loader(flags: dict[str, Any], table: dict[str, Any]) -> type[BaseSettings]:
    class FromOutside(BaseSettings, Settings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                InitSettingsSource(settings_cls, flags),
                EnvSettingsSource(settings_cls),
                InitSettingsSource(settings_cls, table),
            )

    return FromOutside


def _refuse_unknown(table: Mapping[str, Any], flags: Mapping[str, str], file: Path | None) -> None:
    known = known_keys()
    for key in flags:
        if key in secret_keys():
            raise SettingsError(
                key, "a secret is never a flag", f"set {env_name(key)}, or env:NAME or file:PATH in a file"
            )
    places = [(f"flag {key}", key, known) for key in flags]
    places += [(f"{file}", key, known) for key in _flat(table)]
    by_env = {env_name(key): key for key in known}
    places += [("environment", n, by_env) for n in os.environ if _is_ours(n)]
    for where, name, names in places:
        if (name.upper() if where == "environment" else name) not in names:
            raise SettingsError(name, f"there is no such setting ({where})", _nearest(name, names))


def _is_ours(variable: str) -> bool:
    """Variables count whatever their case, as they do when they are read."""
    return variable.upper().startswith(PREFIX) and variable.upper() not in _NOT_SETTINGS


def _nearest(name: str, names: Mapping[str, str]) -> str:
    of_group = [known for known in names if known.startswith((f"{name}.", f"{name.upper()}__"))]
    if of_group:
        return f"it is a group; its settings are {', '.join(of_group)}"
    near = difflib.get_close_matches(name, names, 1) or difflib.get_close_matches(name.upper(), names, 1)
    return f"did you mean {near[0]}?" if near else "see the README for every setting"


def _explain(exc: ValidationError, source: Callable[[str], str]) -> SettingsError:
    first, *more = exc.errors(include_url=False, include_input=False)
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    while key and key not in known_keys() and len(location) > 1:
        location.pop()
        key = ".".join(location)
    others = f" (and {len(more)} more)" if more else ""
    return SettingsError(
        key or "settings",
        f"{_told(first)}{others}",
        f"it came from {source(key)}: {known_keys().get(key, 'mend it there')}",
    )


def _source(key: str, flags: Mapping[str, str], file: Path | None) -> str:
    if key in flags:
        return "flag"
    if env_name(key) in os.environ:
        return env_name(key)
    return str(file) if file else "default"


def _told(error: ErrorDetails) -> str:
    """What is wrong with a value, for people who don't know Python."""
    limits = error.get("ctx", {})
    match error["type"]:
        case "too_short":
            return "it is empty"
        case "int_parsing" | "int_type" | "int_from_float":
            return "it is no whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "it is no number"
        case "bool_parsing" | "bool_type":
            return "write true or false"
        case "string_type":
            return "it is no text"
        case "path_type":
            return "it is no path"
        case "greater_than":
            return f"it must be more than {limits['gt']}"
        case "greater_than_equal":
            return f"it must be at least {limits['ge']}"
        case "less_than_equal":
            return f"it must be at most {limits['le']}"
        case "literal_error":
            return f"write {limits['expected']}"
    return error["msg"].removeprefix("Value error, ")


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """(dotted key, description, annotation) of every setting."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description or "", inner


def _may_be(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_may_be(a, kind) for a in get_args(annotation))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
