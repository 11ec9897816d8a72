"""Every deep look and every long list by the name of its backend; a module is imported when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from canswarm_tui.engine.health.facts import Browsable, Look
from canswarm_tui.engine.settings import Settings

_NAMES = ("redis", "nats", "etcd", "minio", "ipfs", "opa", "automerge", "wasm")
_LISTS = {
    "redis": ("Decisions",), "etcd": ("DecisionKeys",), "minio": ("Objects",),
    "ipfs": ("RecursivePins", "DirectPins", "IndirectPins"),
}  # fmt: skip


def _look(name: str, settings: Settings) -> Look:
    look: Callable[[Settings], Look] = import_module(f"{__package__}.{name}").look
    return look(settings)


def _browse(name: str, kind: str, settings: Settings) -> Browsable:
    make: Callable[[Settings], Browsable] = getattr(import_module(f"{__package__}.{name}"), kind)
    return make(settings)


LOOKS: Mapping[str, Callable[[Settings], Look]] = {
    name: partial(_look, name) for name in _NAMES if find_spec(f"{__package__}.{name}") is not None
}
"""A look never raises `EngineError`: it becomes the look's condition."""
BROWSABLES: Mapping[str, tuple[Callable[[Settings], Browsable], ...]] = {
    name: tuple(partial(_browse, name, kind) for kind in kinds) for name, kinds in _LISTS.items()
}
"""What can be paged through; making one connects to nothing."""
