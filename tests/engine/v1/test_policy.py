from __future__ import annotations

from dataclasses import replace

import pytest

from canswarm_tui.engine.v1.envelope import UNKNOWN_SIZE, Facts
from canswarm_tui.engine.v1.policy import GUIDE, V1, Policy, Reason, decide

GOOD = Facts(True, True, True, True, "COMMIT", 100, True, True)


def test_the_hash_is_the_one_that_real_envelopes_carry() -> None:
    assert V1.engine_hash == "af11c8fcd3ef2758c98152ef1b127f163d78559f688c11b419d87fa17a0fe48d"


@pytest.mark.parametrize("policy", [V1, GUIDE])
def test_a_sound_envelope_is_allowed(policy: Policy) -> None:
    decision = decide(GOOD, policy)
    assert decision.allow
    assert decision.first is None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(GOOD, signature_valid=False), Reason.SIGNATURE_INVALID),
        (replace(GOOD, payload_hash_valid=False), Reason.PAYLOAD_HASH_INVALID),
        (replace(GOOD, lamport_positive=False), Reason.LAMPORT_NOT_POSITIVE),
        (replace(GOOD, policy_hash_current=False), Reason.POLICY_HASH_NOT_CURRENT),
        (replace(GOOD, kind="commit"), Reason.KIND_NOT_ALLOWED),
        (replace(GOOD, kind=None), Reason.KIND_NOT_ALLOWED),
        (replace(GOOD, payload_size_bytes=UNKNOWN_SIZE), Reason.PAYLOAD_TOO_LARGE),
        (replace(GOOD, artifact_named=False, artifact_present=False), Reason.COMMIT_WITHOUT_ARTIFACT),
        (replace(GOOD, artifact_present=False), Reason.ARTIFACT_NOT_FOUND),
        (replace(GOOD, kind="NEED", artifact_present=False), Reason.ARTIFACT_NOT_FOUND),
    ],
)
@pytest.mark.parametrize("policy", [V1, GUIDE])
def test_each_rule_denies_alone(facts: Facts, reason: Reason, policy: Policy) -> None:
    assert decide(facts, policy).reasons == (reason,)


@pytest.mark.parametrize(("policy", "limit"), [(V1, 65536), (GUIDE, 1048576)])
def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(policy: Policy, limit: int) -> None:
    assert decide(replace(GOOD, payload_size_bytes=limit), policy).allow
    assert decide(replace(GOOD, payload_size_bytes=limit + 1), policy).first is Reason.PAYLOAD_TOO_LARGE


def test_the_guide_knows_nine_kinds_and_v1_eleven() -> None:
    assert sorted(V1.allowed_kinds - GUIDE.allowed_kinds) == ["FINAL", "PLAN"]
    assert (len(V1.allowed_kinds), len(GUIDE.allowed_kinds)) == (11, 9)


def test_all_denials_are_told_in_v1s_order() -> None:
    worst = Facts(False, False, False, False, None, UNKNOWN_SIZE, True, False)
    decision = decide(worst)
    assert decision.reasons == tuple(reason for reason in Reason if reason is not Reason.COMMIT_WITHOUT_ARTIFACT)
    assert decision.first is Reason.SIGNATURE_INVALID


def test_what_v1_sealed_is_current_under_both_policies() -> None:
    assert V1.current_hashes == {V1.engine_hash}
    assert GUIDE.current_hashes == {V1.engine_hash, GUIDE.engine_hash}
