"""Receipts come back whole and in order, however many pages they fill."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import Batch, ClosedBatch, Journal, Receipt, ReceiptFate, StepState
from canswarm_tui.engine.journal.batches import pack, unpack
from canswarm_tui.engine.journal.receipts import PAGE
from canswarm_tui.engine.records import Wanted
from canswarm_tui.engine.step import Outcome

DIGEST = hashlib.sha256(b"x").digest()


def keys(count: int) -> list[bytes]:
    return sorted(hashlib.sha256(str(n).encode()).hexdigest().encode() for n in range(count))


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 7])
def test_every_receipt_comes_back_once_and_in_order(tmp_path: Path, count: int) -> None:
    journal = Journal.open(tmp_path / "journal.db", {"site.root": "test"})
    step = journal.step("blobs-minio")
    wanted = keys(count)
    step.commit(opened=[Batch(1, "run-1", tuple(Wanted(k, DIGEST, 1) for k in wanted))])
    receipts = tuple(Receipt(k, DIGEST, 1, ReceiptFate.CREATED, "", 1) for k in wanted)
    step.commit(closed=[ClosedBatch(1, receipts)])
    assert [r.key for r in step.receipts()] == wanted
    assert step.count_receipts() == count
    journal.close()


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(min_size=32, max_size=32), st.integers(0, 2**60))))
def test_an_intent_can_be_packed_and_read_again(wanted: list[tuple[bytes, bytes, int]]) -> None:
    intent = tuple(Wanted(*one) for one in wanted)
    assert unpack(pack(intent)) == intent


def test_the_journal_of_another_site_is_refused(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", {"site.root": "one"})
    journal.step("backup").set_state(StepState.DONE, outcome=Outcome(created=1))
    journal.close()
    with pytest.raises(SettingsError, match=r"site\.root.*one.*two"):
        Journal.open(tmp_path / "journal.db", {"site.root": "two"})


def test_a_setting_that_was_wrong_at_the_first_look_may_be_put_right(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", {"site.root": "one", "site.redis": "typo"})
    journal.step("preflight").set_state(StepState.NEEDS_ATTENTION, outcome=Outcome())
    run_id = journal.run_id
    journal.close()
    journal = Journal.open(tmp_path / "journal.db", {"site.root": "one", "site.redis": "right"})
    assert journal.setup()["site.redis"] == "right"
    assert journal.run_id == run_id
    journal.close()


def test_a_journal_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SettingsError, match="version 99"):
        Journal.open(path, {"site.root": "one"})
