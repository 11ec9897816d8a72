"""Commands that look: status and report."""

from __future__ import annotations

import click

from canswarm_tui.commands.face import Face, common
from canswarm_tui.commands.setup import what_is_no_site
from canswarm_tui.commands.views import run_view, write_summary
from canswarm_tui.engine.errors import Blocked, ExitCode
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.live import read_live
from canswarm_tui.engine.lock import is_held
from canswarm_tui.engine.report import write_report


@click.command()
@common
def status(face: Face) -> int:
    """Where every step stands, from the journal alone; and how far a live run is."""
    place, root = face.seen_place, face.settings.site.require_root()
    live = is_held(root / ".state")
    view = run_view(place, live=live)
    if (wrong := what_is_no_site(root)) is not None:
        face.tell(f"site: {wrong} now. Check site.root")
    view["live"] = {"running": live, "progress": read_live(place.live) if live else None}
    write_summary(face, view)
    if live:
        progress = view["live"]["progress"]
        face.write(f"running: {progress['step']} {progress['doing']} {progress['done']:,}" if progress else "running")
    else:
        face.write("nothing runs now")
    return face.answer(ExitCode.ATTENTION if view["waiting"] else ExitCode.DONE, view)


@click.command()
@click.option("--print", "print_it", is_flag=True, help="the whole report on standard output")
@common
def report(face: Face, print_it: bool) -> int:
    """Write the report (JSON, Markdown, HTML) from the journal and say where it is."""
    if not face.place.journal.exists():
        raise Blocked("report", "nothing has run for this site yet", "run `canswarm-tui run` first")
    live = is_held(face.settings.site.require_root() / ".state")
    journal = Journal.observe(face.place.journal)
    try:
        written = write_report(face.settings, journal, face.place, live=live)
    finally:
        journal.close()
    if print_it:
        face.write(written.markdown.read_text(encoding="utf-8"))
    for path in (written.json, written.markdown, written.html):
        face.write(str(path))
    code = ExitCode.ATTENTION if written.waiting else ExitCode.DONE
    return face.answer(code, {"json": written.json, "markdown": written.markdown, "html": written.html})
