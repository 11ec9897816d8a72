"""The guided checks of every backend, by its name; a module is imported when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.settings import Settings

_NAMES = ("redis", "nats", "etcd", "minio", "ipfs", "opa", "automerge", "wasm")


def _checks(name: str, settings: Settings) -> tuple[Check, ...]:
    done: tuple[Check, ...] = import_module(f"{__package__}.{name}").checks(settings)
    return done


GUIDED: Mapping[str, Callable[[Settings], tuple[Check, ...]]] = {name: partial(_checks, name) for name in _NAMES}
"""Each blocks until its server has answered or not; what fails is a verdict, never an `EngineError`."""
