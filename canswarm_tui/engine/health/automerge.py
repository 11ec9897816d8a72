"""A close look at the plan document: its size, ops, heads, how long it loads; a task's history; a merge that is tried.

Automerge works in child processes, as always here, and gives its memory back with them. Reads only.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from canswarm_tui.engine.errors import SettingsError, SiteUnreadable
from canswarm_tui.engine.health.condition import Reading, looked, section, worry, yes_no
from canswarm_tui.engine.health.facts import Condition, Look, Section
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v2.plan_document import store
from canswarm_tui.engine.v2.plan_document.jobs import ReadResult
from canswarm_tui.engine.v2.plan_document.rows import Row
from canswarm_tui.engine.v2.plan_document.target import PlanTarget, read_index

HEADS_SHOWN = 8
HISTORY_SHOWN = 500


def look(settings: Settings) -> Look:
    """Loads every document whole. Missing, empty and damaged are told apart."""
    if settings.site.root is None:
        error = SettingsError("site.root", "no v1 site is named, so there is no plan document", "add --site DIR")
        return Look("automerge", "no site", 0.0, Condition.MISSING, error=error)
    path = settings.site.plan_document
    found = looked("automerge", str(path), (), lambda: _read(settings))
    if found.error is not None and not path.exists() and not settings.site.plan_partitions.is_dir():
        return Look(found.name, found.address, found.took_ms, Condition.MISSING, error=found.error)
    return found


def task_history(settings: Settings, task_id: str) -> tuple[Section, ...]:
    """Every op of a task in readers' order, and what each did: why its state is what it is. Raises `EngineError`."""
    with reading_of(settings) as reading:
        rows = [row for row in reading.ops() if row[6] == task_id]
        view = next((task for task in reading.tasks() if task[0] == task_id), None)
    title = f"task {shown(task_id, 120)}"
    if not rows and view is None:
        return (section(title, found="no op of the plan document names it, and it is no task of the view"),)
    state, lamport, told = "none", 0, []
    for row in rows:
        state, lamport, did = _applied(row, state, lamport)
        told.append((f"{row[5]} lamport {row[3]}", did))
    in_view = "it isn't there" if view is None else f"{view[3]}, lamport {view[4]}"
    head = section(title, ops=len(rows), state_by_its_ops=state, last_lamport=lamport, in_the_view=in_view)
    return head, Section("its history, in readers' order", tuple(told[:HISTORY_SHOWN]))


def thread_ops(settings: Settings, thread_id: str) -> tuple[Section, ...]:
    """The ops of a thread in readers' order, the first `HISTORY_SHOWN` of them. Raises `EngineError`."""
    with reading_of(settings) as reading:
        rows = [row for row in reading.ops() if row[2] == thread_id]
    head = section(f"thread {shown(thread_id, 120)}", ops=len(rows), shown=min(len(rows), HISTORY_SHOWN))
    told = tuple((f"{row[5]} lamport {row[3]}", f"{row[1]}  {shown(row[7], 200)}") for row in rows[:HISTORY_SHOWN])
    return (head, Section("its ops", told)) if told else (head,)


def verify_merge(settings: Settings, peer: Path) -> tuple[Section, ...]:
    """Fork, merge and sync with a peer's document in memory, with a lost message too. Raises `EngineError`.

    Neither file is written.
    """
    document = settings.site.plan_document
    for path in (document, peer):
        if not path.is_file():
            raise SiteUnreadable(str(path), "there is no such document", "name the file of one document")
    with tempfile.TemporaryDirectory(prefix="canswarm-merge-") as scratch:
        proof = store.prove_merge(document, peer, store.Tools(Path(scratch), 1))
    return (
        section(
            "merge", result="both have the same heads", heads=", ".join(proof.merged_heads[:HEADS_SHOWN]),
            messages_each_way=proof.rounds, largest_message_bytes=proof.message_bytes,
            peak_memory_bytes=proof.peak_memory_bytes,
        ),
        section(
            "a message that is lost",
            stalls=yes_no(proof.lost_message_stalls),
            told_by="the heads still differ although neither side has anything to say; fresh sync states settle it",
        ),
    )  # fmt: skip


def _read(settings: Settings) -> Reading:
    began = time.perf_counter()
    with reading_of(settings) as reading:
        load_ms = (time.perf_counter() - began) * 1000
        documents = reading.documents
    heads = [head for one in documents for head in one.heads]
    facts = section(
        "plan document", form="one document" if len(documents) == 1 else f"{len(documents):,} documents",
        size_bytes=sum(one.size for one in documents), ops=sum(one.ops for one in documents),
        tasks=sum(one.tasks for one in documents), edges=sum(one.edges for one in documents),
        made_by_actor=documents[0].actor.hex(), actors=_spread(one.actors for one in documents),
        changes=sum(one.changes for one in documents), heads=len(heads), load_and_read_ms=round(load_ms, 1),
        peak_memory_bytes=reading.peak_memory_bytes,
    )  # fmt: skip
    named = tuple((f"head {number}", head) for number, head in enumerate(heads[:HEADS_SHOWN], 1))
    disputes = [said for one in documents for said in one.disputes]
    return [facts, Section("heads", named), _disputes(documents, disputes)], [
        worry("automerge.dispute", "plan document", shown(said, 300), "write the value that should stand once more")
        for said in disputes[:HEADS_SHOWN]
    ]


def _disputes(documents: Sequence[ReadResult], disputes: Sequence[str]) -> Section:
    title = "values written at the same time"
    if not all(one.disputes_sought for one in documents):
        return section(title, looked_for="no: too much was written since the migration for the time it takes")
    if not disputes:
        return section(title, hidden="none")
    return Section(title, tuple((str(number), shown(said, 300)) for number, said in enumerate(disputes, 1)))


def _spread(counts: Iterable[int]) -> str | int:
    """One number where all documents have the same, else the least and the most."""
    seen = sorted(counts)
    return seen[0] if seen[0] == seen[-1] else f"{seen[0]:,} to {seen[-1]:,} in a document"


@contextmanager
def reading_of(settings: Settings) -> Iterator[store.Reading]:
    """What the documents hold, in a temporary folder that is gone afterwards."""
    site = settings.site
    index = read_index(site.plan_partitions / "index.json")
    target = PlanTarget(site.plan_document, site.plan_partitions, b"", index.partitions if index else 0)
    if index is None and not site.plan_document.exists():
        raise SiteUnreadable(str(site.plan_document), "there is no plan document yet", "run the step plan-store")
    with tempfile.TemporaryDirectory(prefix="canswarm-look-") as scratch:
        yield store.read(target, store.Tools(Path(scratch), 1))


def _applied(row: Row, state: str, lamport: int) -> tuple[str, int, str]:
    """(state, last lamport, what the op did) by v1's rules: only a larger lamport than the last changes a state."""
    kind, at = row[5], int(row[3])
    if kind == "ADD_TASK":
        if state != "none":
            return state, lamport, "the task was there already: nothing"
        return "DRAFT", at, "makes the task, DRAFT"
    if kind != "STATE":
        return state, lamport, "leaves the state"
    wanted = _wanted_state(row)
    if state == "none":
        state, lamport = "DRAFT", 0  # v1 makes the task, as if it had been added with lamport 0
    if at <= lamport:
        return state, lamport, f"wants {wanted}, but its lamport isn't above {lamport}: nothing"
    return wanted, at, f"sets {wanted}"


def _wanted_state(row: Row) -> str:
    try:
        found = json.loads(row[7])
    except ValueError:
        return "what can't be read"
    return shown(str(found.get("state")), 60) if isinstance(found, dict) else "what can't be read"
