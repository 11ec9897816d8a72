from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.v1 import audit_log
from canswarm_tui.engine.v1.audit_line import DELIVER, PUBLISH, AuditLine, Judge, LineFault, LineForm
from canswarm_tui.engine.v1.audit_log import LogRange, cut, read_log, reread
from canswarm_tui.engine.v1.envelope import Json, canonical_json, payload_hash, sign
from canswarm_tui.engine.v1.policy import V1
from tests.engine.v1.test_envelope import SEED, envelope

JUDGE = Judge(lambda _: True, V1.current_hashes)


def line(payload: Json, **changes: Json) -> dict[str, Json]:
    fields: dict[str, Json] = {
        "ts_ns": 5,
        "thread_id": "t1",
        "subject": "thread.t1.planner",
        "kind": PUBLISH,
        "payload_hash": payload_hash(payload),
        "payload": payload,
        "version": 1,
    }
    return sign(fields | changes, SEED)


def text(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def judged(value: bytes) -> tuple[LineForm, tuple[LineFault, ...]]:
    found = JUDGE.line(1, 0, value)
    return found.form, found.faults


def read(path: Path, site: Path, processes: int = 1) -> list[AuditLine]:
    return list(read_log(path, site / ".cas", V1.current_hashes, processes))


def test_a_real_log_is_sound(v1_site: Path) -> None:
    path = v1_site / "logs" / "swarm.jsonl"
    lines = read(path, v1_site)
    assert all(one.sound for one in lines)
    assert Counter((one.form, one.kind) for one in lines) == {
        (LineForm.ENVELOPE, PUBLISH): 548,
        (LineForm.ENVELOPE, DELIVER): 1239,
        (LineForm.PLAIN, PUBLISH): 1,
        (LineForm.PLAIN, DELIVER): 13,
    }
    assert [one.number for one in lines] == list(range(1, 1802))
    assert lines[-1].offset + lines[-1].size == path.stat().st_size
    raw = path.read_bytes().splitlines()
    assert all(reread(path, one) == json.loads(raw[one.number - 1]) for one in lines[::50])


def test_every_way_to_be_wrong_has_its_name() -> None:
    sound = line(envelope())
    assert judged(text(sound)) == (LineForm.ENVELOPE, ())
    assert judged(text(line({"hello": 1}))) == (LineForm.PLAIN, ())
    assert judged(text(line({"_raw": "\x00\x01"}))) == (LineForm.RAW, ())
    assert judged(text(sound | {"ts_ns": 6})) == (LineForm.ENVELOPE, (LineFault.LINE_SIGNATURE,))
    assert judged(text(line(envelope(), payload_hash="0" * 64))) == (LineForm.ENVELOPE, (LineFault.LINE_HASH,))
    forged = line(envelope() | {"lamport": 7})
    assert judged(text(forged)) == (LineForm.ENVELOPE, (LineFault.ENVELOPE_SIGNATURE,))
    lying = line(envelope(payload_hash="0" * 64))
    assert judged(text(lying)) == (LineForm.ENVELOPE, (LineFault.ENVELOPE_HASH,))
    cut_off = line({name: value for name, value in envelope().items() if name != "nonce"})
    assert judged(text(cut_off)) == (
        LineForm.ENVELOPE,
        (LineFault.ENVELOPE_DAMAGED, LineFault.ENVELOPE_SIGNATURE),
    )
    assert judged(b"[1]\n") == (LineForm.NOT_A_LINE, ())
    assert judged(text(sound)[:-10] + b"\n") == (LineForm.NOT_JSON, ())
    assert judged(text(sound)[:-10]) == (LineForm.TRUNCATED, ())
    assert judged(text(sound)[:-1]) == (LineForm.ENVELOPE, ())
    assert judged(b"\0" * 50 + b"\n") == (LineForm.NOT_JSON, (LineFault.NUL_BYTES,))
    assert judged(b"\n") == (LineForm.BLANK, ())
    assert judged(b"\xff\n") == (LineForm.NOT_JSON, ())
    assert judged(b"[" * 100_000 + b"\n") == (LineForm.NOT_JSON, ())


@given(
    st.binary(max_size=80)
    | st.recursive(st.none() | st.text() | st.integers() | st.floats(), st.lists).map(repr).map(str.encode)
)
def test_any_bytes_are_a_line_with_a_verdict(raw: bytes) -> None:
    assert JUDGE.line(1, 0, raw).size == len(raw)


@given(
    st.sampled_from(["payload", "kind", "ts_ns", "thread_id", "version", "sig_b64"]),
    st.none() | st.integers() | st.text(),
)
def test_a_line_with_a_replaced_field_is_never_sound(name: str, value: Json) -> None:
    sound = line(envelope())
    if value != sound[name]:
        assert not JUDGE.line(1, 0, text(sound | {name: value})).sound


def test_equal_envelopes_have_equal_identities_and_others_have_not() -> None:
    def identity(value: Json) -> bytes:
        carried = JUDGE.line(1, 0, text(line(value))).carried
        assert carried is not None
        return carried.identity

    assert identity(envelope()) == identity(json.loads(canonical_json(envelope())))
    assert len({identity(envelope()), identity(envelope(id="e2")), identity(envelope() | {"kind": "X"})}) == 3


@pytest.mark.parametrize("ending", [b"", b"\n"])
@pytest.mark.parametrize("range_bytes", [1, 7, 100, 10_000])
def test_ranges_hold_whole_lines_and_cover_the_file(tmp_path: Path, ending: bytes, range_bytes: int) -> None:
    path = tmp_path / "log"
    content = b"\n".join(b"x" * (at * 37 % 90) for at in range(100)) + ending
    path.write_bytes(content)
    ranges = list(cut(path, range_bytes))
    assert b"".join(content[part.start : part.end] for part in ranges) == content
    assert [part.first_line for part in ranges] == [1 + content[: part.start].count(b"\n") for part in ranges]
    assert all(part.end == len(content) or content[part.end - 1 : part.end] == b"\n" for part in ranges)


def test_child_processes_judge_the_same_in_the_same_order(v1_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = v1_site / "logs" / "swarm.jsonl"
    whole = read(path, v1_site)
    monkeypatch.setattr(audit_log, "RANGE_BYTES", 200_000)
    assert len(list(cut(path, 200_000))) > 5
    parts = list(audit_log.cut(path, 200_000))
    monkeypatch.setattr(audit_log, "cut", lambda _: iter(parts))
    assert read(path, v1_site, 2) == whole


def test_a_line_without_end_is_told_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "MAX_LINE_BYTES", 2000)
    monkeypatch.setattr(audit_log, "RANGE_BYTES", 300)
    path = tmp_path / "log"
    sound = text(line({"hello": 1}))
    path.write_bytes(sound + b"x" * 5000 + b"\n" + sound)
    found = audit_log.judge_range(path, tmp_path, V1.current_hashes, LogRange(0, path.stat().st_size, 1))
    assert [(one.number, one.form) for one in found] == [
        (1, LineForm.PLAIN),
        (2, LineForm.TOO_LONG),
        (3, LineForm.PLAIN),
    ]
    assert found[2].offset == len(sound) + 5001


def test_an_empty_log_has_no_lines_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert read(tmp_path / "empty", tmp_path) == []
    with pytest.raises(SiteUnreadable, match=r"site\.log_dir"):
        read(tmp_path / "none", tmp_path)
