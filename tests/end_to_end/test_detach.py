"""A run in the background: it goes on by itself, and what it can't do is told at once with its exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from canswarm_tui.engine.lock import hold_run, is_held
from tests.end_to_end.places import Place


def state(place: Place, step: str) -> str:
    told = json.loads(place.program("status", "--json").stdout)
    (found,) = [s["state"] for s in told["steps"] if s["step"] == step]
    return str(found)


def test_a_detached_run_goes_on_after_its_command_has_ended(new_place: Callable[..., Place]) -> None:
    place = new_place("detached")
    done = place.program("run", "preflight", "documentation", "--detach", "--yes")
    assert done.returncode == 0, done.stderr
    assert "running as process" in done.stdout
    deadline = time.monotonic() + 60
    while is_held(place.folder / "site" / ".state"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state(place, "documentation") in ("done", "proved")


def test_what_can_not_begin_in_the_background_is_told_at_once(new_place: Callable[..., Place]) -> None:
    place = new_place("refused")
    with hold_run(place.folder / "site" / ".state", ()):
        done = place.program("run", "--detach", "--yes")
    assert done.returncode == 5, done.stderr
    place.environment["CANSWARM_SITE__ROOT"] += "-away"
    done = place.program("run", "--detach", "--yes")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
