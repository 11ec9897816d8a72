"""What the journal keeps beside receipts: requests, decisions of people, what was replaced, open batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SettingsError, SiteUnreadable
from canswarm_tui.engine.journal import (
    Batch,
    ClosedBatch,
    FindingStatus,
    Journal,
    Receipt,
    ReceiptFate,
    StepState,
)
from canswarm_tui.engine.journal.step_view import KeptValue
from canswarm_tui.engine.records import Wanted
from canswarm_tui.engine.step import Comparison, Finding, Kind, Level, Outcome, Verb, Verdict

DIGEST = hashlib.sha256(b"x").digest()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "journal.db", {"site.root": "test"})
    yield opened
    opened.close()


def test_a_request_left_by_another_process_is_taken_once_and_in_order(journal: Journal) -> None:
    beside = Journal.join(journal.path)
    beside.ask("stop", {"why": "lunch"})
    beside.ask("rate", {"records_s": 5})
    beside.close()
    assert journal.take_requests() == [("stop", {"why": "lunch"}), ("rate", {"records_s": 5})]
    assert journal.take_requests() == []


def test_who_looks_can_not_write_and_a_journal_that_is_away_is_not_made(journal: Journal, tmp_path: Path) -> None:
    looking = Journal.observe(journal.path)
    with pytest.raises(SiteUnreadable, match="readonly"):
        looking.note("decisions", "run", "started")
    assert looking.run_id == journal.run_id
    looking.close()
    with pytest.raises(SettingsError, match="canswarm-tui run"):
        Journal.join(tmp_path / "away.db")
    with pytest.raises(SiteUnreadable):
        Journal.observe(tmp_path / "away.db")
    assert not (tmp_path / "away.db").exists()


def test_an_empty_or_damaged_journal_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for content, told in ((b"", "is empty"), (b"no database" * 100, "not a database")):
        path.write_bytes(content)
        with pytest.raises(SiteUnreadable, match=told) as caught:
            Journal.observe(path)
        assert "move it away and run again" in caught.value.remedy


def test_an_intent_stays_open_over_a_crash_until_its_receipts_are_in(journal: Journal) -> None:
    step = journal.step("decisions")
    wanted = (Wanted(b"a", DIGEST, 1), Wanted(b"b", DIGEST, 1))
    step.commit(opened=[Batch(step.next_batch_number(), "run-1", wanted)])
    again = Journal.open(journal.path, {"site.root": "test"})
    (batch,) = again.step("decisions").open_batches()
    assert (batch.tag, batch.wanted) == ("run-1", wanted)
    assert again.step("blobs-minio").open_batches() == []
    receipts = tuple(Receipt(w.key, w.digest, w.size, ReceiptFate.CREATED, "", batch.number) for w in wanted)
    again.step("decisions").commit(closed=[ClosedBatch(batch.number, receipts)])
    again.close()
    assert step.open_batches() == []
    assert step.next_batch_number() == batch.number + 1


def test_what_an_undo_took_away_or_a_verify_missed_stands_no_more(journal: Journal) -> None:
    step = journal.step("decisions")
    for number, key in enumerate((b"", b"a", b"b", b"c"), 1):
        step.put_receipt(Receipt(key, DIGEST, number, ReceiptFate.CREATED, "", 0))
    step.set_fates([b"a"], ReceiptFate.LOST)
    step.set_fates([b"b"], ReceiptFate.REMOVED)
    assert [r.key for r in step.receipts()] == [b"", b"c"]
    assert step.count_receipts() == 2
    assert [r.key for r in step.receipts(fates=(ReceiptFate.LOST,))] == [b"a"]
    assert [r.key for r in step.receipts(after=b"b")] == [b"c"]


def test_an_undo_puts_back_what_was_replaced_last_and_never_what_this_run_put_there(journal: Journal) -> None:
    step = journal.step("decisions")
    ours = b"the site's value"
    receipt = Receipt(b"key", hashlib.sha256(ours).digest(), len(ours), ReceiptFate.REPLACED, "", 0)
    step.keep_replaced(receipt, b"the first \x00 value")
    assert step.receipt(b"key") == receipt
    step.keep_replaced(receipt, ours)
    assert step.replaced() == [(b"key", b"the first \x00 value")]
    step.keep_replaced(receipt, b"a later one")
    assert step.replaced() == [(b"key", b"a later one")]
    assert journal.step("blobs-minio").replaced() == []
    step.forget_replaced(b"key")
    assert step.replaced() == []


def test_a_replacement_that_failed_leaves_the_value_that_was_kept_before(journal: Journal) -> None:
    step = journal.step("decisions")
    ours = Receipt(b"key", hashlib.sha256(b"ours").digest(), 4, ReceiptFate.REPLACED, "", 0)
    assert step.keep_replaced(ours, b"the first") == KeptValue(own=False, earlier=None)
    assert step.keep_replaced(ours, b"ours") == KeptValue(own=True, earlier=b"the first")
    failed = step.keep_replaced(ours, b"somebody's")
    step.forget_replaced(b"key", failed.earlier)
    assert step.replaced() == [(b"key", b"the first")]


def test_a_write_makes_an_earlier_verdict_stale(journal: Journal) -> None:
    step = journal.step("decisions")
    verdict = Verdict((Comparison("decisions in etcd", "by content", 3, 3),), 0, "3 equal", {"rate": 1.5})
    step.set_state(StepState.DONE, outcome=Outcome(created=3, figures={"a": 1}))
    step.set_state(StepState.PROVED, verdict=verdict)
    record = step.record()
    assert (record.state, record.verdict, record.verdict_is_fresh) == (StepState.PROVED, verdict, True)
    assert record.outcome == Outcome(created=3, figures={"a": 1})
    step.mark_write()
    assert not step.record().verdict_is_fresh
    assert step.record().state is StepState.DONE
    step.set_state(StepState.NOT_STARTED)
    assert step.record().verdict is None


def odd(subject: str, fact: str = "a") -> Finding:
    return Finding("test.odd", Level.WARNING, Kind.QUARANTINE, subject, "it is odd", "look", {"fact": fact})


def test_a_whole_look_sweeps_out_what_it_did_not_see_and_only_of_its_own_verb(journal: Journal) -> None:
    step = journal.step("decisions")
    first = step.note(Verb.RUN, "started")
    step.add_finding(Verb.RUN, first, [odd("one"), odd("two")])
    step.add_finding(Verb.VERIFY, first, [odd("three")])
    second = step.note(Verb.RUN, "started")
    step.add_finding(Verb.RUN, second, [odd("two")])
    step.sweep_out(Verb.RUN, second)
    assert sorted(f.finding.subject for f in step.findings()) == ["three", "two"]
    third = step.note(Verb.RUN, "started")
    step.add_finding(Verb.RUN, third, [odd("one")])
    assert sorted(f.finding.subject for f in step.findings()) == ["one", "three", "two"]


def test_a_decision_is_kept_with_who_and_why_until_the_facts_change(journal: Journal) -> None:
    step = journal.step("decisions")
    step.add_finding(Verb.RUN, 1, [odd("one")])
    (stored,) = step.findings()
    journal.decide(stored, FindingStatus.ACCEPTED, "somebody", "known")
    step.add_finding(Verb.RUN, 2, [odd("one")])
    (stored,) = step.findings()
    assert (stored.status, stored.decided_by, stored.reason) == (FindingStatus.ACCEPTED, "somebody", "known")
    assert step.waiting_findings() == 0
    step.add_finding(Verb.RUN, 3, [odd("one", "b")])
    assert step.waiting_findings() == 1
    (stored,) = step.findings()
    journal.decide(stored, FindingStatus.ACCEPTED, "somebody", "known")
    step.add_finding(Verb.RUN, 4, [replace(odd("one", "b"), happened="it is damaged in another way")])
    assert step.waiting_findings() == 1
    *_, (_, _, _, _, what, data) = journal.history(step="decisions")
    assert (what, data["who"], data["reason"]) == ("finding accepted", "somebody", "known")


def test_a_subject_that_is_no_unicode_can_be_kept(journal: Journal) -> None:
    step = journal.step("decisions")
    (identity,) = step.add_finding(Verb.RUN, 1, [odd("name \udcff", "fact \udcff")])
    (stored,) = journal.findings(identity=identity)
    assert stored.finding.subject == "name \\udcff"
