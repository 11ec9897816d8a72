"""The rate limit as people turn it: a scale of steps, and who is told, the engine here or a run of another process."""

from __future__ import annotations

import getpass
import logging
from typing import TYPE_CHECKING

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.rate import limit_text
from canswarm_tui.engine.text import bytes_text

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp

log = logging.getLogger(__name__)
LIMITED = ("blobs-minio", "blobs-ipfs", "decisions")
"""Steps that copy record by record, and so obey the limit."""
SCALE = tuple(float(step * 10**power) for power in range(6) for step in (1, 2, 5))
"""1, 2, 5, 10 … 500,000 records a second; beyond the last there is no limit."""
BEGIN = 1000.0
"""Where slowing down begins while nothing is known about the rate."""


def slower(now: float | None, rate: float | None) -> float:
    """One step down: from no limit, the first step below the measured rate."""
    above = now if now is not None else (rate or BEGIN)
    return max((step for step in SCALE if step < above), default=SCALE[0])


def faster(now: float | None) -> float | None:
    """One step up; None is no limit."""
    return None if now is None else next((step for step in SCALE if step > now), None)


def limit_now(app: SwarmApp) -> float | None:
    """The limit of the run that is shown: this engine's, or what another process's run says."""
    if app.model.elsewhere:
        return None if app.model.progress is None else app.model.progress.limit_records_s
    return app.engine.limit.records_s


def limit_words(app: SwarmApp) -> str:
    """Both bounds as a screen shows them; empty while a run of another process has not told its own yet."""
    if app.model.elsewhere and app.model.progress is None:
        return ""
    records_s, bytes_s = limit_now(app), app.engine.limit.bytes_s
    if bytes_s is None:
        return limit_text(records_s)
    size = f"{bytes_text(bytes_s)}/s"
    return f"limit {size}" if records_s is None else f"{limit_text(records_s)} and {size}"


def turn_limit(app: SwarmApp, records_s: float | None) -> None:
    """Set it from now on; a run of another process is asked to."""
    if app.model.observe:
        app.tell("observing only: start without --observe to turn the limit", severity="warning")
        return
    if not app.model.elsewhere:
        app.engine.limit.turn(records_s, app.engine.limit.bytes_s)
        log.info("%s, as asked in the interface", limit_text(records_s))
        app.tell(limit_text(records_s))
    else:
        try:
            ask_limit(app, records_s)
        except EngineError as exc:
            app.tell(str(exc), severity="error")
            return
        app.tell(f"the other process is asked for {limit_text(records_s)}")
    app.refresh_screens()


def ask_limit(app: SwarmApp, records_s: float | None) -> None:
    """Leave the request in the journal; the run takes it within a second."""
    journal = Journal.join(app.place.journal)
    try:
        journal.ask("rate", {"records_s": records_s, "who": getpass.getuser()})
    finally:
        journal.close()
