"""Copying is exact whatever fails and wherever it is killed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canswarm_tui.engine.errors import Stopped, Unreachable
from canswarm_tui.engine.events import Event, Retrying, StepProgressed
from canswarm_tui.engine.journal import ReceiptFate
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import EngineSettings, Settings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.transfer import CopyPlan, copy, undo
from tests.engine.contexts import make_context
from tests.engine.memory import MemorySink

PLAN = CopyPlan("records", "record", "memory")


class Killed(BaseException):
    """Stands for `kill -9`: nothing of ours catches it."""


def record(key: bytes, content: bytes) -> Record:
    return Record(key, hashlib.sha256(content).digest(), len(content), content)


def records(number: int) -> list[Record]:
    return [record(b"key-%04d" % n, b"content %d" % n) for n in range(number)]


def test_a_second_copy_writes_nothing_and_says_so(tmp_path: Path) -> None:
    sink = MemorySink()
    ctx = make_context(tmp_path)
    first = copy(records(10), sink, ctx, PLAN)
    writes = sink.writes
    second = copy(records(10), sink, ctx, PLAN)
    assert (first.created, second.created, second.unchanged) == (10, 0, 10)
    assert sink.writes == writes
    assert "nothing new" in second.summary


def test_new_records_in_the_site_are_all_that_a_later_copy_writes(tmp_path: Path) -> None:
    sink = MemorySink()
    ctx = make_context(tmp_path)
    copy(records(10)[::2], sink, ctx, PLAN)
    assert copy(records(10), sink, ctx, PLAN).created == 5
    assert sink.created == 10


def test_a_conflict_is_left_alone_and_shown_with_both_values_while_the_rest_goes_on(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.held[b"key-0003"] = (b"other", "somebody")
    ctx = make_context(tmp_path)
    outcome = copy(records(10), sink, ctx, PLAN)
    assert (outcome.created, outcome.conflicts) == (9, 1)
    assert sink.held[b"key-0003"] == (b"other", "somebody")
    (stored,) = ctx.journal.findings()
    assert stored.finding.details["site"] == "content 3"
    assert stored.finding.details["target"] == "other"
    assert stored.wants_decision


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_lost_answer_is_settled_and_what_we_made_is_still_called_ours(tmp_path: Path, when: str) -> None:
    sink = MemorySink(fail={1: when, 3: when})
    events: list[Event] = []
    ctx = make_context(tmp_path, events=events)
    assert copy(records(10), sink, ctx, PLAN).created == 10
    assert ctx.journal.count_receipts((ReceiptFate.CREATED,)) == 10
    assert any(isinstance(e, Retrying) for e in events)


def test_a_target_that_stays_away_ends_the_copy_with_its_error_and_keeps_what_has_landed(tmp_path: Path) -> None:
    sink = MemorySink(fail=dict.fromkeys(range(2, 1000), "before"))
    ctx = make_context(tmp_path, Settings(engine=EngineSettings(give_up_after_s=0.5)))
    with pytest.raises(Unreachable):
        copy(records(10), sink, ctx, PLAN)
    assert ctx.journal.count_receipts() == 3
    sink.fail.clear()
    assert copy(records(10), sink, ctx, PLAN).unchanged == 3
    assert len(sink.held) == 10


def test_a_stop_ends_between_batches_with_a_whole_journal(tmp_path: Path) -> None:
    stop = StopSignal()
    ctx = make_context(tmp_path, stop=stop)
    sink = MemorySink()

    def source() -> list[Record]:
        return records(30)

    def stopping() -> object:
        for n, one in enumerate(source()):
            if n == 10:
                stop.set("a test asks")
            yield one

    with pytest.raises(Stopped):
        copy(stopping(), sink, ctx, PLAN)  # type: ignore[arg-type]
    assert ctx.journal.open_batches() == []
    assert 0 < ctx.journal.count_receipts() == len(sink.held) < 30


def test_an_undo_takes_away_what_the_copy_created_and_nothing_else(tmp_path: Path) -> None:
    sink = MemorySink()
    theirs = record(b"key-0002", b"content 2")
    sink.held[theirs.key] = (theirs.digest, "somebody")
    ctx = make_context(tmp_path)
    copy(records(5), sink, ctx, PLAN)
    sink.held[b"key-0004"] = (b"changed since", "somebody")
    outcome = undo(sink, ctx, PLAN)
    assert sorted(sink.held) == [b"key-0002", b"key-0004"]
    assert (outcome.removed, outcome.conflicts) == (3, 1)
    assert copy(records(4), sink, ctx, PLAN).created == 3


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_killed_at_any_boundary_and_run_again_it_ends_as_if_undisturbed(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 20))
    present = data.draw(st.sets(st.integers(0, number - 1)))
    kills = data.draw(st.lists(st.integers(0, 12), max_size=4))
    fails = data.draw(st.dictionaries(st.integers(1, 12), st.sampled_from(["before", "half", "after"]), max_size=3))
    everything = records(number)
    sink = MemorySink(fail=fails)
    for n in present:
        sink.held[everything[n].key] = (everything[n].digest, "somebody")
    with TemporaryDirectory() as folder:
        for kill in [*kills, None]:
            boundaries = 0

            def fault(_name: str, kill: int | None = kill) -> None:
                nonlocal boundaries
                boundaries += 1
                if kill is not None and boundaries > kill + 4:
                    raise Killed

            try:
                ctx = make_context(Path(folder), fault=fault)
                copy(everything, sink, ctx, PLAN)
            except Killed:
                pass
            finally:
                ctx.journal.close()
        ctx = make_context(Path(folder))
        created = {r.key for r in ctx.journal.receipts(fates=(ReceiptFate.CREATED,))}
        ctx.journal.close()
    assert {k: d for k, (d, _) in sink.held.items()} == {r.key: r.digest for r in everything}
    assert created == {everything[n].key for n in range(number) if n not in present}


def test_under_a_limit_no_batch_is_larger_than_a_second_of_it_and_the_wait_is_said(tmp_path: Path) -> None:
    events: list[Event] = []
    ctx, sink = make_context(tmp_path, events=events), MemorySink()
    sink.max_records = 50
    ctx.limit.turn(20.0, None)
    outcome = copy(records(45), sink, ctx, PLAN)
    sizes = sorted((len(receipts) for _, receipts in ctx.journal.batches_with(ReceiptFate.CREATED)), reverse=True)
    ctx.journal.close()
    assert (outcome.created, sizes) == (45, [20, 20, 5])
    told = [event.progress for event in events if isinstance(event, StepProgressed)]
    assert "held back by the rate limit" in {progress.waiting for progress in told}
    assert {progress.limit_records_s for progress in told} == {20.0}
