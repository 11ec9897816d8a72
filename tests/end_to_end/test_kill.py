"""`kill -9` at every boundary of the journal, then the same again: the target is as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from canswarm_tui.engine.journal import Journal, ReceiptFate
from tests.end_to_end.places import Children, Place, target_state

BEFORE = {"blobs-ipfs": ["blobs-minio"]}
RANDOM_KILLS = 6


@contextmanager
def journal_of(place: Place) -> Iterator[Journal]:
    (path,) = (place.folder / "state" / "sites").glob("*/journal.db")
    journal = Journal.observe(path)
    try:
        yield journal
    finally:
        journal.close()


def state(place: Place) -> dict[str, object]:
    with journal_of(place) as journal:
        return target_state(place, journal.run_id)


def created(place: Place, step: str) -> list[bytes]:
    with journal_of(place) as journal:
        return [r.key for r in journal.step(step).receipts(fates=(ReceiptFate.CREATED,))]


STEPS = ("decisions", "blobs-minio", "blobs-ipfs", "plan-store")


def prepare(children: Children, step: str) -> None:
    for before in BEFORE.get(step, []):
        assert children.run(before)[0] == 0


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_boundary_and_run_again_it_ends_as_undisturbed(
    step: str, new_place: Callable[..., Place]
) -> None:
    place = new_place("undisturbed")
    with place.children() as children:
        prepare(children, step)
        status, boundaries = children.run(step)
        assert status == 0
    expected, ours = state(place), created(place, step)
    assert boundaries > 10
    assert ours
    disturbed = new_place("disturbed")
    with disturbed.children() as children:
        prepare(children, step)
        for boundary in range(1, boundaries + 1):
            status, passed = children.run(step, boundary)
            if status == 0:
                # What is found out once for a target (its name, whether it unpacks snowballs) has its boundaries once.
                assert boundaries - 10 <= passed < boundary
                break
            assert status == -signal.SIGKILL, f"boundary {boundary}"
            assert children.run(step)[0] == 0, f"boundary {boundary}"
            assert state(disturbed) == expected, f"boundary {boundary}"
            assert created(disturbed, step) == ours, f"boundary {boundary}"
            assert children.undo(step)[0] == 0, f"boundary {boundary}"
            left = state(disturbed)
            assert not left["decisions"]
            assert not left["pinned"]
            assert left["plan document"] is None
            assert left["objects"] == (expected["objects"] if step == "blobs-ipfs" else {})


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_random_instants_it_ends_as_undisturbed(step: str, new_place: Callable[..., Place]) -> None:
    place = new_place("undisturbed")
    with place.children() as children:
        prepare(children, step)
        began = time.monotonic()
        assert children.run(step)[0] == 0
        whole_s = time.monotonic() - began
    disturbed = new_place("disturbed")
    with disturbed.children() as children:
        prepare(children, step)
        instants = random.Random(step)
        for _ in range(RANDOM_KILLS):
            children.run_and_kill(step, after_s=instants.uniform(0.0, whole_s))
        assert children.run(step)[0] == 0
    assert state(disturbed) == state(place)
