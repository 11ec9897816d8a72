"""Diagnostics on the command line: servers and guided checks, long lists, one entry. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from canswarm_tui.commands.diagnose_round import end_round, look_around, watch_keys, watch_servers
from canswarm_tui.commands.diagnose_view import section_view, write_sections
from canswarm_tui.commands.face import Face, common, stop_on_signals
from canswarm_tui.engine.errors import ExitCode, SettingsError
from canswarm_tui.engine.health.facts import Browsable, Section
from canswarm_tui.engine.health.registry import LOOKS
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import shown

_JSON_ENTRIES = 10_000
"""One JSON object holds no more of a list; `more` says so."""
_ALL = tuple(LOOKS)
_PIN_KINDS = ("recursive", "direct", "indirect")


@click.command()
@click.argument("servers", nargs=-1, type=click.Choice(_ALL), metavar="[SERVER…]")
@click.option("--watch", is_flag=True, help="again every two seconds until Ctrl+C; with --keys: changes as they happen")
@click.option("--keys", is_flag=True, help="with etcd: list every decision")
@click.option("--prefix", default="", metavar="P", help="with --keys or --pins: only what begins with P")
@click.option("--key", metavar="K", help="with etcd: one decision, compared with Redis")
@click.option("--pins", is_flag=True, help="with ipfs: list the pins of one type")
@click.option(
    "--type", "kind", type=click.Choice(_PIN_KINDS), default=_PIN_KINDS[0], show_default=True, help="with --pins: which"
)
@click.option("--cid", metavar="X", help="with ipfs: one CID or v1 hash: whole, pinned, of the right bytes")
@click.option("--verify", is_flag=True, help="with ipfs: let the node read and hash every block")
@click.option("--task", metavar="T", help="with automerge: a task's history, and why its state is what it is")
@click.option("--thread", metavar="T", help="with automerge: the ops of a thread")
@click.option("--merge", metavar="FILE", help="with automerge: try a merge with a peer's document; writes neither")
@common
def diagnose(
    face: Face,
    servers: tuple[str, ...],
    watch: bool,
    keys: bool,
    prefix: str,
    key: str | None,
    pins: bool,
    kind: str,
    cid: str | None,
    verify: bool,
    task: str | None,
    thread: str | None,
    merge: str | None,
) -> int:
    """Look at every server and at the guided checks of its troubles, or at the named ones.

    Ends with 3 when one is away, with 10 when a check says bad. Reads only.
    """
    if keys or key is not None:
        _only(servers, "etcd", "--keys and --key")
        return watch_keys(face, prefix) if watch and keys else _etcd(face, key, prefix)
    if pins or cid is not None or verify:
        _only(servers, "ipfs", "--pins, --cid and --verify")
        return _ipfs(face, cid, prefix, kind if pins else "")
    if task is not None or thread is not None or merge is not None:
        _only(servers, "automerge", "--task, --thread and --merge")
        return _open(face, _automerge(face.settings, task, thread, merge))
    if prefix:
        raise SettingsError("--prefix", "it searches a list", "add `etcd --keys` or `ipfs --pins`")
    chosen = servers or _ALL
    return watch_servers(face, chosen) if watch else end_round(face, look_around(face.settings, chosen))


def _only(servers: Sequence[str], name: str, options: str) -> None:
    if tuple(servers) != (name,):
        raise SettingsError("diagnose", f"{options} are about {name} alone", f"write `canswarm-tui diagnose {name} …`")


def _etcd(face: Face, key: str | None, prefix: str) -> int:
    from canswarm_tui.engine.health.etcd import DecisionKeys

    listed = DecisionKeys(face.settings)
    return _list(face, listed, prefix) if key is None else _open(face, listed.open(key))


def _ipfs(face: Face, cid: str | None, prefix: str, kind: str) -> int:
    from canswarm_tui.engine.health.ipfs import Pins, look_up

    if kind:
        return _list(face, Pins(face.settings, kind), prefix)
    return _verify(face) if cid is None else _open(face, look_up(face.settings, cid))


def _automerge(settings: Settings, task: str | None, thread: str | None, merge: str | None) -> Sequence[Section]:
    from canswarm_tui.engine.health.automerge import task_history, thread_ops, verify_merge

    if merge is not None:
        return verify_merge(settings, Path(merge))
    return task_history(settings, task) if task is not None else thread_ops(settings, thread or "")


def _open(face: Face, sections: Sequence[Section]) -> int:
    write_sections(face, sections)
    return face.answer(ExitCode.DONE, {"sections": [section_view(one) for one in sections]})


def _list(face: Face, listed: Browsable, prefix: str) -> int:
    entries: list[dict[str, object]] = []
    after: str | None = None
    while True:
        page = listed.page(after=after, limit=1000, prefix=prefix)
        for entry in page.entries:
            face.write("  ".join(shown(part) for part in (entry.key, *entry.cells)))
            if face.as_json and len(entries) < _JSON_ENTRIES:
                entries.append({"key": entry.key, **dict(zip(page.columns, entry.cells, strict=True))})
        after = page.after
        if after is None or (face.as_json and len(entries) >= _JSON_ENTRIES):
            break
    return face.answer(ExitCode.DONE, {"entries": entries, "total": page.total, "more": after is not None})


def _verify(face: Face) -> int:
    from canswarm_tui.engine.health.ipfs import repo_verify

    stop = StopSignal()
    stop_on_signals(stop)
    blocks, problems = 0, 0
    named: list[str] = []
    for seen in repo_verify(face.settings, stop):
        if seen.problem:
            problems += 1
            named += [seen.problem] if len(named) < _JSON_ENTRIES else []
            face.write(f"damaged: {shown(seen.problem)}")
        if seen.blocks >= blocks + 10_000:
            face.tell(f"{seen.blocks:,} blocks read")
        blocks = max(blocks, seen.blocks)
    stop.check()
    face.write(f"{blocks:,} blocks read, {problems:,} complaints")
    code = ExitCode.ATTENTION if problems else ExitCode.DONE
    return face.answer(code, {"blocks": blocks, "problems": named})
