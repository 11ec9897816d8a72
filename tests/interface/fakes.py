"""An interface on a site whose steps are fakes that a test leads: no thread sleeps, no server is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from canswarm_tui.app import SwarmApp
from canswarm_tui.bridge import EngineThread, Result
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.place import place_of, site_identity
from canswarm_tui.engine.probe import Probe
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Progress, Verb, Verdict

HOSTILE = "[/] [red]x[/red] see [/etc/passwd] \x1b[31m\x07 \u202eevil 🐝 " + "k" * 10_000


class FakeStep:
    """Runs until `go` is set, looking at the stop; then says what the test wants it to."""

    def __init__(self, go: threading.Event, findings: tuple[Finding, ...] = ()) -> None:
        self._go = go
        self._findings = findings

    def plan(self, ctx: StepContext) -> tuple[str, ...]:
        return ("do what a test wants",)

    def check(self, ctx: StepContext) -> Iterable[Finding]:
        return ()

    def run(self, ctx: StepContext) -> Outcome:
        ctx.progress(Progress("copying", 250, 1000, 4096, 16384, 50.0, 15.0, "", {}), now=True)
        patience = time.monotonic() + 60  # a test that has failed must not hold up those after it
        while not self._go.wait(0.01):
            ctx.stop.check()
            assert time.monotonic() < patience, "nobody lets this step go on"
        ctx.found(*self._findings)
        return Outcome(created=1000, summary="1,000 records copied")

    def verify(self, ctx: StepContext) -> Verdict:
        ctx.found(*self._findings)
        return Verdict(
            (Comparison("records", "by content", 1000, 1000),), 0, "1,000 of 1,000 records equal, by content"
        )

    def undo(self, ctx: StepContext) -> Outcome:
        return Outcome(removed=1000, summary="1,000 records removed")


class FakeEngine(EngineThread):
    """The real thread and the real runner, with fake steps."""

    step: FakeStep

    def start(self, work: Callable[[Runner], Result]) -> None:
        def fake_work(runner: Runner) -> Result:
            runner.steps = lambda _name: self.step
            return work(runner)

        super().start(fake_work)


def quarantine(subject: str = "bad-record") -> Finding:
    return Finding("fake.bad", Level.WARNING, Kind.QUARANTINE, subject, "it is damaged", "mend it", {"value": subject})


def make_app(
    folder: Path,
    *,
    findings: tuple[Finding, ...] = (),
    go: bool = False,
    done: tuple[str, ...] = (),
    site: str = "site",
) -> tuple[SwarmApp, threading.Event]:
    """An app on an empty site, and the event that lets its step go on. `done` names steps that are proved already."""
    root = folder / site
    (root / ".state").mkdir(parents=True)
    settings = Settings(site=SiteSettings(root=root), state_dir=folder / "state")
    event = threading.Event()
    if go:
        event.set()
    place = place_of(settings)
    place.make()
    journal = Journal.open(place.journal, site_identity(settings))
    for name in done:
        verdict = Verdict((Comparison("records", "by content", 9, 9),), 0, "9 of 9 records equal, by content")
        journal.step(name).set_state(StepState.PROVED, outcome=Outcome(created=9, summary="9 copied"), verdict=verdict)
    if findings:
        step = journal.step("decisions")
        step.add_finding(Verb.RUN, step.note(Verb.RUN, "started"), findings)
    journal.close()
    app = SwarmApp(settings)
    engine = FakeEngine(settings, app.post_message)
    engine.step = FakeStep(event, findings)
    app.engine = engine
    app.health.look = lambda name, _settings: Probe(name, "somewhere", 1.0, {"version": "9.9", "db bytes": 2048})
    return app, event
