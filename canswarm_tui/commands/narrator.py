"""Telling a live run on standard error: bars on a terminal, a line every few seconds elsewhere; and the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.events import Event, FindingSeen, Retrying, Said, StepEnded, StepProgressed, StepStarted
from canswarm_tui.engine.live import write_live
from canswarm_tui.engine.step import Finding, Level, Progress, Verb
from canswarm_tui.engine.text import bytes_text, counted, duration_text, shown

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

LINE_EVERY_S = 3.0
LIVE_EVERY_S = 0.5
SHOWN_FINDINGS = 5
log = logging.getLogger("canswarm_tui.run")

_DOING = {Verb.CHECK: "checking", Verb.RUN: "running", Verb.VERIFY: "verifying", Verb.UNDO: "undoing"}


class Narrator:
    """Listens to events; `narrating` opens it for one run."""

    def __init__(self, live: Path | None = None) -> None:
        self._live = live
        self._bars: Bars | None = None
        self._bar: TaskID | None = None
        self._began = time.monotonic()
        self._next_line = 0.0
        self._next_live = 0.0
        self._seen: dict[str, int] = {}

    @contextmanager
    def narrating(self) -> Iterator[Narrator]:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}", markup=False))
            with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
                self._bars = bars
                yield self
            self._bars = None
        else:
            yield self
        if self._live is not None:
            self._live.unlink(missing_ok=True)

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted(step, verb):
                self._start(step, verb)
            case StepProgressed(step, verb, progress):
                self._progress(step, verb, progress)
            case FindingSeen(step, _, identity, finding):
                self._finding(step, identity, finding)
            case Retrying(_, error, attempt, delay_s):
                self._line(f"    waiting {delay_s:.1f} s, then trying again (attempt {attempt}): {error}")
            case Said(_, text):
                self._line(f"    {text}")
            case StepEnded():
                self._end(event)

    def _start(self, step: str, verb: Verb) -> None:
        self._began = time.monotonic()
        self._next_line = self._began + LINE_EVERY_S
        self._seen = {}
        log.info("%s %s", _DOING[verb], step)
        if self._bars is not None:
            self._bar = self._bars.add_task(f"{_DOING[verb]} {_title(step)}", total=None, text="")

    def _progress(self, step: str, verb: Verb, progress: Progress) -> None:
        now = time.monotonic()
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, completed=progress.done, total=progress.total, text=progress_text(progress))
        elif now >= self._next_line:
            self._next_line = now + LINE_EVERY_S
            self._line(f"    {_title(step)}: {progress_text(progress)}")
        if self._live is not None and now >= self._next_live:
            self._next_live = now + LIVE_EVERY_S
            _tell_watchers(self._live, step, verb, progress)

    def _finding(self, step: str, identity: str, finding: Finding) -> None:
        log.info("%s finding %s %s %s: %s", step, identity, finding.level.value, finding.subject, finding.happened)
        if finding.level is Level.NOTE:
            return
        count = self._seen[finding.code] = self._seen.get(finding.code, 0) + 1
        if count <= SHOWN_FINDINGS:
            self._line(f"  {_mark(finding)} {identity} {shown(finding.subject, 160)}: {finding.happened}")
        elif count == SHOWN_FINDINGS + 1:
            self._line(f"    more of {finding.code}: see `canswarm-tui findings`")

    def _end(self, event: StepEnded) -> None:
        if self._bars is not None and self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
        took = duration_text(time.monotonic() - self._began)
        title = _title(event.step)
        if event.error is not None:
            self._line(f"  ✗ {title}: {event.error}")
        elif event.outcome is not None:
            self._line(f"  · {title}: {event.outcome.summary or event.state.value} ({took})")
        elif event.verdict is not None:
            mark = "✓" if event.verdict.passed else "!"
            self._line(f"  {mark} {title}: {event.state.value}; {verdict_text(event)} ({took})")

    def _line(self, text: str) -> None:
        log.info("%s", text.strip())
        if self._bars is not None:
            self._bars.console.print(shown(text), markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(shown(text), err=True)


def verdict_text(event: StepEnded) -> str:
    """The verdict's own sentence, or its counts."""
    assert event.verdict is not None
    if event.verdict.summary:
        return event.verdict.summary
    parts = [f"{c.equal:,} of {c.compared:,} {c.name} equal {c.proof}" for c in event.verdict.comparisons]
    return "; ".join([*parts, counted(event.verdict.differences, "difference")])


def progress_text(progress: Progress) -> str:
    """`copying 1,200 of 5,000, 800/s, 12 MiB, 5 s left`; leaves out what is not known."""
    of = "" if progress.total is None else f" of {progress.total:,}"
    parts = [f"{progress.doing} {progress.done:,}{of}"]
    if progress.rate:
        parts.append(f"{progress.rate:,.0f}/s")
    if progress.done_bytes:
        parts.append(bytes_text(progress.done_bytes))
    if progress.eta_s is not None:
        parts.append(f"{duration_text(progress.eta_s)} left")
    if progress.waiting:
        parts.append(progress.waiting)
    return ", ".join(parts)


def _title(step: str) -> str:
    return BY_NAME[step].title if step in BY_NAME else step.capitalize()


def _mark(finding: Finding) -> str:
    return {Level.BLOCKER: "✗", Level.WARNING: "!", Level.NOTE: "·"}[finding.level]


def _tell_watchers(path: Path, step: str, verb: Verb, progress: Progress) -> None:
    try:
        write_live(path, step, verb, progress)
    except OSError:
        log.warning("the live file could not be written: %s", path)
