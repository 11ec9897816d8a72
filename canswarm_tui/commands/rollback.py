"""`rollback`: v1's state back from a backup, in place or into another folder."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from canswarm_tui.commands.face import Face, common, stop_on_signals
from canswarm_tui.commands.narrator import Narrator
from canswarm_tui.commands.prompts import ask_line
from canswarm_tui.engine.errors import Blocked, ExitCode, SettingsError
from canswarm_tui.engine.readiness import Planned, readiness
from canswarm_tui.engine.rollback import Rollback, described, told, with_redis
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import duration_text, shown


@click.command()
@click.option("--from-backup", "backup", metavar="DIR", help="the backup's folder; default: the newest of this run")
@click.option("--into", metavar="DIR", help="restore there instead of in place; nothing else is touched")
@click.option("--redis-url", metavar="URL", help="with --into: also restore the keys into this Redis database")
@click.option("--plan", is_flag=True, help="only say what it would do now and how long that took here; changes nothing")
@click.option("--yes", is_flag=True, help="don't ask for the site's name")
@common
def rollback(face: Face, backup: str | None, into: str | None, redis_url: str | None, plan: bool, yes: bool) -> int:
    """Bring v1's state back from a backup, remove what this run created in the targets, and prove both."""
    if redis_url is not None and into is None:
        raise SettingsError(
            "--redis-url", "it goes with --into only", "leave it out: in place, the site's own Redis is used"
        )
    if plan:
        return _tell_plan(face)
    narrator = Narrator()
    work = Rollback(face.settings, narrator, StopSignal())
    stop_on_signals(work.stop)
    folder = Path(backup) if backup else work.newest_backup()
    if into is None:
        _require_name(face, yes=yes)
        assert face.place.folder.exists()
    with narrator.narrating():
        if into is None:
            done = work.in_place(folder)
        else:
            done = work.elsewhere(folder, Path(into), with_redis(face.settings.site, redis_url))
    for line in told(done):
        face.write(line)
    return face.answer(done.exit_code, described(done))


def _tell_plan(face: Face) -> int:
    ready = readiness(face.settings)
    face.write(f"backup: {ready.newest or shown(ready.trouble) or 'none of this run'}")
    face.write(f"restore proved: {ready.proved_at or 'not yet'}")
    for step in ready.plan:
        count = "" if step.count is None else f", {step.count:,} records"
        face.write(f"{step.what}{count}: {_time(step)}")
    facts = {
        "backup": None if ready.newest is None else str(ready.newest),
        "proved_at": None if ready.proved_at is None else ready.proved_at.isoformat(),
        "trouble": ready.trouble or None,
        "plan": [asdict(step) for step in ready.plan],
        "known_s": ready.known_s,
        "steps_of_unknown_time": ready.unknown,
    }
    return face.answer(ExitCode.BLOCKED if ready.trouble else ExitCode.DONE, facts)


def _time(step: Planned) -> str:
    if step.seconds is None:
        return "unknown"
    took = "under a second" if step.seconds < 1 else f"about {duration_text(step.seconds)}"
    return f"{took}, as the last {step.basis}"


def _require_name(face: Face, *, yes: bool) -> None:
    """The site's name, typed: Enter alone must not do this."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("rollback", "it replaces the site and nobody is there to ask", "add --yes")
    name = face.settings.site.require_root().resolve().name
    typed = ask_line(f"Type the site's name ({shown(name)}) to roll it back")
    if typed != name:
        raise Blocked("rollback", "the name typed is not the site's", "nothing was begun")
