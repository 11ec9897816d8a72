"""`keys`: every key of the interface and the name that gives it another."""

from __future__ import annotations

from dataclasses import asdict

import click

from canswarm_tui.commands.face import Face, common
from canswarm_tui.engine.errors import ExitCode


@click.command()
@click.option("--markdown", is_flag=True, help="as the page docs/keys.md")
@common
def keys(face: Face, markdown: bool) -> int:
    """List the keys of the interface, with the names under which interface.toml gives them others."""
    from canswarm_tui.bindings import every_key, keys_page

    found = every_key()
    if markdown:
        face.write(keys_page(found).rstrip("\n"))
    else:
        for key in found:
            face.write(f"{key.where:<14} {key.action_id:<22} {key.keys:<18} {key.does}")
    return face.answer(ExitCode.DONE, {"keys": [asdict(key) for key in found]})
