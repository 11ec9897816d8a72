"""The sandbox on the command line: real local servers and a demonstration site."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from canswarm_tui.commands.face import Face, common
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.sandbox import binaries, stack
from canswarm_tui.sandbox.site_command import site


def _named(_ctx: click.Context, _param: click.Parameter, folder: str) -> str:
    """An empty name would be the working folder."""
    if not folder.strip():
        raise click.BadParameter("it is empty")
    return folder


FOLDER = click.option(
    "--dir", "folder", default="canswarm-demo/servers", show_default=True, metavar="D", help="its folder",
    callback=_named,
)  # fmt: skip


@click.group()
def sandbox() -> None:
    """A demonstration site and real local servers, on loopback only."""


@sandbox.command()
@common
def build(face: Face) -> int:
    """Build the server programs once into the cache folder."""
    paths = {name: str(binaries.ensure(name, face.tell)) for name in (*binaries.PROGRAMS, *binaries.WHEELS)}
    for name, path in paths.items():
        face.write(f"{name}: {path}")
    return face.answer(ExitCode.DONE, {"programs": paths})


@sandbox.command()
@FOLDER
@common
def up(face: Face, folder: str) -> int:
    """Start Redis, NATS, etcd, MinIO, Kubo and OPA, or those of them that don't run."""
    servers = stack.up(Path(folder), face.tell)
    for name, server in servers.items():
        face.write(f"{name}: {server.endpoint} (process {server.running.pid})")
    face.write(f'settings: eval "$(canswarm-tui sandbox env --dir {shlex.quote(folder)})"')
    return face.answer(ExitCode.DONE, {"servers": stack.status(Path(folder))})


@sandbox.command()
@FOLDER
@common
def down(face: Face, folder: str) -> int:
    """Stop exactly the processes that `up` started."""
    stopped = stack.down(Path(folder))
    face.write(f"stopped: {', '.join(stopped)}" if stopped else "nothing ran")
    return face.answer(ExitCode.DONE, {"stopped": stopped})


@sandbox.command()
@FOLDER
@common
def status(face: Face, folder: str) -> int:
    """Say of each server whether it runs and answers; ends with 3 when one does not."""
    servers = stack.status(Path(folder))
    for name, facts in servers.items():
        word = "answers" if facts["answers"] else "runs, but does not answer" if facts["running"] else "does not run"
        face.write(f"{name}: {word} {facts['endpoint'] or ''}".rstrip())
    well = all(facts["answers"] for facts in servers.values())
    return face.answer(ExitCode.DONE if well else ExitCode.UNREACHABLE, {"servers": servers})


@sandbox.command()
@FOLDER
@common
def env(face: Face, folder: str) -> int:
    """Print shell exports of the settings that lead here."""
    settings = stack.environment(Path(folder))
    face.write(stack.exports(settings))
    return face.answer(ExitCode.DONE, {"environment": settings})


sandbox.add_command(site)
