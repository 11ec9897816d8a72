"""What diagnostics say, in a form that a screen and the command line draw alike. All values are frozen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.step import Figure, Finding


class Condition(StrEnum):
    """Which of these a server is in, so that nobody has to guess from an error's text."""

    ANSWERS = "answers"
    DOWN = "down"
    """Nothing listens there, or the name is unknown."""
    SLOW = "slow"
    """It listens and did not answer in time."""
    BUSY = "busy"
    """It answers that it can't serve us now: it is loading, overloaded or without a leader."""
    REFUSES = "refuses"
    """It answered that we may not: wrong password, key, token or certificate."""
    OTHER_VERSION = "another version"
    """It answers, or hangs up at once, and is not what this program knows how to read."""
    DAMAGED = "damaged"
    """A file is there and can't be read as what it should be."""
    MISSING = "missing"
    """A file, bucket, stream or bundle isn't there."""


@dataclass(frozen=True, slots=True)
class Section:
    """A titled group of facts, such as `member etcd-1` or `repo`."""

    title: str
    facts: tuple[tuple[str, Figure], ...]
    """Name and value in the order to be shown; a name that ends with `bytes` is a size."""


@dataclass(frozen=True, slots=True)
class Look:
    """One close look at one backend."""

    name: str
    address: str
    """Without secrets."""
    took_ms: float
    condition: Condition
    sections: tuple[Section, ...] = ()
    worries: tuple[Finding, ...] = ()
    """What an operator should know: alarms, a quota that is near, unpinned blobs; each with its remedy."""
    error: EngineError | None = None
    """Set where the condition isn't `answers`; its `remedy` says what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a long list: keys of etcd, pins, ops of a thread."""

    key: str
    cells: tuple[str, ...]
    """As the page's columns name them; `key` isn't repeated."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list too long to hold."""

    columns: tuple[str, ...]
    entries: tuple[Entry, ...]
    after: str | None
    """What `page(after=…)` takes for the next part; None at the end."""
    total: int | None = None
    """All entries that match, where the server tells it cheaply."""


class Browsable(Protocol):
    """A list that is read from a server a page at a time, searched, and whose entries can be opened."""

    title: str

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        """The entries after `after` in the list's order whose key begins with `prefix`. Raises `EngineError`."""
        ...

    def open(self, key: str) -> tuple[Section, ...]:
        """All about one entry, compared with v1 where v1 has it.

        A key that is not there gives a section that says so. Raises `EngineError`.
        """
        ...


class CheckVerdict(StrEnum):
    FINE = "fine"
    WORRY = "worry"
    """It works, and will not for long or not in every case."""
    BAD = "bad"
    UNKNOWN = "can't tell"
    """Nobody could look: `said` tells why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One guided check, done just now: a symptom that an operator has, and whether its cause is there."""

    id: str
    """Stays the same between versions, such as `etcd.space`."""
    backend: str
    symptom: str
    looked_at: tuple[str, ...]
    """What was asked and what it answered, a line each."""
    verdict: CheckVerdict
    said: str
    remedy: str
    """Empty where there is nothing to do."""
    command: str
    """The equivalent in a shell, to copy; a secret is the environment variable of its setting."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables that the command reads secrets from."""
        return tuple(sorted(set(re.findall(r"\$(CANSWARM_\w+)", self.command))))
