from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.plan_document.files import DamagedDocument
from canswarm_tui.engine.v2.plan_document.target import (
    OPS_PER_PARTITION,
    Index,
    IndexEntry,
    choose_partitions,
    estimate,
    partition_of,
    read_index,
    site_actor,
)

MIB = 1 << 20


@given(st.integers(0, 10**7), st.floats(50, 9000), st.integers(64 * MIB, 8192 * MIB), st.integers(1, 8))
def test_one_document_is_chosen_just_when_it_fits_and_partitions_at_once_fit_too(
    ops: int, mean: float, budget: int, processes: int
) -> None:
    partitions = choose_partitions(ops, mean, budget, processes)
    assert (partitions == 0) == (estimate(ops, mean) <= budget)
    if partitions:
        assert estimate(ops, mean) * processes / partitions <= budget
        assert ops / partitions <= OPS_PER_PARTITION


def test_a_million_ops_are_past_a_gigabyte_and_a_demonstration_site_is_not() -> None:
    assert choose_partitions(1_000_000, 400, 1024 * MIB, 2) == 40
    assert choose_partitions(110_000, 400, 1024 * MIB, 2) == 0


def test_the_partition_of_a_thread_is_the_contracts() -> None:
    # Worked out by hand with sha256sum: the first 16 hex digits, mod 40.
    assert [partition_of(thread, 40) for thread in ("thread", "é")] == [30, 11]


def test_an_actor_belongs_to_one_site_for_ever() -> None:
    assert site_actor(b"a") == site_actor(b"a") != site_actor(b"b")
    assert len(site_actor(b"a")) == 16


def test_the_index_comes_back_as_it_was_written(tmp_path: Path) -> None:
    index = Index(1, "ab", (IndexEntry("0000.bin", 1, 2, 3, ("aa", "bb"), 4, "cc", "dd"),))
    path = tmp_path / "index.json"
    assert read_index(path) is None
    path.write_bytes(index.to_bytes())
    assert read_index(path) == index


@pytest.mark.parametrize("data", [[], {}, {"schema": 2}, {"schema": 1, "partitions": 2, "actor": "", "documents": []}])
def test_an_index_of_another_shape_is_told(tmp_path: Path, data: object) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DamagedDocument):
        read_index(path)


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_bytes(b"\xff{")
    with pytest.raises(DamagedDocument):
        read_index(path)
