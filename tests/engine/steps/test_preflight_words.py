from canswarm_tui.engine.steps.audit_pass import _ODD_FORMS
from canswarm_tui.engine.steps.preflight.words import DECISION, LINE
from canswarm_tui.engine.v1.audit_line import LineFault
from canswarm_tui.engine.v1.decisions import Fault


def test_every_fault_that_a_preflight_can_find_has_words() -> None:
    assert set(LINE) == {*LineFault, *_ODD_FORMS}
    assert set(DECISION) == set(Fault)
