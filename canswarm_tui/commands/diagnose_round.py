"""One round of diagnostics, or one after the other until a signal: a look at each server, then its guided checks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from canswarm_tui.commands.diagnose_view import check_view, look_view, write_check, write_look
from canswarm_tui.commands.face import Face, json_head, stop_on_signals
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.health.facts import Check, CheckVerdict, Condition, Look
from canswarm_tui.engine.health.guided.registry import GUIDED
from canswarm_tui.engine.health.registry import LOOKS
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import shown

EVERY_S = 2.0
DIAGNOSE_FORMAT = 1
"""Of `servers` and `checks`, see docs/diagnose.md: grows where a field is taken away or changes its meaning."""


@dataclass(frozen=True, slots=True)
class Round:
    looks: tuple[Look, ...]
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> ExitCode:
        if any(one.condition is not Condition.ANSWERS and not _is_later(one) for one in self.looks):
            return ExitCode.UNREACHABLE
        bad = any(one.verdict is CheckVerdict.BAD for one in self.checks)
        return ExitCode.ATTENTION if bad else ExitCode.DONE


def look_around(settings: Settings, names: Sequence[str]) -> Round:
    """Every backend in two threads of its own: a slow one holds up nobody."""
    with ThreadPoolExecutor(2 * len(names), thread_name_prefix="look") as pool:
        looks = [pool.submit(LOOKS[name], settings) for name in names]
        checks = [pool.submit(GUIDED[name], settings) for name in names]
        return Round(tuple(one.result() for one in looks), tuple(check for one in checks for check in one.result()))


def end_round(face: Face, done: Round) -> int:
    """Write it, as text or as the one JSON object; returns the exit code."""
    _write(face, done)
    return face.answer(done.exit_code, _view(done))


def watch_servers(face: Face, names: Sequence[str]) -> int:
    """A round every two seconds until a signal; as JSON one object a line. Returns the code of the last one."""
    stop = StopSignal()
    stop_on_signals(stop)
    while True:
        done = look_around(face.settings, names)
        face.write(time.strftime("%Y-%m-%d %H:%M:%S"))
        _write(face, done)
        if face.as_json:
            _write_line(face, done.exit_code, _view(done))
        if stop.wait(EVERY_S):
            return done.exit_code


def watch_keys(face: Face, prefix: str) -> int:
    """Changes of decisions in etcd as they happen, until a signal; as JSON one object a line."""
    from canswarm_tui.engine.health.etcd import watch

    stop = StopSignal()
    stop_on_signals(stop)
    face.tell(f"watching {face.settings.etcd.prefix}{prefix}; Ctrl+C ends it")
    for change in watch(face.settings, stop):
        if not change.key.startswith(prefix):
            continue
        face.write(f"{change.what} {shown(change.key)}  revision {change.revision}  {shown(change.value)}")
        if face.as_json:
            _write_line(face, ExitCode.DONE, {"change": asdict(change)})
        sys.stdout.flush()
    return ExitCode.DONE


def _write(face: Face, done: Round) -> None:
    for one in done.looks:
        write_look(face, one)
        mine = [check for check in done.checks if check.backend == one.name]
        if mine:
            face.write("  guided checks")
        for check in mine:
            write_check(face, check)
    bad = sum(one.verdict is CheckVerdict.BAD for one in done.checks)
    worry = sum(one.verdict is CheckVerdict.WORRY for one in done.checks)
    untold = sum(one.verdict is CheckVerdict.UNKNOWN for one in done.checks)
    face.write(f"{len(done.checks)} guided checks: {bad} bad, {worry} worry, {untold} can't tell")


def _view(done: Round) -> dict[str, object]:
    return {
        "diagnose_format": DIAGNOSE_FORMAT,
        "servers": {one.name: look_view(one) for one in done.looks},
        "checks": [check_view(one) for one in done.checks],
    }


def _write_line(face: Face, code: ExitCode, data: dict[str, object]) -> None:
    head = {**json_head(face.command, code, None), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    sys.stdout.write(json.dumps({**head, **data}, ensure_ascii=True, default=str) + "\n")
    sys.stdout.flush()


def _is_later(one: Look) -> bool:
    """A file that a run makes isn't a server that is away."""
    return one.condition is Condition.MISSING and one.name in ("automerge", "wasm")
