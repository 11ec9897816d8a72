"""Many requests at once, their answers in the order of the questions, a bounded number of them on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Question = TypeVar("Question")
Reply = TypeVar("Reply")


def in_order(
    ask: Callable[[Question], Reply], questions: Iterable[Question], workers: int, window: int | None = None
) -> Iterator[Reply]:
    """`ask` of each question, in order, by `workers` threads; at most `window` answers wait to be taken.

    The first error is raised in its place; what has not begun then is not begun any more.
    """
    limit = window or 2 * workers
    waiting: deque[Future[Reply]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="s3")
    try:
        for question in questions:
            waiting.append(pool.submit(ask, question))
            if len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
