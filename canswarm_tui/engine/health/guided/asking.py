"""How the guided checks of one backend are done: one reading, then a judgement of it for each symptom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from canswarm_tui.engine.errors import EngineError, SettingsError
from canswarm_tui.engine.health.condition import condition_of
from canswarm_tui.engine.health.facts import Check, CheckVerdict, Condition
from canswarm_tui.engine.journal import Journal, has_run
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings

T = TypeVar("T")
FINE, WORRY, BAD, UNKNOWN = CheckVerdict


_WORDS = {
    Condition.DOWN: "it is down",
    Condition.SLOW: "it listens and is too slow",
    Condition.BUSY: "it is busy",
    Condition.REFUSES: "it refuses us",
    Condition.OTHER_VERSION: "it is another version, or something else",
    Condition.DAMAGED: "it is damaged",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """As the fields of `Check`."""

    verdict: CheckVerdict
    said: str
    looked_at: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """One symptom, its command in a shell, and how a reading is judged; `judge` may raise `EngineError`."""

    id: str
    symptom: str
    command: str
    judge: Callable[[T], Answer]


def ask(
    backend: str, urls: Sequence[str], read: Callable[[], T], questions: Sequence[Question[T]]
) -> tuple[Check, ...]:
    """Read once and judge; without a reading the first question, whether it answers at all, is what is wrong.

    What the settings lack is nobody's fault: then nothing can be told.

    `urls` (with scheme) are where to knock, so that down and slow are told apart.
    """
    began = time.perf_counter()
    try:
        with mistakes_told(backend):
            seen = read()
    except SettingsError as exc:
        return tuple(_dark(backend, one, exc, "") for one in questions)
    except EngineError as exc:
        condition = condition_of(exc, urls, time.perf_counter() - began)
        first, *others = questions
        return (_away(backend, first, exc, condition), *(_dark(backend, one, exc, _is(condition)) for one in others))
    return tuple(_judged(backend, urls, one, seen) for one in questions)


def not_yet(settings: Settings, step: str) -> bool:
    """Whether the journal of this site knows no run of a step: then what it makes can't be expected yet."""
    if settings.site.root is None or not place_of(settings).journal.is_file():
        return True
    try:
        with closing(Journal.observe(place_of(settings).journal)) as journal:
            return not has_run(journal.records().get(step))
    except EngineError:
        return True


def tried(read: Callable[[], T]) -> T | EngineError:
    """What was read, or why it could not be: for one part of a reading whose other parts still tell something."""
    try:
        with mistakes_told("a look"):
            return read()
    except EngineError as exc:
        return exc


def untold(error: EngineError, looked_at: tuple[str, ...] = ()) -> Answer:
    """Nobody could look, for this reason."""
    return Answer(UNKNOWN, error.happened, (*looked_at, f"{error.subject}: {error.happened}"), error.remedy)


def _judged(backend: str, urls: Sequence[str], one: Question[T], seen: T) -> Check:
    try:
        with mistakes_told(one.id):
            answer = one.judge(seen)
    except EngineError as exc:
        return _dark(backend, one, exc, _is(condition_of(exc, urls)))
    return Check(
        one.id, backend, one.symptom, answer.looked_at, answer.verdict, answer.said, answer.remedy, one.command
    )


def _away(backend: str, one: Question[T], error: EngineError, condition: Condition) -> Check:
    said = f"{_is(condition)}: {error.happened}"
    return Check(one.id, backend, one.symptom, (error.subject,), BAD, said, error.remedy, one.command)


def _dark(backend: str, one: Question[T], error: EngineError, why: str) -> Check:
    said = f"{why}: {error.happened}" if why else error.happened
    return Check(one.id, backend, one.symptom, (error.subject,), UNKNOWN, said, error.remedy, one.command)


def _is(condition: Condition) -> str:
    return _WORDS.get(condition, condition.value)
