"""Whatever order batches close, fates change and people decide in: the journal answers as a plain dictionary would."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from canswarm_tui.engine.journal import Batch, ClosedBatch, Journal, Receipt, ReceiptFate
from canswarm_tui.engine.journal import receipts as packed
from canswarm_tui.engine.journal.batches import STANDING
from canswarm_tui.engine.records import Wanted

KEYS = st.sampled_from([b"", *(bytes([n]) for n in range(24))])
KEY_SETS = st.sets(KEYS, min_size=1, max_size=12)
FATES = st.sampled_from(ReceiptFate)


class ReceiptsAreADictionary(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.journal = Journal.open(Path(self.folder.name, "journal.db"), {"site.root": "test"})
        self.step = self.journal.step("decisions")
        self.model: dict[bytes, Receipt] = {}
        self.full_page = packed.PAGE
        packed.PAGE = 5

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            packed.PAGE = self.full_page
            self.journal.close()
            self.folder.cleanup()

    @rule(keys=KEY_SETS, content=st.binary(max_size=1))
    def a_batch_arrives_whole(self, keys: set[bytes], content: bytes) -> None:
        number, wanted = self.open_batch(keys, content)
        self.step.commit(closed=[ClosedBatch(number, whole=wanted)])
        self.model.update((w.key, Receipt(*w, ReceiptFate.CREATED, "", number)) for w in wanted)

    @rule(keys=KEY_SETS, fate=st.sampled_from(STANDING), place=st.sampled_from(["", "somewhere"]))
    def a_batch_arrives_in_part(self, keys: set[bytes], fate: ReceiptFate, place: str) -> None:
        number, wanted = self.open_batch(keys, b"")
        arrived = tuple(Receipt(*w, fate, place, number) for w in wanted[1:])
        self.step.commit(closed=[ClosedBatch(number, arrived)])
        self.model.update((r.key, r) for r in arrived)

    @rule(keys=st.sets(KEYS, max_size=4), fate=FATES)
    def fates_change(self, keys: set[bytes], fate: ReceiptFate) -> None:
        self.step.set_fates(keys, fate)
        self.model.update((key, self.model[key]._replace(fate=fate)) for key in keys if key in self.model)

    @rule(key=KEYS, fate=FATES)
    def a_person_decides(self, key: bytes, fate: ReceiptFate) -> None:
        receipt = Receipt(key, hashlib.sha256(key).digest(), 7, fate, "", 0)
        self.step.put_receipt(receipt)
        self.model[key] = receipt

    @rule(fates=st.sets(FATES, min_size=1), after=KEYS)
    def they_are_read_in_order_from_anywhere(self, fates: set[ReceiptFate], after: bytes) -> None:
        wanted = [r for _, r in sorted(self.model.items()) if r.fate in fates]
        assert list(self.step.receipts(fates=tuple(fates))) == wanted
        assert self.step.count_receipts(tuple(fates)) == len(wanted)
        assert list(self.step.receipts(after, tuple(fates))) == [r for r in wanted if r.key > after or not after]

    @rule(key=KEYS)
    def one_is_looked_up(self, key: bytes) -> None:
        assert self.step.receipt(key) == self.model.get(key)

    @rule(fate=FATES)
    def batches_tell_their_receipts(self, fate: ReceiptFate) -> None:
        told = [r for batch, found in self.step.batches_with(fate) for r in found if r.batch == batch.number]
        assert sorted(told) == sorted(r for r in self.model.values() if r.fate is fate and r.batch)

    @invariant()
    def another_step_has_none_of_them(self) -> None:
        if hasattr(self, "journal"):
            assert not list(self.journal.step("blobs-minio").receipts(fates=tuple(ReceiptFate)))

    def open_batch(self, keys: set[bytes], content: bytes) -> tuple[int, tuple[Wanted, ...]]:
        number = self.step.next_batch_number()
        digest = hashlib.sha256(content).digest()
        wanted = tuple(Wanted(key, digest, len(content)) for key in sorted(keys))
        self.step.commit(opened=[Batch(number, f"run-{number}", wanted)])
        return number, wanted


ReceiptsAreADictionary.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestReceipts = ReceiptsAreADictionary.TestCase
