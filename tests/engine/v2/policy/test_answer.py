from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.policy.answer import ALLOWED, MALFORMED, Answer, read_answer, read_answers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["allow", "reasons", "x"]), inner),
)


def test_a_decision_is_read() -> None:
    assert read_answer({"allow": True, "reasons": []}) == ALLOWED
    assert read_answer({"allow": False, "reasons": ["b", "a"]}) == Answer(allow=False, reasons=("a", "b"))


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        {},
        {"allow": True},
        {"allow": True, "reasons": ["a"]},
        {"allow": False, "reasons": []},
        {"allow": 1, "reasons": []},
        {"allow": "true", "reasons": []},
        {"allow": True, "reasons": None},
        {"allow": False, "reasons": [1]},
    ],
)
def test_what_is_no_decision_or_contradicts_itself_is_a_denial(value: object) -> None:
    assert read_answer(value) == MALFORMED
    assert not MALFORMED.allow


@given(JSON)
def test_only_one_value_at_all_is_an_allow(value: object) -> None:
    exactly = isinstance(value, dict) and value.get("allow") is True and value.get("reasons") == []
    assert read_answer(value).allow == exactly


def test_a_batch_with_another_number_of_answers_is_no_answer() -> None:
    good = {"allow": True, "reasons": []}
    assert read_answers([good, good], 2) == [ALLOWED, ALLOWED]
    assert read_answers([good], 2) == [MALFORMED, MALFORMED]
    assert read_answers({"0": good}, 1) == [MALFORMED]
