from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.spool import Spool

Pairs = list[tuple[bytes, bytes]]
pairs = st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=60)


@settings(max_examples=40, deadline=None)
@given(pairs, pairs)
def test_what_was_put_first_comes_back_sorted_by_bytes(first: Pairs, second: Pairs) -> None:
    expected: dict[bytes, bytes] = {}
    for key, value in first + second:
        expected.setdefault(key, value)
    with Spool() as spool:
        new = spool.put_many(first) + spool.put_many(second)
        assert new == len(spool) == len(expected)
        assert list(spool.items()) == sorted(expected.items())
        assert all(spool.get(key) == value and key in spool for key, value in expected.items())


def test_it_may_be_written_to_while_it_is_read() -> None:
    with Spool() as spool:
        spool.put_many((at.to_bytes(4, "big"), b"") for at in range(0, 5000, 2))
        seen = []
        for key, _ in spool.items():
            seen.append(key)
            spool.put_many([((int.from_bytes(key, "big") + 2001).to_bytes(4, "big"), b"")])
            if len(seen) > 6000:
                break
        assert seen == sorted(set(seen))


def test_reading_goes_on_after_a_key() -> None:
    with Spool() as spool:
        spool.put_many((bytes([at]), b"v") for at in range(10))
        assert [key for key, _ in spool.items(after=b"\x06")] == [b"\x07", b"\x08", b"\x09"]
        assert spool.get(b"none") is None


def test_it_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new folder")
    spool.put_many((at.to_bytes(4, "big"), bytes(2000)) for at in range(20_000))
    assert list((tmp_path / "new folder").iterdir()) == []
    spool.close()
    spool.close()


def test_a_folder_that_cant_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SiteUnreadable, match=r"temporary file in .*file"):
        Spool(tmp_path / "file" / "inside")
