"""Every request that changes something at a target is told to the log: what was asked of whom, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from canswarm_tui.engine.errors import EngineError, Unreachable

log = logging.getLogger(__name__)
NAME_CHARS = 120
"""How much of a name a line quotes."""


@contextmanager
def changing(server: str, request: str) -> Iterator[None]:
    """Tells the request when it was answered; a refused one, and one whose effect is unknown, as that."""
    try:
        yield
    except Unreachable as exc:
        log.warning("%s: %s: no answer, so it may or may not be done (%s)", server, request, exc.happened)
        raise
    except EngineError as exc:
        log.warning("%s: %s: refused (%s)", server, request, exc.happened)
        raise
    tell_change(server, request)


def tell_change(server: str, request: str) -> None:
    """For a change that has been acknowledged."""
    log.info("%s: %s", server, request)


def span(names: list[bytes]) -> str:
    """`/a … /f (6)`; one name alone; names as they are, so to be escaped where they are shown."""
    first, last = (name[:NAME_CHARS].decode("utf-8", "backslashreplace") for name in (names[0], names[-1]))
    return first if len(names) == 1 else f"{first} … {last} ({len(names):,})"
