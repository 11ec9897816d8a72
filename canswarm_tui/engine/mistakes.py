"""A mistake of ours, told where somebody waits for an answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from canswarm_tui.engine.errors import Defect, EngineError

log = logging.getLogger(__name__)


@contextmanager
def mistakes_told(subject: str) -> Iterator[None]:
    """Turns what nobody foresaw into a `Defect`; its traceback goes to the log. `EngineError`s pass."""
    try:
        yield
    except EngineError:
        raise
    except Exception as exc:
        log.exception("%s failed", subject)
        raise Defect(subject, f"a mistake of ours ({type(exc).__name__})", "the log has it") from exc
