"""Step contexts for tests: a real journal in a temporary folder, events collected in a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.events import Event
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.rate import RateLimit
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Verb
from canswarm_tui.engine.stop import StopSignal


def make_context(
    folder: Path,
    settings: Settings | None = None,
    *,
    step: str = "decisions",
    verb: Verb = Verb.RUN,
    events: list[Event] | None = None,
    fault: Callable[[str], None] | None = None,
    stop: StopSignal | None = None,
) -> StepContext:
    """A context whose journal is `folder/journal.db`, made or opened again; close it with `ctx.journal.close()`."""
    journal = Journal.open(folder / "journal.db", {"site.root": "test"}, fault=fault).step(step)
    scratch = folder / "scratch" / step
    scratch.mkdir(parents=True, exist_ok=True)
    seen = events if events is not None else []
    return StepContext(
        settings or Settings(), journal, verb, journal.note(verb, "started"), stop or StopSignal(), seen.append,
        RateLimit(), folder, scratch,
    )  # fmt: skip
