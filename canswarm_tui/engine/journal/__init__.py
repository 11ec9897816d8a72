"""The journal: the durable record of one run, in SQLite, that anyone can open with `sqlite3` and read."""

from canswarm_tui.engine.journal.batches import Batch, ClosedBatch, Receipt, ReceiptFate
from canswarm_tui.engine.journal.findings import FindingStatus, StoredFinding
from canswarm_tui.engine.journal.journal import Journal
from canswarm_tui.engine.journal.schema import Json
from canswarm_tui.engine.journal.state import INTERRUPTED, StepRecord, StepState, has_run, without_a_run
from canswarm_tui.engine.journal.step_view import StepJournal

__all__ = [
    "INTERRUPTED",
    "Batch",
    "ClosedBatch",
    "FindingStatus",
    "Journal",
    "Json",
    "Receipt",
    "ReceiptFate",
    "StepJournal",
    "StepRecord",
    "StepState",
    "StoredFinding",
    "has_run",
    "without_a_run",
]
