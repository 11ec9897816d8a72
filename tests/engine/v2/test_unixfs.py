"""The tree of a large blob is told offline and is the one that Kubo makes."""

from __future__ import annotations

import hashlib
import io
import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.unixfs import CHUNK_BYTES, MAX_LINKS, RAW_LIMIT, Tree, chunks, grow_tree, parse_node

SMALL_CHUNK = 256
SMALL_LINKS = 3


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def tree_of(data: bytes, chunk_bytes: int = CHUNK_BYTES, max_links: int = MAX_LINKS) -> Tree:
    return grow_tree(chunks(io.BytesIO(data), chunk_bytes), max_links)


def added(api: str, data: bytes, chunk_bytes: int = CHUNK_BYTES, max_links: int = MAX_LINKS) -> str:
    """The CID that Kubo's own `add` gives this content; nothing is stored."""
    answer = httpx.post(
        f"{api}/api/v0/add",
        params={
            "cid-version": "1",
            "raw-leaves": "true",
            "chunker": f"size-{chunk_bytes}",
            "max-file-links": str(max_links),
            "only-hash": "true",
        },
        files={"file": ("blob", data)},
        timeout=60,
    )
    answer.raise_for_status()
    return str(answer.json()["Hash"])


@pytest.mark.parametrize(
    "size",
    [
        RAW_LIMIT + 1,
        3 * CHUNK_BYTES - 1,
        3 * CHUNK_BYTES,
        3 * CHUNK_BYTES + 1,
        60 * CHUNK_BYTES,
        60 * CHUNK_BYTES + 12345,
    ],
)
def test_a_large_blob_has_the_cid_that_kubo_gives_it(ipfs_api: str, size: int) -> None:
    data = content(size)
    tree = tree_of(data)
    assert str(tree.root) == added(ipfs_api, data)
    assert tree.sha256 == hashlib.sha256(data).digest()
    assert tree.size == size


@pytest.mark.parametrize("leaves", [2, 3, 4, 6, 7, 9, 10, 12, 13, 18, 19, 27, 28, 30, 81, 82, 100, 243, 244])
@pytest.mark.parametrize("last", [1, SMALL_CHUNK])
def test_trees_of_every_depth_have_the_cid_that_kubo_gives_them(ipfs_api: str, leaves: int, last: int) -> None:
    data = content((leaves - 1) * SMALL_CHUNK + last)
    tree = tree_of(data, SMALL_CHUNK, SMALL_LINKS)
    assert str(tree.root) == added(ipfs_api, data, SMALL_CHUNK, SMALL_LINKS)


def test_more_chunks_than_links_in_one_node_make_a_deeper_tree_as_in_kubo(ipfs_api: str) -> None:
    data = content((MAX_LINKS + 1) * SMALL_CHUNK)
    assert str(tree_of(data, SMALL_CHUNK).root) == added(ipfs_api, data, SMALL_CHUNK)


@given(st.integers(2, 90), st.integers(2, 5))
def test_walking_the_nodes_from_the_root_meets_every_leaf_in_order(leaves: int, max_links: int) -> None:
    tree = grow_tree([bytes((i % 7,)) * 10 for i in range(leaves)], max_links)
    nodes = dict(tree.nodes)

    def walk(cid: Cid) -> list[Cid]:
        if cid.codec is Codec.RAW:
            return [cid]
        return [leaf for link in parse_node(nodes[cid]) for leaf in walk(link.cid)]

    assert walk(tree.root) == [leaf.cid for leaf in tree.leaves]
    assert tree.nodes[0][0] == tree.root
    assert sum(link.file_bytes for link in parse_node(nodes[tree.root])) == tree.size


def test_equal_chunks_are_one_block() -> None:
    tree = grow_tree([b"\0" * 10] * 9, 3)
    assert len(tree.leaves) == 9
    assert tree.blocks == 3


@given(st.binary(max_size=200))
def test_bytes_that_are_no_file_node_are_refused(data: bytes) -> None:
    try:
        links = parse_node(data)
    except ValueError:
        return
    assert isinstance(links, list)


@given(st.data())
def test_a_cut_node_is_refused(data: st.DataObject) -> None:
    _, block = grow_tree([b"a", b"b", b"c"]).nodes[0]
    with pytest.raises(ValueError, match=r"node|message|link|CID|sizes"):
        parse_node(block[: data.draw(st.integers(0, len(block) - 1))])
