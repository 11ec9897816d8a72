"""One step's view of the journal: its batches and receipts, findings, facts and state."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from canswarm_tui.engine.checklist import FINAL, WRITERS
from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import batches, findings, receipts
from canswarm_tui.engine.journal.batches import STANDING, Batch, ClosedBatch, Receipt, ReceiptFate
from canswarm_tui.engine.journal.findings import StoredFinding
from canswarm_tui.engine.journal.schema import Json
from canswarm_tui.engine.journal.state import StepRecord, StepState, has_run
from canswarm_tui.engine.records import Wanted
from canswarm_tui.engine.step import Finding, Outcome, Verb, Verdict

if TYPE_CHECKING:
    from canswarm_tui.engine.journal.journal import Journal


@dataclass(frozen=True, slots=True)
class KeptValue:
    """What became of a value that a person lets us overwrite."""

    own: bool
    """This run had put it there, so it was not kept."""
    earlier: bytes | None
    """What had been kept for this key before."""

    @property
    def words(self) -> str:
        return "its former one was this run's own" if self.own else "its former one is kept"


class StepJournal:
    """One step's view of the journal."""

    def __init__(self, journal: Journal, step: str) -> None:
        self._journal = journal
        self.step = step

    @property
    def run_id(self) -> str:
        return self._journal.run_id

    def sibling(self, step: str) -> StepJournal:
        """Another step's view, to read its receipts."""
        return StepJournal(self._journal, step)

    def close(self) -> None:
        """Close the whole journal."""
        self._journal.close()

    def pin(self, name: str, value: str) -> None:
        self._journal.pin(name, value)

    def record(self) -> StepRecord:
        return self._journal.records().get(self.step, StepRecord(self.step))

    def open_batches(self) -> list[Batch]:
        """Batches whose effect is unknown: intended, but without receipts."""
        with self._journal.reading() as db:
            return batches.open_batches(db, self.step)

    def open_tags(self) -> list[str]:
        """The tags of the open batches of every step of this run."""
        with self._journal.reading() as db:
            return [tag for (tag,) in db.execute("SELECT tag FROM batches WHERE closed_at IS NULL")]

    def next_batch_number(self) -> int:
        with self._journal.reading() as db:
            number: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM batches").fetchone()[0]
            return number

    def commit(self, opened: Sequence[Batch] = (), closed: Sequence[ClosedBatch] = ()) -> None:
        """Intents and receipts in one transaction. Opened batches carry numbers from `next_batch_number` on."""
        if not opened and not closed:
            return
        boundary = "+".join(name for name, there in (("intent", opened), ("receipts", closed)) if there)
        with self._journal.transaction(boundary) as db:
            batches.write_intents(db, self.step, opened)
            receipts.close(db, self.step, closed)
            if opened or any(c.whole or any(r.fate is ReceiptFate.CREATED for r in c.receipts) for c in closed):
                self._touch(db)

    def receipts(self, after: bytes = b"", fates: Sequence[ReceiptFate] = STANDING) -> Iterator[Receipt]:
        """Receipts in key order, by default those of records that are at the target. Pages; safe beside `commit`."""
        at = after or None
        while True:
            with self._journal.reading() as db:
                page = receipts.page(db, self.step, at, fates)
            if not page:
                return
            yield from page
            at = page[-1].key

    def receipt(self, key: bytes) -> Receipt | None:
        with self._journal.reading() as db:
            return receipts.one(db, self.step, key)

    def count_receipts(self, fates: Sequence[ReceiptFate] = STANDING) -> int:
        with self._journal.reading() as db:
            return receipts.count(db, self.step, fates)

    def batches_with(self, fate: ReceiptFate) -> Iterator[tuple[Batch, tuple[Receipt, ...]]]:
        """Closed batches that have receipts of this fate, the newest first, each with just those receipts."""
        with self._journal.reading() as db:
            closed = db.execute(
                "SELECT id, tag FROM batches WHERE step = ? AND closed_at IS NOT NULL ORDER BY id DESC",
                (self.step,),
            ).fetchall()
        for number, tag in closed:
            with self._journal.reading() as db:
                found = receipts.of_batch(db, self.step, number, fate)
            if found:
                yield Batch(number, tag, tuple(Wanted(r.key, r.digest, r.size) for r in found)), found

    def put_receipt(self, receipt: Receipt) -> None:
        """Record what a person decided about one record, outside any batch (batch 0)."""
        with self._journal.transaction("receipt") as db:
            receipts.put(db, self.step, (receipt,))
            if receipt.fate is ReceiptFate.REPLACED:
                self._touch(db)

    def set_fates(self, keys: Iterable[bytes], fate: ReceiptFate) -> None:
        """Change what is known of records that have a receipt, such as LOST after a verify or REMOVED by an undo."""
        with self._journal.transaction("fates") as db:
            receipts.set_fates(db, self.step, keys, fate)
            if fate is ReceiptFate.REMOVED:
                self._touch(db)

    def add_finding(self, verb: Verb, sweep: int, seen: Iterable[Finding]) -> list[str]:
        """Store findings; from then on a step for which one of its own waits is neither done nor proved."""
        with self._journal.transaction("findings") as db:
            stored = [findings.store(db, self.step, verb.value, sweep, f) for f in seen]
            if findings.is_waiting(db, self.step):
                db.execute(
                    "UPDATE steps SET state = ? WHERE step = ? AND state IN (?, ?)",
                    (StepState.NEEDS_ATTENTION, self.step, StepState.DONE, StepState.PROVED),
                )
                self._forget_final_verdict(db)
            return stored

    def sweep_out(self, verb: Verb, sweep: int, check: str | None = None) -> None:
        with self._journal.transaction("sweep") as db:
            findings.sweep_out(db, self.step, verb.value, sweep, check)

    def findings(self) -> list[StoredFinding]:
        return self._journal.findings(step=self.step)

    def waiting_findings(self, *, everywhere: bool = False) -> int:
        """Open findings of this step, or of all, that need a person."""
        with self._journal.reading() as db:
            return findings.count_waiting(db, None if everywhere else self.step)

    def note(self, verb: Verb, what: str, data: Mapping[str, Json] | None = None) -> int:
        return self._journal.note(self.step, verb.value, what, data)

    def fact(self, name: str) -> Json:
        """A fact remembered with `set_fact`, or None."""
        with self._journal.reading() as db:
            row = db.execute("SELECT value FROM facts WHERE step = ? AND name = ?", (self.step, name)).fetchone()
        value: Json = None if row is None else json.loads(row[0])
        return value

    def set_fact(self, name: str, value: Json) -> None:
        with self._journal.transaction("fact") as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (self.step, name, json.dumps(value)))

    def hold_target(self, setting: str, names: Sequence[str]) -> None:
        """Raise `SettingsError` where this step has put something into a target that has none of these names.

        A server is the same by what it calls itself or by its address: it may move, and it may be set up anew at its
        place. A step that never ran or is undone takes what the setting leads to.
        """
        known = self.fact(f"target {setting}")
        if isinstance(known, list) and has_run(self.record()) and not set(map(str, known)) & set(names):
            raise SettingsError(
                setting,
                f"the step began with {known[0]}, the settings lead to {names[0]} now",
                f"put {setting} back; to go elsewhere, undo the step there first",
            )
        if known != list(names):
            self.set_fact(f"target {setting}", list(names))

    def keep_replaced(self, ours: Receipt, value: bytes) -> KeptValue:
        """Keep, whole, the `value` that a person lets us overwrite with `ours`, before it is overwritten.

        The receipt of ours, with the fate REPLACED, is written with it: an undo needs both. A later value takes the
        place of an earlier one. What this run itself had put there is not kept: an undo has nothing to put back then.
        """
        with self._journal.transaction("replaced") as db:
            key = ours.key
            known = receipts.one(db, self.step, key)
            own = (
                known is not None
                and known.fate in (ReceiptFate.CREATED, ReceiptFate.REPLACED)
                and known.digest == hashlib.sha256(value).digest()
            )
            row = db.execute("SELECT value FROM replaced WHERE step = ? AND key = ?", (self.step, key)).fetchone()
            if not own:
                db.execute("INSERT OR REPLACE INTO replaced VALUES (?, ?, ?)", (self.step, key, value))
            receipts.put(db, self.step, (ours,))
            self._touch(db)
        return KeptValue(own, None if row is None else row[0])

    def replaced(self) -> list[tuple[bytes, bytes]]:
        with self._journal.reading() as db:
            return db.execute("SELECT key, value FROM replaced WHERE step = ? ORDER BY key", (self.step,)).fetchall()

    def forget_replaced(self, key: bytes, earlier: bytes | None = None) -> None:
        """Keep nothing for this key any more, or again what was kept before: the `earlier` of `keep_replaced`."""
        with self._journal.transaction("replaced") as db:
            db.execute("DELETE FROM replaced WHERE step = ? AND key = ?", (self.step, key))
            if earlier is not None:
                db.execute("INSERT INTO replaced VALUES (?, ?, ?)", (self.step, key, earlier))

    def mark_write(self) -> None:
        """The target is about to change, by something other than a batch: earlier verdicts are stale."""
        with self._journal.transaction("write mark") as db:
            self._touch(db)

    def set_state(
        self,
        state: StepState,
        *,
        outcome: Outcome | None = None,
        verdict: Verdict | None = None,
        error: str | None = None,
    ) -> None:
        """Record where the step stands; an outcome or verdict given becomes its newest.

        NOT_STARTED forgets both, UNDONE the verdict and its open conflicts and differences: what was compared is not
        there any more.
        """
        now = time.time()
        with self._journal.transaction("state") as db:
            db.execute(
                "INSERT OR IGNORE INTO steps (step, state, changed_at) VALUES (?, ?, ?)",
                (self.step, state.value, now),
            )
            db.execute(
                "UPDATE steps SET state = ?, changed_at = ?, error = ? WHERE step = ?",
                (state.value, now, error, self.step),
            )
            if state is StepState.NOT_STARTED:
                db.execute("UPDATE steps SET outcome = NULL, verdict = NULL WHERE step = ?", (self.step,))
            if state is StepState.UNDONE:
                db.execute("UPDATE steps SET verdict = NULL, verdict_at = NULL WHERE step = ?", (self.step,))
            if outcome is not None:
                db.execute(
                    "UPDATE steps SET outcome = ?, outcome_at = ? WHERE step = ?",
                    (json.dumps(asdict(outcome)), now, self.step),
                )
            if verdict is not None:
                db.execute(
                    "UPDATE steps SET verdict = ?, verdict_at = ? WHERE step = ?",
                    (json.dumps(asdict(verdict)), now, self.step),
                )
            if state is StepState.UNDONE:
                findings.close_compared(db, self.step)
                self._forget_final_verdict(db)

    def _touch(self, db: sqlite3.Connection) -> None:
        now = time.time()
        db.execute(
            "INSERT INTO steps (step, state, changed_at, wrote_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (step) DO UPDATE SET wrote_at = excluded.wrote_at,"
            " state = CASE state WHEN ? THEN ? ELSE state END",
            (self.step, StepState.RUNNING.value, now, now, StepState.PROVED, StepState.DONE),
        )
        self._forget_final_verdict(db)

    def _forget_final_verdict(self, db: sqlite3.Connection) -> None:
        """This step's target is not what the final verification saw: what that said of all targets holds no more."""
        if self.step in WRITERS:
            db.execute(
                "UPDATE steps SET state = ?, changed_at = ?, outcome = NULL, verdict = NULL, error = NULL"
                " WHERE step = ? AND state <> ?",
                (StepState.NOT_STARTED, time.time(), FINAL, StepState.NOT_STARTED),
            )
