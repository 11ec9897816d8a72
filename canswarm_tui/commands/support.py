"""`support-bundle`: one archive without secrets, for an issue tagged [v2-migration]."""

from __future__ import annotations

import time
from pathlib import Path

import click

from canswarm_tui.commands.face import Face, common
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.support import gather, write_archive
from canswarm_tui.engine.text import bytes_text


@click.command("support-bundle")
@click.option("--out", metavar="FILE", help="the archive; default: canswarm-support-TIME.tar.gz in this folder")
@click.option("--yes", is_flag=True, help="don't ask")
@common
def support_bundle(face: Face, out: str | None, yes: bool) -> int:
    """Gather report, findings, versions, the log's end and a look at every server, without secrets, in one archive."""
    path = Path(out) if out else Path.cwd() / time.strftime("canswarm-support-%Y%m%d-%H%M%S.tar.gz")
    items = gather(face.settings, face.place)
    for item in items:
        face.tell(f"{item.name:<16} {bytes_text(len(item.content)):>10}")
    face.confirm(f"Write these {len(items)} files, secrets taken out, to {path}?", yes=yes)
    write_archive(path, items)
    face.write(f"wrote {path} (mode 0600): look into it, then attach it to an issue tagged [v2-migration]")
    return face.answer(ExitCode.DONE, {"file": path, "files": {item.name: len(item.content) for item in items}})
