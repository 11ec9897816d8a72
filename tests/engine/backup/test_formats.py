"""What is written into a backup's files is what is read from them, whatever names and bytes a site has."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.packs import tar_header
from canswarm_tui.engine.backup.redis_values import RedisKey
from canswarm_tui.engine.errors import SiteUnreadable

names = st.lists(
    st.binary(min_size=1, max_size=255).filter(lambda raw: not {0, 47} & set(raw) and raw not in (b".", b"..")),
    min_size=1,
    max_size=4,
).map(lambda parts: os.fsdecode(b"/".join(parts)))
entries = st.builds(
    m.Entry,
    part=st.sampled_from(["plan", "cas", "logs"]),
    path=names,
    kind=st.just(m.FILE),
    mode=st.integers(0, 0o7777),
    mtime_ns=st.integers(0, 2**62),
    uid=st.integers(0, 2**31),
    gid=st.integers(0, 2**31),
    size=st.integers(0, 2**45),
    sha256=st.just("ab" * 32),
    pack=st.just("files-00001.tar"),
    offset=st.integers(0, 2**45),
)


@given(st.lists(entries, max_size=5))
def test_entries_are_read_as_they_were_written(written: list[m.Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        m.write_entries(Path(folder) / m.INDEX, written)
        assert list(m.read_entries(Path(folder))) == written


@given(entries)
def test_any_tar_program_reads_a_header_as_the_entry(entry: m.Entry) -> None:
    pack_of_one = io.BytesIO(tar_header(entry) + b"\0" * 1024)
    with tarfile.open(fileobj=pack_of_one, errors="surrogateescape") as pack:
        member = pack.next()
    assert member is not None
    assert (member.name, member.size, member.mode, member.uid) == (
        f"{entry.part}/{entry.path}",
        entry.size,
        entry.mode,
        entry.uid,
    )


@given(st.binary(), st.binary(), st.sampled_from(["string", "hash"]), st.none() | st.integers(0, 2**53))
def test_keys_are_read_as_they_were_written(key: bytes, body: bytes, kind: str, expires_ms: int | None) -> None:
    saved = RedisKey(key, kind, body, "00", expires_ms)
    assert RedisKey.parse(saved.line()) == saved
    assert saved.line().count(b"\n") == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"part": "cas", "wrong": 1}'])
def test_a_damaged_line_of_the_index_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / m.INDEX).write_text('{"part":"cas","kind":"folder"}\n' + line + "\n")
    with pytest.raises(SiteUnreadable, match="line 2"):
        list(m.read_entries(tmp_path))
