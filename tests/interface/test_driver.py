"""What a terminal sends: nothing of it is an error, and no reply of one is taken for keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.driver import TerminalInput


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_are_an_error(pieces: list[bytes]) -> None:
    incoming = TerminalInput()
    assert all(isinstance(incoming.text(piece), str) for piece in pieces)


@given(st.text(st.characters(exclude_characters="\x1b", codec="utf-8")), st.integers(1, 5))
def test_text_comes_through_however_it_is_cut(text: str, size: int) -> None:
    data, incoming = text.encode(), TerminalInput()
    assert "".join(incoming.text(data[at : at + size]) for at in range(0, len(data), size)) == text


@pytest.mark.parametrize(
    "reply",
    [b"\x1b[M\x20\xff\xe9", b"\x1b[M ra", b"\x1bP>|tmux 3.3a\x1b\\", b"\x1b]11;rgb:0000/0000/0000\x07", b"\x1b[?62;4c"],
    ids=["raw mouse", "raw mouse in ascii", "name", "colour", "attributes"],
)
def test_a_reply_is_no_key(reply: bytes) -> None:
    incoming = TerminalInput()
    assert incoming.text(b"a" + reply + b"b") == "ab"
    assert incoming.saw_raw_mouse is reply.startswith(b"\x1b[M")


@pytest.mark.parametrize("at", [3, 4, 5])
def test_a_raw_mouse_report_may_come_in_two_pieces(at: int) -> None:
    report, incoming = b"\x1b[M\x20\xff\xe9", TerminalInput()
    assert incoming.text(report[:at]) + incoming.text(report[at:] + b"b") == "b"


@pytest.mark.parametrize(
    "keys",
    ["\x1b", "\x1b[A", "\x1bOP", "\x1b[<0;12;9M", "\x1b[200~é paste\x1b[201~", "\x1b[?2026;2$y", "\x1b[I", "\x1bP"],
)
def test_keys_asked_for_reports_and_pastes_stay(keys: str) -> None:
    assert TerminalInput().text(keys.encode()) == keys


def test_latin_1_is_marked_and_goes_on() -> None:
    incoming = TerminalInput()
    assert incoming.text("caf\xe9 ".encode("latin-1")) == "caf\N{REPLACEMENT CHARACTER} "
    assert incoming.text(b"q") == "q"
