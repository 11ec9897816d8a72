from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import SiteUnreadable, Stopped
from canswarm_tui.engine.events import Event, StepProgressed
from canswarm_tui.engine.settings import PolicySettings, Settings, SiteSettings
from canswarm_tui.engine.steps.policy_envelopes import FILE, open_envelopes, rows_of_range
from canswarm_tui.engine.v1.audit_log import cut, read_log
from canswarm_tui.engine.v1.blobs import blob_path
from canswarm_tui.engine.v1.policy import V1, decide
from tests.engine.contexts import make_context


@pytest.fixture
def ctx(v1_site: Path, tmp_path: Path) -> Iterator[StepContext]:
    ctx = make_context(tmp_path / "run", Settings(site=SiteSettings(root=v1_site)), step="policy-opa")
    yield ctx
    ctx.journal.close()


@pytest.fixture
def log(v1_site: Path) -> Path:
    return v1_site / "logs" / "swarm.jsonl"


def test_hashing_and_reading_the_log_tell_how_much_is_done(
    v1_site: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canswarm_tui.engine.context.PROGRESS_EVERY_S", 0.0)
    events: list[Event] = []
    ctx = make_context(tmp_path / "run", Settings(site=SiteSettings(root=v1_site)), step="policy-opa", events=events)
    open_envelopes(ctx).close()
    ctx.journal.close()
    hashed, read = [event.progress for event in events if isinstance(event, StepProgressed)]
    assert hashed.doing == "hashing the audit log"
    assert hashed.done_bytes == hashed.total_bytes == read.done_bytes == read.total_bytes == log.stat().st_size


def test_hashing_the_log_ends_when_a_stop_is_asked_for(ctx: StepContext) -> None:
    open_envelopes(ctx).close()
    ctx.stop.set("asked to")
    with pytest.raises(Stopped):
        open_envelopes(ctx)


def test_every_envelope_of_the_log_is_there_with_v1s_own_answer(ctx: StepContext, v1_site: Path, log: Path) -> None:
    judged = {
        line.carried.identity: line.carried
        for line in read_log(log, v1_site / ".cas", V1.current_hashes)
        if line.carried is not None
    }
    with open_envelopes(ctx) as envelopes:
        questions = list(envelopes.questions())
        assert envelopes.count == len(judged) == sum(question.times for question in questions)
        assert envelopes.inputs == len(questions) <= envelopes.count
        assert envelopes.lines > envelopes.count
        named = {name: question for question in questions for name, _ in envelopes.named(question)}
        for carried in judged.values():
            expected = sorted(reason.value for reason in decide(carried.facts).reasons)
            assert list(named[carried.id].expected.reasons) == expected
        refused, applies, first = envelopes.reasons()
        assert refused == sum(bool(decide(carried.facts).reasons) for carried in judged.values())
        assert sum(first.values()) == refused <= sum(applies.values())


def test_processes_find_the_same_as_one(log: Path, v1_site: Path) -> None:
    whole = {row[0]: row for part in cut(log) for row in rows_of_range(log, v1_site / ".cas", "v1", part)[0]}
    pieces = {row[0]: row for part in cut(log, 50_000) for row in rows_of_range(log, v1_site / ".cas", "v1", part)[0]}
    assert {key: row[:4] for key, row in whole.items()} == {key: row[:4] for key, row in pieces.items()}


def test_the_log_is_read_once_while_nothing_moves(ctx: StepContext) -> None:
    open_envelopes(ctx).close()
    before = (ctx.folder / FILE).stat().st_ino
    open_envelopes(ctx).close()
    assert (ctx.folder / FILE).stat().st_ino == before


def test_a_log_that_has_grown_is_read_again(ctx: StepContext, log: Path) -> None:
    with open_envelopes(ctx) as envelopes:
        count = envelopes.count
    line = json.loads(log.read_bytes().splitlines()[0])
    line["payload"] = {"v": 1, "kind": "NEED", "id": "forged", "lamport": 1}
    with log.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
    with open_envelopes(ctx) as envelopes:
        assert envelopes.count == count + 1
        forged = next(one for one in envelopes.refused(1000) if one.name == "forged")
        assert "signature_invalid" in forged.reasons


def test_a_log_changed_in_place_with_its_old_size_and_time_is_read_again(ctx: StepContext, log: Path) -> None:
    with open_envelopes(ctx) as envelopes:
        refused = envelopes.reasons()[0]
    stat = log.stat()
    text = log.read_bytes()
    at = text.rindex(b'"kind":"NEED"') if b'"kind":"NEED"' in text else text.rindex(b'"kind": "NEED"')
    log.write_bytes(text[:at] + text[at:].replace(b"NEED", b"NEEX", 1))
    os.utime(log, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert log.stat().st_size == stat.st_size
    with open_envelopes(ctx) as envelopes:
        assert envelopes.reasons()[0] > refused


def test_an_artifact_that_vanishes_or_comes_back_is_seen(ctx: StepContext, v1_site: Path) -> None:
    with open_envelopes(ctx) as envelopes:
        there = next(name for name, present in envelopes.artifacts() if present)
        lost = {one.artifact for one in envelopes.lost_artifacts()}
    assert there not in lost
    path = blob_path(v1_site / ".cas", there)
    content = path.read_bytes()
    path.unlink()
    with open_envelopes(ctx) as envelopes:
        assert {one.artifact for one in envelopes.lost_artifacts()} == lost | {there}
        assert dict(envelopes.artifacts())[there] is False
    path.write_bytes(content)
    with open_envelopes(ctx) as envelopes:
        assert {one.artifact for one in envelopes.lost_artifacts()} == lost


def test_another_version_of_the_policy_asks_anew(ctx: StepContext, v1_site: Path, tmp_path: Path) -> None:
    open_envelopes(ctx).close()
    settings = Settings(site=SiteSettings(root=v1_site), policy=PolicySettings(version="guide"))
    other = make_context(tmp_path / "run", settings, step="policy-opa")
    with open_envelopes(other) as envelopes:
        assert '"guide"' in envelopes.about("stand")
    other.journal.close()


def test_a_damaged_file_is_made_again(ctx: StepContext) -> None:
    with open_envelopes(ctx) as envelopes:
        count = envelopes.count
    (ctx.folder / FILE).write_bytes(b"no database at all, but long enough to be opened as one" * 100)
    with open_envelopes(ctx) as envelopes:
        assert envelopes.count == count


def test_odd_lines_carry_nothing_and_a_line_that_is_too_long_is_skipped(
    ctx: StepContext, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from canswarm_tui.engine.steps import policy_envelopes

    good = log.read_bytes().splitlines(keepends=True)[2]
    monkeypatch.setattr(policy_envelopes, "MAX_LINE_BYTES", len(good) + 100)
    long = b'{"payload":{"v":1,"kind":"' + b"x" * len(good) * 3 + b'"}}\n'
    log.write_bytes(b"\n" + b"nonsense\n" + b'["list"]\n' + b'{"payload":1}\n' + b"\xff\xfe\n" + long + good + good)
    with open_envelopes(ctx) as envelopes:
        assert (envelopes.count, envelopes.lines) == (1, 2)
        assert [line for question in envelopes.questions() for _, line in envelopes.named(question)] == [7]


def test_a_log_that_is_not_there_is_told(ctx: StepContext, log: Path) -> None:
    log.unlink()
    with pytest.raises(SiteUnreadable, match=r"swarm\.jsonl"):
        open_envelopes(ctx)
