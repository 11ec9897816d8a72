"""Words for people: an error is one line that reads as sentences, numbers have units and right plurals."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.text import advice, bytes_text, counted, duration_text, shown


@pytest.mark.parametrize(
    ("happened", "remedy", "told"),
    [
        ("no answer within 5 s", "check that it runs", "no answer within 5 s. Check that it runs"),
        ("no answer.", "check that it runs", "no answer. Check that it runs"),
        ("did you mean `etcd`?", "correct it", "did you mean `etcd`? Correct it"),
        ("it is full", "etcd wants a compaction", "it is full. etcd wants a compaction"),
        ("nothing ran", "canswarm-tui run does it", "nothing ran. canswarm-tui run does it"),
        ("nothing ran", "`canswarm-tui run` does it", "nothing ran. `canswarm-tui run` does it"),
        ("it is gone", "", "it is gone."),
    ],
)
def test_what_happened_and_what_to_do_are_two_sentences_and_names_keep_their_letters(
    happened: str, remedy: str, told: str
) -> None:
    assert advice(happened, remedy) == told
    assert str(Unreachable("etcd", happened, remedy)) == f"etcd: {told}"


@given(st.one_of(st.text(), st.binary()))
def test_data_is_one_printable_line_whatever_it_is(data: str | bytes) -> None:
    line = shown(data)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in line)
    assert len(line.splitlines()) <= 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (bytes_text(1023), "1023 B"),
        (bytes_text(1024), "1.0 KiB"),
        (bytes_text(3 * 1024**4), "3.0 TiB"),
        (bytes_text(5000 * 1024**4), "5,000.0 TiB"),
        (counted(1, "key"), "1 key"),
        (counted(0, "key"), "0 keys"),
        (counted(2000, "key"), "2,000 keys"),
        (duration_text(0.44), "0.4 s"),
        (duration_text(59.6), "1 min 0 s"),
        (duration_text(3725), "1 h 2 min"),
    ],
)
def test_numbers_for_people(told: str, expected: str) -> None:
    assert told == expected
