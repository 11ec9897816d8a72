"""`init`: asks for settings or takes them, tests each connection, and writes the file with mode 0600."""

from __future__ import annotations

import contextlib
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import tomli_w

from canswarm_tui.commands.face import Face, common
from canswarm_tui.commands.prompts import ask_line
from canswarm_tui.engine.errors import ExitCode, SettingsError
from canswarm_tui.engine.probe import Probe, probe
from canswarm_tui.engine.settings import Settings, resolve_secret
from canswarm_tui.engine.settings_file import (
    default_file,
    env_name,
    is_place,
    known_keys,
    load_settings,
    nested,
    path_keys,
    secret_keys,
    settings_of,
)
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.tls_files import require_files

ASKED = (
    "site.root", "site.redis_url", "site.redis_password", "site.nats_url", "etcd.endpoints", "etcd.user",
    "etcd.password", "s3.endpoint", "s3.access_key", "s3.secret_key", "s3.bucket", "ipfs.api", "ipfs.token",
    "opa.url", "opa.token", "backup.dir",
)  # fmt: skip
"""What is asked for; every other setting may be set with --set or written into the file."""
_TESTED = ("redis", "nats", "etcd", "minio", "ipfs", "opa")


@click.command()
@click.option("--out", metavar="FILE", help="the file to write; default: canswarm.toml in the config folder")
@click.option("--yes", is_flag=True, help="don't ask: take flags and environment, and replace a file that is there")
@click.option(
    "--secret", "secrets", multiple=True, metavar="KEY=WHERE", help="env:NAME or file:PATH; never the secret itself"
)
@common
def init(face: Face, out: str | None, yes: bool, secrets: tuple[str, ...]) -> int:
    """Ask for the settings (or take --set and --secret), test each connection, and write the settings file."""
    path = Path(out) if out else face.config or default_file()
    for key, value in face.flags.items():
        if key in secret_keys() and not is_place(value):
            raise SettingsError(
                key, "a secret is never a flag", "say where it is: --secret KEY=env:NAME or KEY=file:PATH"
            )
    values = {**values_now(face.config or path), **face.flags, **dict(_where(s) for s in secrets)}
    if not yes:
        if not sys.stdin.isatty():
            raise SettingsError("init", "nobody is there to ask", "give --set and --secret, and --yes")
        values = _ask(values)
        if path.exists():
            face.confirm(f"Replace {path}?", yes=False)
    settings = settings_of(values)
    values = write_settings(path, values)
    site = settings.site.root
    complaints = {} if site is None else {"site": what_is_no_site(site)}
    complaints |= {"files": _unfit_file(face, settings)}
    complaints |= {one.name: _tell(face, one) for one in (probe(name, settings) for name in _TESTED)}
    if complaints.get("site"):
        face.write(f"✗ site: {shown(str(complaints['site']))}. Name the folder of a v1 site")
    face.write(f"wrote {path} (mode 0600)")
    for key in values:
        if os.environ.get(env_name(key)) not in (None, values[key]) and values[key] != f"env:{env_name(key)}":
            face.tell(f"{env_name(key)} is set and says something else; it comes before this file's {key}")
    code = ExitCode.UNREACHABLE if any(complaints.values()) else ExitCode.DONE
    if complaints["files"]:
        code = ExitCode.SETTINGS
    return face.answer(code, {"file": str(path), "connections": complaints})


def _unfit_file(face: Face, settings: Settings) -> str | None:
    """Tell the first file that is named and can't be used."""
    try:
        require_files(settings)
    except SettingsError as exc:
        face.write(f"✗ files: {exc}")
        return str(exc)
    return None


def what_is_no_site(root: Path) -> str | None:
    """Why a folder can't be a v1 site at all, or None."""
    return None if (root / ".state").is_dir() else f"there is no .state folder in {root}"


def _whole_paths(values: Mapping[str, str]) -> dict[str, str]:
    """The values with each path from the root on, so that the file means the same from every folder."""
    whole = dict(values)
    for key in values.keys() & path_keys():
        if values[key]:
            whole[key] = str(Path(values[key]).expanduser().absolute())
    for key in values.keys() & secret_keys():
        how, _, where = values[key].partition(":")
        if how == "file" and where:
            whole[key] = f"file:{Path(where).expanduser().absolute()}"
    return whole


def values_now(file: Path) -> dict[str, str]:
    """What the file (if it is there) and the environment say now; secrets of the environment as where they are."""
    values: dict[str, str] = {}
    if file.exists():
        load_settings(file)
        values |= {key: value for key, value in _flat(tomllib.loads(file.read_text())) if key in known_keys()}
    for key in known_keys():
        name = env_name(key)
        if name in os.environ:
            is_secret = key in secret_keys() and not is_place(os.environ[name])
            values[key] = f"env:{name}" if is_secret else os.environ[name]
    return values


def _ask(values: dict[str, str]) -> dict[str, str]:
    answers = dict(values)
    for key in ASKED:
        while True:
            given = _prompt(key, values.get(key, ""))
            try:
                check_answer(key, given)
                break
            except SettingsError as exc:
                click.echo(f"  {shown(exc.happened)}", err=True)
        if given:
            answers[key] = given
        else:
            answers.pop(key, None)
    return answers


def _prompt(key: str, now: str) -> str:
    """What is given for a setting; a secret is neither shown as it is typed nor where it stands in the file."""
    text = f"{key} — {known_keys()[key]}"
    if key not in secret_keys():
        return ask_line(text, now, show_default=True)
    named = is_place(now)
    kept = f" [{now}]" if named else " [Enter keeps the one that is set]" if now else ""
    return str(
        click.prompt(
            f"{text} (env:NAME, file:PATH, or the secret itself; not shown){kept}",
            default=now, show_default=False, hide_input=True, err=True,
        )
    )  # fmt: skip


def check_answer(key: str, given: str) -> None:
    """Raises `SettingsError` for what can't be this setting."""
    if not given:
        return
    if key not in secret_keys():
        settings_of({key: given})
        return
    try:
        resolve_secret(given)
    except ValueError as exc:
        raise SettingsError(key, str(exc), "name another place") from exc


def _where(text: str) -> tuple[str, str]:
    key, equals, where = text.partition("=")
    if key not in secret_keys() or not equals:
        raise SettingsError(
            text.partition("=")[0], "that is no secret setting", f"the secrets are {', '.join(sorted(secret_keys()))}"
        )
    if not is_place(where):
        raise SettingsError(key, "a secret is never a flag", "say where it is: env:NAME or file:PATH")
    return key, where


def write_settings(path: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Write the file whole, readable by its owner alone; returns what it says, with whole paths.

    Raises `SettingsError`, with nothing written.
    """
    settings_of(values)
    values = _whole_paths(values)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        partial.write_text(tomli_w.dumps(nested(values)))
        partial.replace(path)
    except OSError as exc:
        raise SettingsError(str(path), f"it can't be written: {exc.strerror}", "name another file with --out") from exc
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return values


def _tell(face: Face, one: Probe) -> str | None:
    """Say how a server answered; returns its error as text."""
    if one.error is None:
        face.write(f"✓ {one.name}: {one.address} answers ({one.took_ms:.0f} ms)")
        return None
    face.write(f"✗ {one.name}: {shown(str(one.error))}")
    return str(one.error)


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found
