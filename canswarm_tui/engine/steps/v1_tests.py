"""The v1 test suite: the operator's own command in the v1 checkout, its output kept, its result recorded."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.step import Comparison, Figure, Finding, Kind, Level, Outcome, Progress, Verdict

_TIMED_OUT = 124
"""As timeout(1) has it: what a command that was ended says of itself counts for nothing."""
_GRACE_S = 10.0
NOT_CONFIGURED = "not configured: set site.test_command (such as `.venv/bin/pytest -q`) to run v1's own tests"


class V1Tests:
    """Changes nothing of the site itself; what the operator's command does is the operator's."""

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        command = ctx.settings.site.test_command
        return (f"run {command!r} in {_folder(ctx)}",) if command else (NOT_CONFIGURED,)

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        command = ctx.settings.site.test_command
        if command and not _folder(ctx).is_dir():
            yield Finding(
                "v1_tests.no_folder", Level.BLOCKER, Kind.CONDITION, str(_folder(ctx)),
                "the folder of v1's tests does not exist", "set site.test_dir to the v1 checkout",
            )  # fmt: skip
        if not command:
            yield Finding(
                "v1_tests.not_configured", Level.NOTE, Kind.CONDITION, "v1 test suite",
                "no command is configured, so v1's tests are not run", "set site.test_command to run them",
            )  # fmt: skip

    def run(self, ctx: StepContext) -> Outcome:
        command = ctx.settings.site.test_command
        if not command:
            return Outcome(summary=NOT_CONFIGURED, skipped=True)
        output = ctx.folder / "v1-tests.log"
        began = time.monotonic()
        code, lines = _stream(ctx, command, output)
        took_s = time.monotonic() - began
        ctx.journal.set_fact("result", {"command": command, "exit_code": code, "took_s": took_s, "output": str(output)})
        figures: dict[str, Figure] = {
            "command": command, "folder": str(_folder(ctx)), "exit code": code, "seconds": round(took_s, 1),
            "lines of output": lines, "output": str(output),
        }  # fmt: skip
        if code != 0:
            ctx.found(_failed(command, code, output))
        return Outcome(
            created=1, summary=f"`{command}` ended with {code} after {took_s:.1f} s; its output is kept in {output}",
            figures=figures,
        )  # fmt: skip

    def verify(self, ctx: StepContext) -> Verdict:
        """What the last run recorded: the suite is run by `run` only."""
        result = ctx.journal.fact("result")
        assert isinstance(result, dict)
        passed = result["exit_code"] == 0
        if not passed:
            ctx.found(_failed(str(result["command"]), result["exit_code"], Path(str(result["output"]))))
        return Verdict(
            (Comparison("v1 test suite", "by its exit code", 1, int(passed)),),
            int(not passed),
            "v1's own tests passed" if passed else f"v1's own tests failed with {result['exit_code']}",
        )

    def undo(self, ctx: StepContext) -> Outcome:
        """Forget the recorded output."""
        (ctx.folder / "v1-tests.log").unlink(missing_ok=True)
        return Outcome(summary="the recorded output was removed")


def _folder(ctx: StepContext) -> Path:
    return ctx.settings.site.test_dir or ctx.settings.site.require_root()


def _failed(command: str, code: object, output: Path) -> Finding:
    return Finding(
        "v1_tests.failed", Level.WARNING, Kind.DIFFERENCE, command, f"v1's own tests ended with {code}",
        f"read {output}; mend v1 before it is migrated, or accept this with a reason",
    )  # fmt: skip


def _stream(ctx: StepContext, command: str, output: Path) -> tuple[int, int]:
    """Run the command in a process group of its own; its exit code (-15 after the time-out) and lines of output."""
    try:
        process = subprocess.Popen(
            shlex.split(command), cwd=_folder(ctx), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, text=True, errors="backslashreplace",
        )  # fmt: skip
    except (OSError, ValueError) as exc:
        raise SettingsError("site.test_command", f"{command!r} can't be started: {exc}", "mend the command") from exc
    assert process.stdout is not None
    lines = 0

    def read(stream: IO[str]) -> None:
        nonlocal lines
        # It closes the pipe itself: who else does would wait for what the command has left behind.
        with stream, output.open("w", encoding="utf-8") as kept:
            for line in stream:
                kept.write(line)
                kept.flush()
                lines += 1
                ctx.say(line.rstrip("\n"))

    reader = threading.Thread(target=read, args=(process.stdout,), name="v1-tests", daemon=True)
    reader.start()
    deadline = time.monotonic() + ctx.settings.site.test_timeout_s
    timed_out = False
    try:
        while process.poll() is None:
            ctx.stop.wait(0.1)
            ctx.stop.check()
            ctx.progress(Progress("testing", lines, None, waiting="the operator's command runs"))
            if time.monotonic() > deadline:
                ctx.say(f"ended after {ctx.settings.site.test_timeout_s:.0f} s (site.test_timeout_s)")
                timed_out = True
                break
    finally:
        code = _ended(process)
        reader.join(timeout=5)
    return (_TIMED_OUT if timed_out else code), lines


def _ended(process: subprocess.Popen[str]) -> int:
    """Its exit code; asked to end if it has not, and ended if it does not hear."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        return process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
