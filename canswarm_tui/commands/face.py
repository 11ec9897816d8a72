"""What every command shares: its options, its settings, one JSON object on standard output, narration on the other."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import click

from canswarm_tui import __version__
from canswarm_tui.commands.prompts import ask_yes
from canswarm_tui.engine.errors import EngineError, ExitCode, NoSpace, SettingsError, file_error
from canswarm_tui.engine.place import ANOTHER_STATE_FOLDER, Place, place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.settings_file import Loaded, load_settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import shown

JSON_FORMAT = "canswarm-tui/1"
P = ParamSpec("P")


@dataclass
class Face:
    """One call of a command: how it speaks, and the settings it was given."""

    command: str
    as_json: bool
    config: Path | None
    flags: Mapping[str, str]
    _loaded: Loaded | None = None

    @functools.cached_property
    def loaded(self) -> Loaded:
        loaded = load_settings(self.config, self.flags)
        if loaded.exposed:
            self.tell(loaded.exposed)
        return loaded

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @functools.cached_property
    def place(self) -> Place:
        """The site's folder, made, with the log open in it."""
        place = place_of(self.settings)
        place.make()
        log_to(place.log)
        return place

    @property
    def seen_place(self) -> Place:
        """The site's folder as it is, for a command that only looks: it may be read-only, and then there is no log."""
        place = place_of(self.settings)
        place.make()
        with contextlib.suppress(SettingsError, NoSpace):
            log_to(place.log)
        return place

    def tell(self, text: str) -> None:
        """A line of narration, on standard error; data in it is shown literally."""
        click.echo(shown(text), err=True)

    def write(self, text: str) -> None:
        """Text of the answer itself, on standard output; nothing when JSON is asked for."""
        if not self.as_json:
            _out(text)

    def answer(self, exit_code: ExitCode, data: Mapping[str, Any]) -> int:
        """End the command: the one JSON object where asked for; returns the exit code."""
        if self.as_json:
            write_json(self.command, exit_code, None, data)
        return exit_code

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before changing something; without a terminal `--yes` must say so."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise SettingsError(self.command, "it changes something and nobody is there to ask", "add --yes")
        if not ask_yes(question):
            raise click.Abort

    @staticmethod
    def log_path() -> Path | None:
        """The log file of this process, if one is open."""
        for handler in logging.getLogger("canswarm_tui").handlers:
            if isinstance(handler, logging.FileHandler):
                return Path(handler.baseFilename)
        return None


def common(function: Callable[..., int]) -> Callable[..., int]:
    """Adds the options that every command has; the function gets a `Face` first and returns an exit code."""

    @click.option("--site", "site", metavar="DIR", help="the v1 site (setting site.root)")
    @click.option("--state-dir", metavar="DIR", help="where journal, reports and logs are kept (setting state_dir)")
    @click.option("--config", "config", metavar="FILE", help="settings file")
    @click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="any setting, such as s3.bucket=blobs")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object on standard output")
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        site: str | None,
        state_dir: str | None,
        config: str | None,
        pairs: tuple[str, ...],
        as_json: bool,
        **kwargs: Any,
    ) -> int:
        ctx = click.get_current_context()
        flags = flags_of(site, state_dir, pairs)
        chosen = config or (ctx.obj if isinstance(ctx.obj, str) else None)
        name = " ".join(ctx.command_path.split()[1:])
        return function(Face(name, as_json, Path(chosen) if chosen else None, flags), *args, **kwargs)

    return wrapper


def stop_on_signals(stop: StopSignal) -> None:
    """SIGINT, SIGTERM and SIGHUP ask for a stop at a safe point."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: stop.set(f"signal {signal.Signals(n).name}"))


def end_with_error(error: EngineError, command: str, as_json: bool) -> int:
    """Say what happened, to what, and what to do; returns the error's exit code."""
    click.echo(f"canswarm-tui: {shown(str(error))}", err=True)
    path = Face.log_path()
    if path is not None:
        click.echo(f"log: {path}", err=True)
    if as_json:
        facts = {"subject": error.subject, "happened": error.happened, "remedy": error.remedy}
        with contextlib.suppress(OSError, EngineError):  # the error itself has been told
            write_json(command, error.exit_code, facts, {})
    return error.exit_code


def write_json(command: str, exit_code: ExitCode, error: Mapping[str, str] | None, data: Mapping[str, Any]) -> None:
    """The one object: format, program version, command, exit code, error, then the command's own facts."""
    _out(json.dumps({**json_head(command, exit_code, error), **data}, indent=2, ensure_ascii=True, default=str))


def _out(text: str) -> None:
    """A line or more on standard output. Raises `BrokenPipeError`, and `NoSpace` where it goes to a full disk."""
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise file_error("standard output", exc, "send it to a place that takes it") from exc


def json_head(command: str, exit_code: ExitCode, error: Mapping[str, str] | None) -> dict[str, object]:
    """What every JSON object of ours begins with."""
    return {
        "format": JSON_FORMAT,
        "version": __version__,
        "command": command,
        "exit_code": int(exit_code),
        "error": error,
    }


class LineFormatter(logging.Formatter):
    """`2026-11-23 21:00:00 message`; a warning also says that it is one. Data of the site can't end or hide a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        if record.levelno >= logging.WARNING:
            record.message = f"{record.levelname} {record.message}"
        return shown(super().formatMessage(record))


def log_to(path: Path) -> None:
    """Send the program's log to a file that only its owner can read. Raises `SettingsError` or `NoSpace`."""
    logger = logging.getLogger("canswarm_tui")
    if any(isinstance(h, logging.FileHandler) and h.baseFilename == str(path) for h in logger.handlers):
        return
    try:
        path.touch(mode=0o600, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise file_error(str(path), exc, ANOTHER_STATE_FOLDER) from exc
    logging.raiseExceptions = False  # a line that a full disk refuses is lost; no traceback goes to the screen
    handler.setFormatter(LineFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def flags_of(site: str | None, state_dir: str | None, pairs: Sequence[str]) -> dict[str, str]:
    """The settings that --site, --state-dir and --set give. Raises `SettingsError`."""
    named = {k: v for k, v in (("site.root", site), ("state_dir", state_dir)) if v is not None}
    return {**dict(_pair(p) for p in pairs), **named}


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise SettingsError("--set", f"{text!r} is not KEY=VALUE", "write it as --set s3.bucket=blobs")
    return key, value
