"""CIDs follow from a v1 hash alone, and only one spelling of each is accepted."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.cid import Cid, Codec

digests = st.binary(min_size=32, max_size=32)
cids = st.builds(Cid, st.sampled_from(Codec), digests)


def test_the_empty_blob_has_the_cid_that_kubo_gives_it() -> None:
    empty = Cid.raw(hashlib.sha256(b"").digest())
    assert str(empty) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@given(cids)
def test_text_and_binary_forms_lead_back_to_the_same_cid(cid: Cid) -> None:
    assert Cid.parse(str(cid)) == cid
    assert Cid.from_bytes(bytes(cid)) == cid
    assert len(str(cid)) == 59


@given(st.text())
def test_a_text_is_either_the_one_spelling_of_a_cid_or_refused(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except ValueError:
        return
    assert str(cid) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku ",
        "bäfkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a CID"):
        Cid.parse(text)


@given(cids, st.integers(0, 3), st.integers(1, 255))
def test_another_version_codec_or_hash_function_is_refused(cid: Cid, at: int, change: int) -> None:
    data = bytearray(bytes(cid))
    data[at] ^= change
    if at == 1 and data[1] in set(Codec):
        assert Cid.from_bytes(bytes(data)) != cid
    else:
        with pytest.raises(ValueError, match="not a CIDv1"):
            Cid.from_bytes(bytes(data))
