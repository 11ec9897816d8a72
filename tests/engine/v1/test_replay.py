from __future__ import annotations

from collections import Counter
from pathlib import Path

from canswarm_tui.engine.v1.audit_line import DELIVER, PUBLISH, AuditLine
from canswarm_tui.engine.v1.audit_log import read_log
from canswarm_tui.engine.v1.envelope import Json
from canswarm_tui.engine.v1.policy import V1
from canswarm_tui.engine.v1.replay import CLOCK_TOLERANCE_NS, GapFault, History, ReplayFault, ThreadReplay
from tests.engine.v1.test_audit_log import JUDGE, line, text
from tests.engine.v1.test_envelope import envelope


def logged(number: int, value: dict[str, Json], kind: str = PUBLISH, ts_ns: int = 5) -> AuditLine:
    return JUDGE.line(number, 0, text(line(value, kind=kind, ts_ns=ts_ns)))


def replayed(*values: dict[str, Json]) -> ThreadReplay:
    with History() as history:
        for number, value in enumerate(values, 1):
            history.add(logged(number, value))
        (replay,) = history.replays()
    return replay


def decide(lamport: int, need: str, name: str) -> dict[str, Json]:
    return envelope(id=name, kind="DECIDE", lamport=lamport, payload={"need_id": need})


FINAL = envelope(id="end", kind="FINALIZE", lamport=9)


def test_a_whole_thread_holds_in_whatever_order_it_was_logged() -> None:
    replay = replayed(FINAL, decide(3, "n1", "d1"), envelope(), decide(4, "n2", "d2"))
    assert replay == ThreadReplay("t1", 4, (), 0)
    assert replay.holds


def test_an_envelope_counts_once_however_often_it_was_logged() -> None:
    assert replayed(decide(3, "n1", "d1"), FINAL, decide(3, "n1", "d1"), FINAL).holds


def test_each_reason_to_refuse_a_thread_has_its_name() -> None:
    assert [flaw.fault for flaw in replayed(envelope()).flaws] == [ReplayFault.NO_FINALIZE]
    twice = replayed(decide(3, "n1", "d1"), decide(4, "n1", "d2"), FINAL)
    assert [(flaw.fault, flaw.envelope_id) for flaw in twice.flaws] == [(ReplayFault.SECOND_DECIDE, "d2")]
    forged = replayed(envelope() | {"nonce": "other"}, FINAL)
    assert [flaw.fault for flaw in forged.flaws] == [ReplayFault.SIGNATURE]
    old = replayed(envelope(policy_engine_hash="v0"), FINAL)
    assert [(flaw.fault, flaw.happened) for flaw in old.flaws] == [(ReplayFault.DENIED, "policy_hash_not_current")]
    tied = replayed(envelope(id="a", lamport=9), FINAL)
    assert [flaw.fault for flaw in tied.flaws] == [ReplayFault.LAMPORT_REPEATED]


def test_many_flaws_are_counted_and_the_first_are_kept() -> None:
    replay = replayed(*(envelope(id=str(at), lamport=at + 1, kind="X") for at in range(50)), FINAL | {"lamport": 90})
    assert replay.flaw_count == 52 - 1
    assert len(replay.flaws) == 20


def test_threads_come_sorted_and_apart() -> None:
    with History() as history:
        for number, thread in enumerate(("b", "ä", "a", "b\0c", "b")):
            history.add(logged(number, envelope(id=str(number), thread_id=thread, lamport=number + 1)))
        assert [(replay.thread_id, replay.envelopes) for replay in history.replays()] == [
            ("a", 1),
            ("b", 2),
            ("b\0c", 1),
            ("ä", 1),
        ]


def test_gaps_are_told_with_a_line_that_shows_them() -> None:
    with History() as history:
        history.add(logged(1, envelope(id="both"), PUBLISH))
        history.add(logged(2, envelope(id="both"), DELIVER))
        history.add(logged(3, envelope(id="heard"), DELIVER, ts_ns=5 * CLOCK_TOLERANCE_NS))
        history.add(logged(4, envelope(id="said"), PUBLISH, ts_ns=4 * CLOCK_TOLERANCE_NS))
        history.add(logged(5, envelope(id="both"), DELIVER, ts_ns=2 * CLOCK_TOLERANCE_NS))
        gaps = {(gap.fault, gap.line, gap.subject) for gap in history.gaps()}
    assert gaps == {
        (GapFault.NEVER_PUBLISHED, 3, "heard"),
        (GapFault.NEVER_DELIVERED, 4, "said"),
        (GapFault.CLOCK_WENT_BACK, 5, "line 5"),
    }


def test_a_real_log_is_replayed_thread_by_thread(v1_site: Path) -> None:
    with History() as history:
        for one in read_log(v1_site / "logs" / "swarm.jsonl", v1_site / ".cas", V1.current_hashes, 1):
            history.add(one)
        replays = list(history.replays())
        gaps = Counter(gap.fault for gap in history.gaps())
    assert len(replays) == 78
    assert sum(replay.holds for replay in replays) == 37
    assert gaps == {GapFault.NEVER_PUBLISHED: 54}
