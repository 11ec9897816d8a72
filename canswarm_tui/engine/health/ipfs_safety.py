"""Which blobs that a run has put into IPFS would be taken by a garbage collection: their batch's root isn't pinned."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.journal import Journal, ReceiptFate
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.v2.kubo import KuboApi

SAFETY_REMEDY = "run no garbage collection (`ipfs repo gc`, --enable-gc); verify blobs-ipfs, then run it again"


@dataclass(frozen=True, slots=True)
class Safety:
    """Of the blobs that the journal calls created."""

    blobs: int = 0
    loose: int = 0
    """In batches whose root is not pinned any more."""
    pinned_batches: int = 0
    example: str = ""
    """The v1 hash of a loose one."""
    unknown: str = ""
    """Why nothing is known as ours."""

    @property
    def happened(self) -> str:
        return (
            f"{self.loose:,} of {self.blobs:,} blobs of ours are in batches whose root is not pinned, "
            f"such as {self.example}"
        )


def safety_of(settings: Settings, api: KuboApi) -> Safety:
    """Ask the node for the pins of this run and hold them against the journal. Raises the node's errors."""
    path = place_of(settings).journal if settings.site.root else None
    if path is None or not path.is_file():
        return Safety(unknown="there is no journal of this site, so nothing is known as ours")
    try:
        with closing(Journal.observe(path)) as journal:
            return _judged(api, journal)
    except EngineError as exc:
        return Safety(unknown=f"the journal can't be read ({exc.happened})")


def _judged(api: KuboApi, journal: Journal) -> Safety:
    pinned = {pin.name for pin in api.pins("recursive", journal.run_id)}
    blobs, loose, example = 0, 0, ""
    for receipt in journal.step("blobs-ipfs").receipts(fates=(ReceiptFate.CREATED,)):
        blobs += 1
        if f"{journal.run_id}-{receipt.batch}" not in pinned:
            loose += 1
            example = example or receipt.key.decode("ascii", "backslashreplace")
    return Safety(blobs, loose, len(pinned), example)
