"""Diagnostics on the command line: one read-only look at each server, or the same again and again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import click

from canswarm_tui.commands.face import Face, common
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.probe import SERVERS, Probe, probe
from canswarm_tui.engine.text import bytes_text, shown

EVERY_S = 2.0


@click.command()
@click.argument("servers", nargs=-1, type=click.Choice(SERVERS), metavar="[SERVER…]")
@click.option("--watch", is_flag=True, help="look again every two seconds until Ctrl+C")
@common
def diagnose(face: Face, servers: tuple[str, ...], watch: bool) -> int:
    """Look at redis, nats, etcd, minio, ipfs, opa and automerge, or the named ones; ends with 3 when one is away."""
    chosen = servers or SERVERS
    while True:
        with ThreadPoolExecutor(len(chosen), thread_name_prefix="probe") as pool:
            probes = list(pool.map(lambda name: probe(name, face.settings), chosen))
        for one in probes:
            _write(face, one)
        if not watch:
            break
        time.sleep(EVERY_S)
    code = ExitCode.UNREACHABLE if any(p.error for p in probes) else ExitCode.DONE
    return face.answer(code, {"servers": {p.name: _view(p) for p in probes}})


def _write(face: Face, one: Probe) -> None:
    word = "answers" if one.error is None else "trouble"
    face.write(f"{one.name:<10} {word} {one.address} ({one.took_ms:.0f} ms)")
    if one.error is not None:
        face.write(f"    {shown(one.error.happened)}. {shown(one.error.remedy)}")
    for name, value in one.facts.items():
        text = bytes_text(value) if name.endswith("bytes") and isinstance(value, int | float) else str(value)
        face.write(f"    {name.removesuffix(' bytes')}: {shown(text)}")


def _view(one: Probe) -> dict[str, object]:
    error = None
    if one.error is not None:
        error = {"kind": type(one.error).__name__, "happened": one.error.happened, "remedy": one.error.remedy}
    return {"address": one.address, "took_ms": one.took_ms, "facts": dict(one.facts), "error": error}
