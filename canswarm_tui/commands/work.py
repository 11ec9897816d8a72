"""Commands that work: plan, preflight, backup, run, stop, verify, undo."""

from __future__ import annotations

import getpass
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from canswarm_tui.commands.face import Face, common, stop_on_signals
from canswarm_tui.commands.narrator import Narrator
from canswarm_tui.commands.views import run_view, write_summary
from canswarm_tui.engine.checklist import STEP_NAMES, STEPS, in_order
from canswarm_tui.engine.errors import (
    Blocked,
    Busy,
    Defect,
    EngineError,
    ExitCode,
    SettingsError,
    Stopped,
    Unreachable,
)
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.lock import is_held
from canswarm_tui.engine.plan import plan_hash
from canswarm_tui.engine.rate import limit_text, read_limit
from canswarm_tui.engine.runner import Runner, RunResult


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit that was given: records a second, or None for none."""

    records_s: float | None


class _RateType(click.ParamType[Rate]):
    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Rate:
        try:
            return value if isinstance(value, Rate) else Rate(read_limit(str(value)))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


RATE = _RateType()
YES = click.option("--yes", is_flag=True, help="don't ask")
_ENDED_WITH: Mapping[int, type[EngineError]] = {
    error.exit_code: error for error in (SettingsError, Unreachable, Stopped, Busy, Blocked)
}
STEP_ARGUMENTS = click.argument("steps", nargs=-1, metavar="[STEP…]")


@click.command()
@STEP_ARGUMENTS
@common
def plan(face: Face, steps: tuple[str, ...]) -> int:
    """Say exactly what a run would do; changes nothing. Ends with a hash for `run --plan HASH`."""
    actions, digest = _plan(face, steps)
    for info in STEPS:
        if info.name in actions:
            face.write(f"{info.name}: {info.title}")
            for line in actions[info.name]:
                face.write(f"    {line}")
    face.write(f"plan {digest}")
    return face.answer(ExitCode.DONE, {"plan": digest, "steps": {k: list(v) for k, v in actions.items()}})


@click.command()
@click.option("--check", "check", metavar="NAME", help="make just this check again; the others stand as they were")
@common
def preflight(face: Face, check: str | None) -> int:
    """Look at the site, this machine and every target; changes neither site nor target."""
    return _work(face, lambda runner: runner.run(["preflight"]) if check is None else runner.recheck(check))


@click.command()
@YES
@common
def backup(face: Face, yes: bool) -> int:
    """Back up the site (after a preflight) and prove the backup by restoring it into a scratch folder."""
    face.confirm(f"Back up {face.settings.site.require_root()} to {face.settings.backup_folder}?", yes=yes)
    return _work(face, lambda runner: runner.run(["preflight", "backup"]))


@click.command("run")
@STEP_ARGUMENTS
@YES
@click.option("--plan", "plan_digest", metavar="HASH", help="refuse to run anything but the plan with this hash")
@click.option("--rate", type=RATE, default=None, metavar="N", help="copy at most N records a second; off: no limit")
@click.option("--detach", is_flag=True, help="go on in the background, also after the terminal has gone")
@common
def run_(
    face: Face, steps: tuple[str, ...], yes: bool, plan_digest: str | None, rate: Rate | None, detach: bool
) -> int:
    """Run every pending step from preflight to final verification, or the named ones. Resumes; never undoes."""
    what = ", ".join(info.name for info in in_order(steps)) or "every pending step"
    face.confirm(f"Run {what} for the site {face.settings.site.require_root()}?", yes=yes)
    if plan_digest is not None:
        _, digest = _plan(face, steps)
        if digest != plan_digest:
            raise Blocked(
                "plan", f"what would be done now is plan {digest}, not {plan_digest}", "look at `canswarm-tui plan`"
            )
    if detach:
        return _detach(face)

    def work(runner: Runner) -> RunResult:
        if rate is not None:
            runner.limit.turn(rate.records_s, runner.limit.bytes_s)
        return runner.run(steps)

    return _work(face, work)


@click.command("rate")
@click.argument("limit", type=RATE, metavar="N|off")
@common
def rate_(face: Face, limit: Rate) -> int:
    """Ask the live run of this site to copy at most N records a second from now on, or as fast as it can."""
    if not is_held(face.settings.site.require_root() / ".state"):
        raise SettingsError(
            "rate", "nothing runs for this site", "give the limit to the run: `canswarm-tui run --rate N`"
        )
    asking = Journal.join(face.place.journal)
    try:
        asking.ask("rate", {"records_s": limit.records_s, "who": getpass.getuser()})
    finally:
        asking.close()
    face.write(f"the live run is asked for {limit_text(limit.records_s)}")
    return face.answer(ExitCode.DONE, {"records_s": limit.records_s})


@click.command()
@click.option("--wait/--no-wait", default=True, help="wait until it has stopped")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="seconds to wait at most",
)
@common
def stop(face: Face, wait: bool, timeout_s: float) -> int:
    """Ask the live run of this site to stop at a safe point. Ends with 5 where it has not stopped in time."""
    folder = face.settings.site.require_root() / ".state"
    if not is_held(folder):
        face.write("nothing runs for this site")
        return face.answer(ExitCode.DONE, {"was_running": False})
    asking = Journal.join(face.place.journal)
    try:
        asking.ask("stop", {"why": f"asked to by {getpass.getuser()}"})
    finally:
        asking.close()
    face.tell("asked to stop")
    deadline = time.monotonic() + timeout_s
    while wait and is_held(folder):
        if time.monotonic() > deadline:
            happened = f"it was asked to stop and has not within {timeout_s:,.0f} s; it stops at its next safe point"
            raise Busy("the live run", happened, "look with `canswarm-tui status`, or wait on with `canswarm-tui stop`")
        time.sleep(0.2)
    face.write("stopped" if wait else "asked to stop")
    return face.answer(ExitCode.DONE, {"was_running": True, "stopped": wait})


@click.command()
@STEP_ARGUMENTS
@click.option("--key", metavar="KEY", help="just this record of one step: compare site, target and receipt")
@common
def verify(face: Face, steps: tuple[str, ...], key: str | None) -> int:
    """Read the targets back and compare with the site, in full; without steps, everything that has run.

    With --key one record of one step is read now and compared three ways: a blob's SHA-256, a need id, an op, task or
    thread id, an envelope's id. Ends with 0 when it is equal, 10 when it is not, 3 when a side can't be reached.
    """
    if key is not None:
        from canswarm_tui.commands.three_ways import compare_record

        return compare_record(face, steps, key)
    return _work(face, lambda runner: runner.verify(steps))


@click.command()
@click.argument("step")
@YES
@common
def undo(face: Face, step: str, yes: bool) -> int:
    """Remove what this run created at the target in one step, and nothing else."""
    (info,) = in_order([step])
    face.confirm(f"Remove what this run created in step {info.name}?", yes=yes)
    return _work(face, lambda runner: runner.undo(step))


def _work(face: Face, work: Callable[[Runner], RunResult]) -> int:
    narrator = Narrator(face.place.live)
    runner = Runner(face.settings, narrator)
    stop_on_signals(runner.stop)
    with narrator.narrating():
        result = work(runner)
    data = run_view(face.place)
    write_summary(face, data)
    return face.answer(result.exit_code, data)


def _plan(face: Face, steps: tuple[str, ...]) -> tuple[Mapping[str, tuple[str, ...]], str]:
    runner = Runner(face.settings, lambda _event: None)
    assert face.place.folder.exists()
    actions = runner.plan(steps or STEP_NAMES)
    return actions, plan_hash(face.settings, actions)


def _detach(face: Face) -> int:
    """Start the same command in a session of its own; its narration goes to a file beside the log."""
    folder = face.settings.site.require_root() / ".state"
    if is_held(folder):
        raise Busy(str(folder.parent), "another run of canswarm-tui holds this site", "see `canswarm-tui status`")
    output = face.place.folder / "detached.log"
    arguments: list[str] = [a for a in sys.argv[1:] if a != "--detach"]
    if "--yes" not in arguments:
        arguments.append("--yes")
    with output.open("ab") as stream:
        child = subprocess.Popen(
            [sys.executable, "-m", "canswarm_tui", *arguments],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    while child.poll() is None and not is_held(folder):
        time.sleep(0.05)
    code = child.poll()
    if code not in (None, ExitCode.DONE, ExitCode.ATTENTION):
        raise _ENDED_WITH.get(code, Defect)("run --detach", f"it ended at once with {code}", f"its words: {output}")
    face.write(
        f"running as process {child.pid}; follow it with `canswarm-tui status`, stop it with `canswarm-tui stop`"
    )
    facts: dict[str, Any] = {"pid": child.pid, "output": str(output)}
    return face.answer(ExitCode.DONE, facts)
