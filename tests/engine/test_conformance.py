from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import pytest

from canswarm_tui.engine.conformance import FACT_NAMES, KINDS, LIMITS, Case, conformance_set
from canswarm_tui.engine.steps.policy_input import first_reason, v1_answer
from canswarm_tui.engine.v1.policy import GUIDE, POLICIES, V1, Reason
from canswarm_tui.engine.v2.policy.answer import compact

CASES = list(conformance_set())
BY_NAME = {case.name: case for case in CASES}


def answers(policy: str) -> Iterator[tuple[Case, tuple[str, ...]]]:
    for case in CASES:
        yield case, v1_answer(case.input, POLICIES[policy]).reasons


def test_names_are_unique_and_the_set_is_always_the_same() -> None:
    assert len(BY_NAME) == len(CASES) > 1500
    digests = [hashlib.sha256(b"".join(compact(case.input) for case in conformance_set())).digest() for _ in range(2)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_rule_denies_alone_and_first_and_many_cases_are_allowed(policy: str) -> None:
    alone = Counter(reasons[0] for _, reasons in answers(policy) if len(reasons) == 1)
    first = Counter(first_reason(v1_answer(case.input, POLICIES[policy])) for case in CASES)
    assert set(alone) == {reason.value for reason in Reason}
    assert set(first) == {reason.value for reason in Reason} | {""}
    assert first[""] > 100


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_nothing_with_a_missing_fact_is_allowed(policy: str) -> None:
    must_deny = [case for case in CASES if case.must_deny]
    assert len(must_deny) > 150
    assert [case.name for case in must_deny if v1_answer(case.input, POLICIES[policy]).allow] == []
    for name in FACT_NAMES:
        assert BY_NAME[f"NEED without facts.{name}"].must_deny


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_no_field_can_be_deleted_from_a_commit(policy: str) -> None:
    deleted = [case for case in CASES if case.name.startswith("COMMIT without ")]
    assert len(deleted) > 80
    assert [case.name for case in deleted if v1_answer(case.input, POLICIES[policy]).allow] == []


def test_both_sides_of_each_limit_are_there() -> None:
    v1, guide = LIMITS
    for policy, limit in ((V1, v1), (GUIDE, guide)):
        for size, allowed in ((limit - 1, True), (limit, True), (limit + 1, False)):
            assert v1_answer(BY_NAME[f"NEED of size {size}"].input, policy).allow is allowed


def test_each_kind_is_judged_by_its_version() -> None:
    for policy in (V1, GUIDE):
        allowed = {kind for kind in KINDS if v1_answer(BY_NAME[f"kind {kind!r} with an artifact"].input, policy).allow}
        assert allowed == policy.allowed_kinds
