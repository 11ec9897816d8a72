"""When a screen may be pictured: all that it reads in threads has come, and it is painted no more."""

from __future__ import annotations

import threading
from typing import Any

from textual.pilot import Pilot

READERS = ("look-", "check-", "browse", "merge", "support")
"""How the threads begin that a screen reads with; those of its workers Textual knows itself."""
ENOUGH = 3


async def still(pilot: Pilot[Any]) -> None:
    """Until the same picture has come some times on end, with nobody reading."""
    before, same = "", 0
    for _ in range(300):
        await pilot.pause(0.03)
        picture = pilot.app.export_screenshot()
        same = same + 1 if picture == before and not _somebody_reads(pilot) else 0
        before = picture
        if same >= ENOUGH:
            return
    raise AssertionError("the screen does not come to rest")


def _somebody_reads(pilot: Pilot[Any]) -> bool:
    return any(not worker.is_finished for worker in pilot.app.workers) or any(
        thread.name.startswith(READERS) for thread in threading.enumerate()
    )
