"""What takes its time or has no end: changes of decisions as they happen, and a repo that is read and hashed whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.text import counted, shown


@dataclass(frozen=True, slots=True)
class Heard:
    """Where it is, and a line that stays where something happened."""

    status: str
    line: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    title: str
    begins: str
    """What is said until something is heard."""
    ended: str
    listen: Callable[[Settings, StopSignal], Iterator[Heard]]
    """Ends by itself or soon after the stop is set. Raises `EngineError`."""


def _changes(settings: Settings, stop: StopSignal) -> Iterator[Heard]:
    from canswarm_tui.engine.health.etcd import watch

    for count, change in enumerate(watch(settings, stop), 1):
        line = f"{change.what:<7} {shown(change.key, 120)}  revision {change.revision}  {shown(change.value, 200)}"
        yield Heard(f"{counted(count, 'change')}", line)


def _verify(settings: Settings, stop: StopSignal) -> Iterator[Heard]:
    from canswarm_tui.engine.health.ipfs import repo_verify

    problems = 0
    for seen in repo_verify(settings, stop):
        problems += bool(seen.problem)
        status = f"{seen.blocks:,} blocks read and hashed, {problems:,} wrong"
        yield Heard(status, shown(seen.problem, 300), is_bad=bool(seen.problem))


STREAMS: Mapping[str, Stream] = {
    "etcd": Stream("decisions in etcd, live", "nothing has changed yet", "the watch has ended", _changes),
    "ipfs": Stream("verify the IPFS repo", "the node reads its blocks…", "every block has been read", _verify),
}
