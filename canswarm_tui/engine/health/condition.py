"""Which condition a server is in, told from the error that a look at it ended with; and the frame of every look.

Clients time out, wrap and word things differently, so "down" and "slow" are told apart by the network itself: whether
anything accepts a connection at that address.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from canswarm_tui.engine.errors import EngineError, Refused, SettingsError, SiteUnreadable, Unreachable, Unready
from canswarm_tui.engine.health.facts import Condition, Look, Section
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.step import Figure, Finding, Kind, Level

LOOK_TIMEOUT_S = 5.0
"""Longest wait for one answer while diagnosing: a person waits for it."""
QUICK_S = 0.5
_KNOCK_S = 1.0
_PORTS = {"redis": 6379, "rediss": 6379, "nats": 4222, "tls": 4222, "ws": 80, "wss": 443, "http": 80, "https": 443}
Reading = tuple[Sequence[Section], Sequence[Finding]]


def condition_of(error: EngineError, urls: Sequence[str] = (), took_s: float = math.inf) -> Condition:
    """The condition of a server at `urls` (with scheme) that failed with `error`; knocks there if need be.

    One that takes connections and fails us within `QUICK_S` isn't slow: it hangs up, or speaks something else.
    """
    match error:
        case Refused() | SettingsError():
            return Condition.REFUSES
        case Unready():
            return Condition.BUSY
        case Unreachable():
            if not any(listens(url) for url in urls):
                return Condition.DOWN
            return Condition.OTHER_VERSION if took_s < QUICK_S else Condition.SLOW
        case SiteUnreadable():
            return Condition.DAMAGED
        case _:
            return Condition.OTHER_VERSION


def listens(url: str) -> bool:
    """Whether something accepts a connection there within a second; nothing is said to it."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(_KNOCK_S)
                knock.connect(parts.path)
        else:
            address = (parts.hostname or "127.0.0.1", parts.port or _PORTS.get(parts.scheme, 80))
            socket.create_connection(address, _KNOCK_S).close()
    except OSError:
        return False
    return True


def looked(name: str, address: str, urls: Sequence[str], read: Callable[[], Reading]) -> Look:
    """One timed look: what `read` returns, or the condition and the error that it ended with."""
    began = time.perf_counter()
    try:
        with mistakes_told(name):
            sections, worries = read()
    except EngineError as exc:
        took_ms = _since_ms(began)
        return Look(name, address, took_ms, condition_of(exc, urls, took_ms / 1000), error=exc)
    return Look(name, address, _since_ms(began), Condition.ANSWERS, tuple(sections), tuple(worries))


def section(title: str, **facts: Figure | None) -> Section:
    """A section from facts by name, `_` for a space; what a server doesn't tell (None) is said to be so."""
    return Section(title, tuple((k.replace("_", " "), "not told" if v is None else v) for k, v in facts.items()))


def worry(code: str, subject: str, happened: str, remedy: str, level: Level = Level.WARNING) -> Finding:
    """A fact about a server that an operator should know."""
    return Finding(code, level, Kind.CONDITION, subject, happened, remedy)


def yes_no(value: bool | None) -> str | None:
    """`yes`, `no`, or None where it isn't known."""
    return None if value is None else "yes" if value else "no"


def _since_ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
