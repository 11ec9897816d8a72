"""Findings on the command line: list, show, accept with a reason, resolve a conflict."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import click

from canswarm_tui.commands.face import Face, common, stop_on_signals
from canswarm_tui.commands.narrator import Narrator
from canswarm_tui.commands.views import finding_view
from canswarm_tui.engine import rollback
from canswarm_tui.engine.checklist import in_order
from canswarm_tui.engine.decisions_of_people import accept_finding, find_one
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.step import Keep
from canswarm_tui.engine.text import shown


class _ListsByItself(click.Group):
    """`findings` alone, and `findings --waiting`, are `findings list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        helped = any(option in args for option in self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if helped or (args and not args[0].startswith("-")) else ["list", *args])


@click.group(cls=_ListsByItself)
def findings() -> None:
    """List, show, accept and resolve what was found; alone it lists."""


@findings.command("list")
@click.option("--all", "everything", is_flag=True, help="also those that are gone")
@click.option("--waiting", is_flag=True, help="only those that wait for a person")
@click.option("--level", type=click.Choice(["note", "warning", "blocker"]), help="only this level")
@click.option("--step", metavar="STEP", help="only this step")
@common
def list_(face: Face, everything: bool, waiting: bool, level: str | None, step: str | None) -> int:
    """List findings, the gravest first."""
    if step not in (None, rollback.NAME):
        in_order([step])
    with _observed(face) as journal:
        found = [] if journal is None else journal.findings(with_gone=everything, step=step)
    chosen = [
        f for f in found if (not waiting or f.wants_decision) and (level is None or f.finding.level.value == level)
    ]
    for f in chosen:
        mark = "waiting" if f.wants_decision else f.status.value
        subject, happened = shown(f.finding.subject, 160), shown(f.finding.happened)
        face.write(f"{f.id} {f.finding.level.value:<8} {mark:<9} {f.step:<13} {subject}: {happened}")
    if not chosen:
        face.write("no findings")
    waits = sum(f.wants_decision for f in found)
    return face.answer(
        ExitCode.ATTENTION if waits else ExitCode.DONE,
        {"findings": [finding_view(f) for f in chosen], "waiting": waits},
    )


@findings.command()
@click.argument("identity", metavar="ID")
@common
def show(face: Face, identity: str) -> int:
    """Show one finding whole."""
    with _observed(face) as journal:
        stored = find_one(journal, identity)
    for name, value in finding_view(stored).items():
        if name == "details":
            for detail, text in stored.finding.told_details.items():
                face.write(f"  {detail}: {shown(text)}")
        elif value not in (None, ""):
            face.write(f"{name}: {shown(str(value))}")
    return face.answer(ExitCode.DONE, {"finding": finding_view(stored)})


@findings.command()
@click.argument("identity", metavar="ID")
@click.option("--reason", required=True, help="why it may stay as it is; kept in journal and report")
@common
def accept(face: Face, identity: str, reason: str) -> int:
    """Accept a quarantine, difference or conflict as it is."""
    journal = Journal.join(face.place.journal)
    try:
        stored = accept_finding(journal, identity, getpass.getuser(), reason)
    finally:
        journal.close()
    face.write(f"accepted {stored.id}: {shown(stored.finding.subject)}")
    return face.answer(ExitCode.DONE, {"finding": finding_view(stored)})


@findings.command()
@click.argument("identity", metavar="ID")
@click.option("--keep", type=click.Choice([k.value for k in Keep]), required=True, help="whose value stays")
@click.option("--reason", default="", help="why; kept in journal and report")
@click.option("--yes", is_flag=True, help="don't ask")
@common
def resolve(face: Face, identity: str, keep: str, reason: str, yes: bool) -> int:
    """Resolve a conflict: keep the target's value, or put the site's in its place (the other one is kept for undo)."""
    with _observed(face) as journal:
        stored = find_one(journal, identity)
    face.confirm(f"Keep the {keep}'s value of {shown(stored.finding.subject)}?", yes=yes)
    narrator = Narrator(face.place.live)
    runner = Runner(face.settings, narrator)
    stop_on_signals(runner.stop)
    with narrator.narrating():
        result = runner.resolve(stored, Keep(keep), getpass.getuser(), reason)
    face.write(f"resolved {stored.id}: the {keep}'s value of {shown(stored.finding.subject)} is kept")
    return face.answer(result.exit_code, {"finding": finding_view(stored), "waiting": result.waiting})


@contextmanager
def _observed(face: Face) -> Iterator[Journal | None]:
    path = face.seen_place.journal
    if not path.exists():
        yield None
        return
    journal = Journal.observe(path)
    try:
        yield journal
    finally:
        journal.close()
