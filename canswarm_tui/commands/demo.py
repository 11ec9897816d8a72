"""The demonstration: a generated site, real servers on loopback, and the whole migration, from nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from canswarm_tui.commands.face import Face, common, stop_on_signals
from canswarm_tui.commands.narrator import Narrator
from canswarm_tui.commands.views import run_view, write_summary
from canswarm_tui.engine.errors import ExitCode, SettingsError
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings_file import PREFIX
from canswarm_tui.sandbox import site_redis, stack
from canswarm_tui.sandbox.site import write_site


@click.command()
@click.option("--headless", is_flag=True, help="no interface, also where there is a terminal")
@click.option("--threads", default=60, show_default=True, type=click.IntRange(1), help="size of the demonstration site")
@click.option("--seed", default=1, show_default=True, type=int, help="which site")
@click.option("--dir", "folder", metavar="D", help="where it all goes; default: canswarm-demo/<time>")
@click.option("--keep", is_flag=True, help="leave the servers running at the end")
@common
def demo(face: Face, headless: bool, threads: int, seed: int, folder: str | None, keep: bool) -> int:
    """Migrate a demonstration site on real local servers: in the interface, or headless where there is no terminal."""
    if face.flags or face.config is not None:
        raise SettingsError("demo", "it has settings of its own", "leave out --site, --state-dir, --set and --config")
    place = Path(folder or Path("canswarm-demo") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")).absolute()
    with _prepared(face, place, threads, seed, keep=keep):
        if headless or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return _headless(face)
        from canswarm_tui.commands.interface import open_interface

        last_act = bool if keep else partial(stack.down, place / "servers")
        return open_interface(None, observe=False, mouse=True, last_act=last_act)


@contextmanager
def _prepared(face: Face, place: Path, threads: int, seed: int, *, keep: bool) -> Iterator[None]:
    """Servers up, site written, Redis filled, settings in the environment; the servers are stopped at the end."""
    servers = place / "servers"
    for number in (signal.SIGTERM, signal.SIGHUP):  # until there is a run to stop: as Ctrl+C, so that the servers stop
        signal.signal(number, signal.default_int_handler)
    face.tell(f"the demonstration lives in {place}")
    try:
        stack.up(servers, face.tell)
        _use_only({
            **stack.environment(servers), "CANSWARM_SITE__ROOT": str(place / "site"),
            "CANSWARM_STATE_DIR": str(place / "state"),
        }, place / "canswarm.toml")  # fmt: skip
        if not (place / "site").exists():
            written = write_site(place / "site", threads, seed, progress=lambda _done: None)
            site_redis.load(place / "site" / "redis.jsonl", face.settings.site)
            face.tell(
                f"wrote a v1 site of {written.threads} threads, {written.ops} ops, {written.audit_lines} audit lines"
            )
        yield
    finally:
        if keep:
            face.tell(f"the servers go on; stop them with: canswarm-tui sandbox down --dir '{servers}'")
        else:
            stack.down(servers)


def _use_only(settings: Mapping[str, str], file: Path) -> None:
    """What a real site has in the environment or in a settings file must not lead the demonstration to it."""
    for name in [n for n in os.environ if n.upper().startswith(PREFIX)]:
        del os.environ[name]
    file.touch(mode=0o600)
    os.environ.update({**settings, "CANSWARM_CONFIG": str(file)})


def _headless(face: Face) -> int:
    narrator = Narrator(face.place.live)
    runner = Runner(face.settings, narrator)
    stop_on_signals(runner.stop)
    with narrator.narrating():
        result = runner.run()
    data = run_view(face.place)
    report = face.place.reports / "report.md"
    face.write(report.read_text(encoding="utf-8"))
    write_summary(face, data)
    face.write(f"report: {report} (also .html and .json beside it)")
    if result.exit_code is ExitCode.DONE:
        face.write("done and proved")
    return face.answer(result.exit_code, data)
