"""What screens of findings share: a decision with its reason, a finding as text, and a copy that always is a file."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from canswarm_tui.engine.decisions_of_people import accept_finding
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal import Journal, StoredFinding
from canswarm_tui.engine.step import Keep, Kind
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.reason import ReasonScreen

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp

_ACTS = {
    Keep.TARGET: "Keep the target's value of {}; the site's is not migrated.",
    Keep.SITE: "Put the site's value of {} in place of the target's, which is kept for an undo.",
}


def resolve_conflict(app: SwarmApp, found: StoredFinding | None, keep: Keep) -> None:
    """Ask why, then have the engine keep that side's value."""
    if found is None or found.finding.kind is not Kind.CONFLICT:
        app.tell("choose a conflict", severity="warning")
        return
    if _refuses(app):
        return
    chosen, who = found, getpass.getuser()

    def resolve(reason: str | None) -> None:
        if reason:
            app.begin(lambda runner: runner.resolve(chosen, keep, who, reason))

    app.push_screen(ReasonScreen(found.finding.subject, _ACTS[keep]), resolve)


def accept(app: SwarmApp, found: StoredFinding | None) -> None:
    """Ask why, then write into the journal that the finding may stay as it is."""
    if _refuses(app):
        return
    if found is None or not found.wants_decision:
        app.tell("choose a finding that waits for a person", severity="warning")
        return
    chosen = found

    def decided(reason: str | None) -> None:
        if reason:
            _accept(app, chosen, reason)

    app.push_screen(ReasonScreen(found.finding.subject), decided)


def copy_out(app: SwarmApp, name: str, text: str) -> None:
    """To the terminal's clipboard, which may refuse it silently, and always into a file whose path is told."""
    app.copy_to_clipboard(text)
    path = app.place.folder / name
    try:
        path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        app.tell(f"{path} could not be written: {exc.strerror}", severity="error")
        return
    app.tell(f"given to the terminal's clipboard, and saved in {path}")


def finding_as_text(found: StoredFinding) -> str:
    """One finding as text: what, why, what to do, both values, and who decided."""
    finding = found.finding
    lines = [
        f"{found.id}  {finding.code}  {finding.kind.value}", shown(finding.subject), f"{shown(finding.happened)}.",
        f"What to do: {shown(finding.remedy)}",
    ]  # fmt: skip
    lines += [f"{shown(name, 60)}: {shown(text)}" for name, text in finding.told_details.items()]
    if found.decided_by:
        lines.append(f"{found.status.value} by {shown(found.decided_by)}: {shown(found.reason or '')}")
    return "\n".join(lines)


def _accept(app: SwarmApp, found: StoredFinding, reason: str) -> None:
    try:
        journal = Journal.join(app.place.journal)
        try:
            accept_finding(journal, found.id, getpass.getuser(), reason)
        finally:
            journal.close()
    except EngineError as exc:
        app.tell(str(exc), severity="error")
    app.model.read(elsewhere=app.model.elsewhere)
    app.refresh_screens()


def _refuses(app: SwarmApp) -> bool:
    if app.model.observe:
        app.tell("observing only: start without --observe to decide", severity="warning")
    return app.model.observe
