"""The plan document looked at: whole, empty, damaged, missing; a task's history that explains its state; a merge."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from automerge.core import ROOT, Document, ScalarType
from hypothesis import given, settings
from hypothesis import strategies as st

from canswarm_tui.engine.errors import EngineError, WrongAnswer
from canswarm_tui.engine.health.automerge import look, task_history, thread_ops, verify_merge
from canswarm_tui.engine.health.automerge_lists import Tasks, Threads
from canswarm_tui.engine.health.facts import Condition, Section
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.v2.plan_document.rows import Row
from tests.engine.v2.plan_document.ops import migrate, op, op_sequences, target, tools, v1_tables

HISTORY = [
    op(1, "ADD_TASK", "t1", 1, type="build"), op(2, "STATE", "t1", 5, state="DECIDED"),
    op(3, "STATE", "t1", 4, state="FINAL"), op(4, "ANNOTATE", "t1", 9), op(5, "STATE", "t2", 2, state="VERIFIED"),
]  # fmt: skip


def site_with(folder: Path, rows: list[Row], partitions: int = 0) -> Settings:
    state = folder / ".state"
    state.mkdir(parents=True)
    migrate(target(state, partitions), rows, tools(folder))
    return Settings(site=SiteSettings(root=folder))


def facts(section: Section) -> dict[str, object]:
    return dict(section.facts)


@pytest.mark.parametrize("partitions", [0, 3])
def test_a_whole_document_tells_its_size_ops_and_heads(tmp_path: Path, partitions: int) -> None:
    found = look(site_with(tmp_path, HISTORY, partitions))
    assert found.condition is Condition.ANSWERS, found.error
    told = facts(found.sections[0])
    assert (told["ops"], told["tasks"]) == (5, 2)
    assert told["heads"] == len(found.sections[1].facts) == max(1, partitions)


def test_missing_empty_and_damaged_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "none" / ".state").mkdir(parents=True)
    missing = look(Settings(site=SiteSettings(root=tmp_path / "none")))
    assert missing.condition is Condition.MISSING
    held = site_with(tmp_path / "held", HISTORY)
    document = held.site.plan_document
    content = document.read_bytes()
    document.write_bytes(content[: len(content) // 2])
    cut = look(held)
    assert cut.condition is Condition.DAMAGED
    document.write_bytes(b"")
    empty = look(held)
    assert empty.condition is Condition.DAMAGED
    assert empty.error is not None
    assert cut.error is not None
    assert "empty" in empty.error.happened
    assert "empty" not in cut.error.happened


def test_a_history_says_what_each_op_did(tmp_path: Path) -> None:
    held = site_with(tmp_path, HISTORY)
    head, history = task_history(held, "t1")
    assert facts(head)["state by its ops"] == "DECIDED"
    assert facts(head)["in the view"] == "DECIDED, lamport 5"
    assert [said for _, said in history.facts] == [
        "makes the task, DRAFT", "sets DECIDED", "wants FINAL, but its lamport isn't above 5: nothing",
        "leaves the state",
    ]  # fmt: skip
    (nothing,) = task_history(held, "who")
    assert "no op" in str(facts(nothing)["found"])
    head, _ = thread_ops(held, "thread-1")
    assert facts(head)["ops"] == 2


@settings(max_examples=12, deadline=None)
@given(op_sequences())
def test_the_state_that_a_history_explains_is_the_one_of_v1(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        held = site_with(Path(folder), rows)
        for task in v1_tables(rows)[0][:2]:
            head = facts(task_history(held, task[0])[0])
            assert (head["state by its ops"], head["last lamport"]) == (task[3], task[4])
            assert head["in the view"] == f"{task[3]}, lamport {task[4]}"


@settings(max_examples=6, deadline=None)
@given(op_sequences(), st.integers(0, 25))
def test_a_merge_with_an_older_copy_ends_with_the_same_heads_and_writes_neither(rows: list[Row], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        held = site_with(Path(folder) / "ours", rows[:cut])
        peer = Path(folder) / "peer.bin"
        peer.write_bytes(held.site.plan_document.read_bytes())
        migrate(target(held.site.plan_document.parent), rows, tools(Path(folder), "again"))
        before = held.site.plan_document.read_bytes(), peer.read_bytes()
        merged, lost = verify_merge(held, peer)
        assert facts(merged)["result"] == "both have the same heads"
        assert facts(lost)["stalls"] in ("yes", "no")
        assert (held.site.plan_document.read_bytes(), peer.read_bytes()) == before


def test_a_peer_that_was_migrated_apart_is_told_as_what_it_is(tmp_path: Path) -> None:
    held = site_with(tmp_path / "site", HISTORY)
    apart = site_with(tmp_path / "apart", HISTORY[:2])
    with pytest.raises(WrongAnswer, match=r"made apart.*Give the peer a copy"):
        verify_merge(held, apart.site.plan_document)


def test_a_peer_that_is_no_document_is_named(tmp_path: Path) -> None:
    held = site_with(tmp_path / "site", HISTORY)
    with pytest.raises(EngineError, match="nowhere"):
        verify_merge(held, tmp_path / "nowhere.bin")
    (tmp_path / "junk.bin").write_bytes(b"junk")
    with pytest.raises(EngineError, match="junk"):
        verify_merge(held, tmp_path / "junk.bin")


@pytest.mark.parametrize("partitions", [0, 3])
def test_tasks_and_threads_are_paged_searched_and_opened(tmp_path: Path, partitions: int) -> None:
    rows = [op(n, "ADD_TASK", f"t{n:02d}", n, type="build") for n in range(1, 8)]
    held = site_with(tmp_path, rows, partitions)
    tasks, seen, after = Tasks(held), list[str](), None
    while True:
        page = tasks.page(after=after, limit=3)
        assert page.total == 7
        seen += [entry.key for entry in page.entries]
        if (after := page.after) is None:
            break
    assert seen == [f"t{n:02d}" for n in range(1, 8)]
    assert [entry.key for entry in tasks.page(prefix="t03").entries] == ["t03"]
    assert facts(tasks.open("t03")[0])["in the view"] == "DRAFT, lamport 3"
    threads = Threads(held).page()
    assert sum(int(entry.cells[0]) for entry in threads.entries) == 7
    assert facts(Threads(held).open(threads.entries[0].key)[0])["ops"] == int(threads.entries[0].cells[0])


def test_two_coordinators_that_wrote_the_same_task_at_the_same_time_are_told_until_one_writes_again(
    tmp_path: Path,
) -> None:
    held = site_with(tmp_path, [op(1, "ADD_TASK", 't"1', 1), op(2, "ADD_TASK", "t2", 2)])
    path = held.site.plan_document
    ours, theirs = (Document.load(path.read_bytes()) for _ in range(2))
    for doc, actor, state in ((ours, b"b" * 16, "DECIDED"), (theirs, b"c" * 16, "FINAL")):
        doc.set_actor(actor)
        task = doc.get(doc.get(ROOT, "tasks")[1], 't"1')[1]  # type: ignore[index]
        with doc.transaction() as tx:
            tx.put(task, "state", ScalarType.Str, state)
    assert facts(look(held).sections[2])["hidden"] == "none"
    ours.merge(theirs)
    path.write_bytes(ours.save())
    found = look(held)
    assert (facts(found.sections[0])["actors"], facts(found.sections[0])["changes"]) == (3, 3)
    assert facts(found.sections[2])["1"] == 'tasks/t"1/state: FINAL stands; DECIDED was written at the same time'
    assert [worry.code for worry in found.worries] == ["automerge.dispute"]
    with ours.transaction() as tx:
        tx.put(task, "state", ScalarType.Str, "FINAL")
    path.write_bytes(ours.save())
    assert facts(look(held).sections[2])["hidden"] == "none"
