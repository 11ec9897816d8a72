import pytest

from canswarm_tui.engine.steps.audit_pass import _ODD_FORMS
from canswarm_tui.engine.steps.preflight.words import DECISION, LINE, of_table
from canswarm_tui.engine.v1.audit_line import LineFault
from canswarm_tui.engine.v1.decisions import Fault
from canswarm_tui.engine.v1.plan_projection import TableDifference


def test_every_fault_that_a_preflight_can_find_has_words() -> None:
    assert set(LINE) == {*LineFault, *_ODD_FORMS}
    assert set(DECISION) == set(Fault)


@pytest.mark.parametrize(
    ("field", "derived", "stored", "told"),
    [
        ("state", "FINAL", None, "state is None in the table, but 'FINAL' by a replay of the ops"),
        ("row", "FINAL", None, "a replay of the ops makes this row, and the table has none"),
        ("row", None, "FINAL", "the table has this row, and no op makes it"),
    ],
)
def test_a_row_that_one_side_lacks_is_told_from_a_field(
    field: str, derived: str | None, stored: str | None, told: str
) -> None:
    assert of_table(TableDifference("tasks", "task-1", field, derived, stored)) == told
