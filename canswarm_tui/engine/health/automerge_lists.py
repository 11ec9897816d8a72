"""Tasks and threads of the plan document, a page at a time. Each page loads the document anew: it may have changed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator

from canswarm_tui.engine.health.automerge import reading_of, task_history, thread_ops
from canswarm_tui.engine.health.facts import Entry, Page, Section
from canswarm_tui.engine.settings import Settings

Found = tuple[str, tuple[str, ...]]
"""Key and cells."""


class Tasks:
    """The view of tasks as the document has it, sorted by id; an opened one says why its state is what it is."""

    title = "tasks in the plan document"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        with reading_of(self._settings) as reading:
            total = sum(one.tasks for one in reading.documents)
            rows = ((task[0], (str(task[3]), str(task[4]), str(task[1]))) for task in reading.tasks())
            return _page(("state", "lamport", "thread"), rows, after, limit, prefix, None if prefix else total)

    def open(self, key: str) -> tuple[Section, ...]:
        return task_history(self._settings, key)


class Threads:
    """Every thread that an op names, sorted by id; an opened one shows its ops."""

    title = "threads in the plan document"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        with reading_of(self._settings) as reading:
            counts = Counter(str(row[2]) for row in reading.ops())
        rows = ((thread, (f"{ops:,}",)) for thread, ops in counts.items())
        return _page(("ops",), rows, after, limit, prefix, None if prefix else len(counts))

    def open(self, key: str) -> tuple[Section, ...]:
        return thread_ops(self._settings, key)


def _page(
    columns: tuple[str, ...], rows: Iterable[Found], after: str | None, limit: int, prefix: str, total: int | None
) -> Page:
    found = heapq.nsmallest(limit + 1, _wanted(rows, after, prefix))
    entries = tuple(Entry(key, cells) for key, cells in found[:limit])
    return Page(columns, entries, entries[-1].key if len(found) > limit else None, total)


def _wanted(rows: Iterable[Found], after: str | None, prefix: str) -> Iterator[Found]:
    return (row for row in rows if row[0].startswith(prefix) and (after is None or row[0] > after))
