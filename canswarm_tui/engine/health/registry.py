"""Every deep look and every long list by the name of its backend; a module is imported when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from canswarm_tui.engine.health.condition import looked, section
from canswarm_tui.engine.health.facts import Browsable, Condition, Look
from canswarm_tui.engine.probe import SERVERS, probe
from canswarm_tui.engine.settings import Settings

_NAMES = ("redis", "nats", "etcd", "minio", "ipfs", "opa", "automerge", "wasm")
_LISTS = {
    "redis": ("redis.Decisions",), "etcd": ("etcd.DecisionKeys",), "minio": ("minio.Objects",),
    "ipfs": ("ipfs.RecursivePins", "ipfs.DirectPins", "ipfs.IndirectPins"),
    "automerge": ("automerge_lists.Tasks", "automerge_lists.Threads"),
}  # fmt: skip


def _look(name: str, settings: Settings) -> Look:
    look: Callable[[Settings], Look] = import_module(f"{__package__}.{name}").look
    return look(settings)


def _browse(where: str, settings: Settings) -> Browsable:
    module, _, kind = where.partition(".")
    make: Callable[[Settings], Browsable] = getattr(import_module(f"{__package__}.{module}"), kind)
    return make(settings)


def _shallow(name: str, settings: Settings) -> Look:
    """What the health line asks, for a backend that nobody looks at more closely."""
    found = probe(name, settings)
    if found.error is None:
        facts = section("facts", **{key.replace(" ", "_"): value for key, value in found.facts.items()})
        return Look(name, found.address, found.took_ms, Condition.ANSWERS, (facts,))
    error = found.error

    def fail() -> tuple[tuple[()], tuple[()]]:
        raise error

    return looked(name, found.address, (found.address,) if "://" in found.address else (), fail)


def _has_module(name: str) -> bool:
    return find_spec(f"{__package__}.{name}") is not None


LOOKS: Mapping[str, Callable[[Settings], Look]] = {
    name: partial(_look if _has_module(name) else _shallow, name)
    for name in _NAMES
    if _has_module(name) or name in SERVERS
}
"""A look never raises `EngineError`: it becomes the look's condition."""
BROWSABLES: Mapping[str, tuple[Callable[[Settings], Browsable], ...]] = {
    name: tuple(partial(_browse, where) for where in lists) for name, lists in _LISTS.items()
}
"""What can be paged through; making one connects to nothing."""
