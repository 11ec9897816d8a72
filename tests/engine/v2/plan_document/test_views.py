from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.plan_document.rows import Row
from canswarm_tui.engine.v2.plan_document.views import Projection
from tests.engine.v2.plan_document.ops import op, op_sequences, v1_tables


@given(op_sequences())
def test_any_ops_project_to_v1s_tables(rows: list[Row]) -> None:
    projection = Projection()
    assert [projection.take(row) for row in rows] == [""] * len(rows)
    assert (list(projection.tasks()), list(projection.edges())) == v1_tables(rows)
    projection.close()


def test_a_late_op_with_a_smaller_lamport_changes_nothing_and_annotations_make_no_task(tmp_path: Path) -> None:
    projection = Projection(tmp_path / "projection.db")
    for row in (
        op(1, "STATE", "t", 5, state="FINAL"),
        op(2, "STATE", "t", 5, state="DRAFT"),
        op(3, "STATE", "t", 4, state="DECIDED"),
        op(4, "ADD_TASK", "t", 9, type="worker"),
        op(5, "ANNOTATE", "global", 9),
    ):
        assert projection.take(row) == ""
    assert list(projection.tasks()) == [("t", "thread-1", None, "FINAL", 5)]
    projection.close()


@pytest.mark.parametrize("payload", ["[]", '"x"', "{}", '{"state": null}', '{"state": [1]}', '{"state": NaN}', "1e5"])
def test_an_op_that_v1s_table_would_refuse_has_no_effect_and_is_still_kept(payload: str) -> None:
    projection = Projection()
    row = op(1, "STATE", "t", 5)
    assert projection.take((*row[:7], payload, row[8])) == ""
    assert list(projection.tasks()) == []
    projection.close()


@given(st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(-1e300, 1e300))
def test_a_number_as_state_becomes_the_text_that_v1s_column_makes_of_it(value: float) -> None:
    projection = Projection()
    assert projection.take(op(1, "STATE", "t", 5, state=value)) == ""
    ((_, _, _, state, _),) = projection.tasks()
    assert isinstance(state, str)
    assert float(state) == pytest.approx(float(value))
    projection.close()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"n": 1' + "0" * 5000 + "}"])
def test_a_payload_that_is_no_json_is_told_for_every_type_of_op(text: str) -> None:
    projection = Projection()
    for kind in ("ANNOTATE", "STATE"):
        row = op(1, kind)
        assert "JSON" in projection.take((*row[:7], text, row[8]))
    projection.close()
