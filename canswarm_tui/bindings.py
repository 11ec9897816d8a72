"""Every key of the interface, by the name of its action: what a person may give other keys to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from textual.binding import Binding
from textual.dom import DOMNode

from canswarm_tui import screens


@dataclass(frozen=True, slots=True)
class Key:
    """One binding: `action_id` is the name under [keys] of the preferences."""

    where: str
    action_id: str
    keys: str
    does: str


def every_key() -> tuple[Key, ...]:
    """All bindings with a name, each once, by screen and name."""
    from canswarm_tui.app import SwarmApp

    found: dict[str, Key] = {}
    for where, node in [("everywhere", SwarmApp), *_screens()]:
        for binding in node.__dict__.get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id and binding.id not in found:
                found[binding.id] = Key(where, binding.id, binding.key, binding.tooltip or binding.description)
    return tuple(sorted(found.values(), key=lambda key: (key.where != "everywhere", key.where, key.action_id)))


def unknown_keys(wanted: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each name that no action has, with the nearest that one has."""
    known = [key.action_id for key in every_key()]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            yield f"no action is called {name}" + (f": did you mean {near[0]}?" if near else "")


def keys_page(keys: Iterable[Key]) -> str:
    """The table of docs/keys.md."""
    lines = [
        "# Keys", "",
        "Written by `canswarm-tui keys --markdown`. Another key for an action goes into `interface.toml`, under "
        "`[keys]`: `run-step = \"f5\"`; several are separated by commas.", "",
        "| where | action | key | what it does |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [f"| {key.where} | `{key.action_id}` | {key.keys} | {key.does} |" for key in keys]
    return "\n".join(lines) + "\n"


def _screens() -> Iterator[tuple[str, type[DOMNode]]]:
    for module in sorted(iter_modules(screens.__path__), key=lambda module: module.name):
        name = f"{screens.__name__}.{module.name}"
        for one in vars(import_module(name)).values():
            if isinstance(one, type) and issubclass(one, DOMNode) and one.__module__ == name:
                yield module.name.replace("_", " "), one
