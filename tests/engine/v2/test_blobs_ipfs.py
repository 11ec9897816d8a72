"""Blobs arrive in a real Kubo whole, counted and pinned; whatever is missing or damaged there is found by name."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SiteUnreadable, WrongAnswer
from canswarm_tui.engine.records import Fate, Record, Removal, Wanted
from canswarm_tui.engine.settings import IpfsSettings
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink, pinned_batches, read_manifest
from canswarm_tui.engine.v2.car import header, section_head
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.ipfs_batch import BatchArchive, predict
from canswarm_tui.engine.v2.ipfs_reader import ManifestLost, read_back, read_blob
from canswarm_tui.engine.v2.kubo import Blocks, KuboApi
from canswarm_tui.engine.v2.kubo_errors import BlockMissing
from canswarm_tui.engine.v2.unixfs import CHUNK_BYTES, RAW_LIMIT

_numbers = random.Random()


def record(content: bytes, path: Path | None = None) -> Record:
    digest = hashlib.sha256(content).digest()
    if path is not None:
        path.write_bytes(content)
    return Record(digest.hex().encode(), digest, len(content), content if path is None else path)


def fresh(size: int) -> bytes:
    """Content that no other test has brought to the node."""
    return _numbers.randbytes(size)


def wanted(records: Sequence[Record]) -> list[Wanted]:
    return [Wanted(r.key, r.digest, r.size) for r in records]


@pytest.fixture
def api(ipfs_api: str) -> Iterator[KuboApi]:
    with KuboApi(IpfsSettings(api=ipfs_api, timeout_s=20)) as opened:
        yield opened


@pytest.fixture
def tag() -> str:
    return f"test-{_numbers.getrandbits(64):x}-1"


@pytest.fixture
def sink(api: KuboApi) -> IpfsSink:
    return IpfsSink(api)


def root_of(api: KuboApi, tag: str) -> Cid:
    (pinned,) = pinned_batches(api, tag)
    return pinned.root


def mixed(tmp_path: Path) -> list[Record]:
    """Blobs on both sides of every boundary, in memory and in files, with blocks that occur more than once."""
    piece = fresh(CHUNK_BYTES)
    contents = [
        fresh(1),
        fresh(1024),
        fresh(CHUNK_BYTES + 1),
        fresh(RAW_LIMIT - 1),
        fresh(RAW_LIMIT),
        fresh(RAW_LIMIT + 1),
        fresh(3 * CHUNK_BYTES),
        piece,
        piece + fresh(CHUNK_BYTES) + piece + piece,
        bytes(5 * CHUNK_BYTES) + fresh(8),
        b"",
    ]
    paths = [None if at % 2 else tmp_path / f"blob-{at}" for at in range(len(contents))]
    return sorted((record(c, p) for c, p in zip(contents, paths, strict=True)), key=lambda r: r.key)


def test_blobs_of_every_size_arrive_under_the_predicted_cid_and_come_back_whole(
    api: KuboApi, sink: IpfsSink, tag: str, tmp_path: Path
) -> None:
    batch = mixed(tmp_path)
    landed = sink.write(batch, tag)
    assert [(one.key, one.fate) for one in landed] == [(r.key, Fate.CREATED) for r in batch]
    assert [one.where for one in landed] == [str(predict(r).cid) for r in batch]
    back = list(read_back(api, root_of(api, tag)))
    assert all(blob.intact for blob in back)
    assert sorted((b.digest, str(b.cid), b.size) for b in back) == [
        (r.digest, one.where, r.size) for r, one in zip(batch, landed, strict=True)
    ]


def test_each_blob_can_be_read_by_itself(api: KuboApi, sink: IpfsSink, tag: str, tmp_path: Path) -> None:
    batch = mixed(tmp_path)
    for r, one in zip(batch, sink.write(batch, tag), strict=True):
        blob = read_blob(api, r.digest, Cid.parse(one.where))
        assert (blob.intact, blob.size) == (True, r.size)


def test_settle_tells_a_batch_that_arrived_from_one_that_did_not(sink: IpfsSink, tag: str) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    assert [one.fate for one in sink.settle(wanted(batch), tag)] == [Fate.ABSENT] * 3
    landed = sink.write(batch, tag)
    assert sink.settle(wanted(batch), tag) == landed
    assert [one.fate for one in sink.settle(wanted(batch), tag + "0")] == [Fate.ABSENT] * 3


def test_an_import_that_was_not_pinned_yet_does_not_count_as_arrived(api: KuboApi, sink: IpfsSink, tag: str) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    archive = BatchArchive.plan(batch, tag)
    assert api.import_car(archive.pieces(), archive.size_bytes).count == 4
    assert [one.fate for one in sink.settle(wanted(batch), tag)] == [Fate.ABSENT] * 3
    assert [one.fate for one in sink.write(batch, tag)] == [Fate.CREATED] * 3


def test_writing_a_batch_again_changes_nothing(api: KuboApi, sink: IpfsSink, tag: str) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    assert sink.write(batch, tag) == sink.write(batch, tag)
    assert len(list(pinned_batches(api, tag))) == 1


def test_undo_takes_the_pin_away_and_only_once(api: KuboApi, sink: IpfsSink, tag: str) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    sink.write(batch, tag)
    other = tag + "0"
    sink.write(batch, other)
    assert sink.remove(wanted(batch), tag) == [Removal.REMOVED] * 3
    assert sink.remove(wanted(batch), tag) == [Removal.GONE] * 3
    assert [found.tag for found in pinned_batches(api, other)] == [other]
    assert all(blob.intact for blob in read_back(api, root_of(api, other)))


def test_undo_takes_a_pin_away_although_some_of_what_it_holds_was_brought_again_later(
    api: KuboApi, sink: IpfsSink, tag: str
) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    sink.write(batch, tag)
    stranger = record(fresh(100))
    later = tag + "0"
    sink.write(batch[2:], later)
    assert sink.remove(wanted([*batch[:2], stranger]), tag) == [Removal.REMOVED, Removal.REMOVED, Removal.GONE]
    assert list(pinned_batches(api, tag)) == []
    assert all(blob.intact for blob in read_back(api, root_of(api, later)))


def test_a_run_finds_its_own_batches_and_no_others(api: KuboApi, sink: IpfsSink, tag: str) -> None:
    run = tag.removesuffix("-1")
    for name in (f"{run}-1", f"{run}-12", f"{run}0-1", f"x{run}-1"):
        sink.write([record(fresh(10))], name)
    assert sorted(found.tag for found in pinned_batches(api, run)) == [f"{run}-1", f"{run}-12"]


def test_a_manifest_tells_the_hash_and_cid_of_each_blob(api: KuboApi, sink: IpfsSink, tag: str, tmp_path: Path) -> None:
    batch = mixed(tmp_path)
    landed = sink.write(batch, tag)
    manifest = read_manifest(api, root_of(api, tag))
    assert manifest is not None
    assert manifest.tag == tag
    assert {d: str(c) for d, c in manifest.cids()} == {
        r.digest: one.where for r, one in zip(batch, landed, strict=True)
    }


class Tampered(KuboApi):
    """A node behind something that changes archives on their way: `change` gets each whole archive."""

    def __init__(self, settings: IpfsSettings, change: Callable[[bytes], bytes]) -> None:
        super().__init__(settings)
        self._change = change

    def import_car(self, pieces: Iterable[bytes], size_bytes: int) -> Blocks:
        changed = self._change(b"".join(pieces))
        return super().import_car([changed], len(changed))


@pytest.mark.parametrize("cut", ["last block", "all blocks", "everything"])
def test_an_archive_that_lost_blocks_on_its_way_is_found_before_it_is_pinned(
    api: KuboApi, ipfs_api: str, tag: str, cut: str
) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    archive = BatchArchive.plan(batch, tag)
    block = len(section_head(100)) + 36 + 100
    keep = {"last block": archive.size_bytes - block, "all blocks": archive.size_bytes - 3 * block, "everything": 0}
    with (
        Tampered(IpfsSettings(api=ipfs_api, timeout_s=5), lambda whole: whole[: keep[cut]]) as cutting,
        pytest.raises(WrongAnswer, match="took in"),
    ):
        IpfsSink(cutting).write(batch, tag)
    assert not list(pinned_batches(api, tag))
    assert [one.fate for one in IpfsSink(api).settle(wanted(batch), tag)] == [Fate.ABSENT] * 3


def test_a_block_that_was_replaced_by_another_is_found_though_the_count_is_right(
    api: KuboApi, ipfs_api: str, tag: str
) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    other = fresh(100)
    replacement = section_head(100) + bytes(Cid.raw(hashlib.sha256(other).digest())) + other
    with (
        Tampered(IpfsSettings(api=ipfs_api, timeout_s=5), lambda w: w[: -len(replacement)] + replacement) as swapping,
        pytest.raises(WrongAnswer, match="could not find"),
    ):
        IpfsSink(swapping).write(batch, tag)
    assert not list(pinned_batches(api, tag))


def test_content_that_is_not_what_its_hash_says_is_refused(api: KuboApi, sink: IpfsSink, tag: str) -> None:
    good = record(fresh(100))
    bad = Record(good.key, good.digest, 100, fresh(100))
    with pytest.raises(WrongAnswer, match="content integrity"):
        sink.write([bad], tag)
    assert not list(pinned_batches(api, tag))


@pytest.mark.parametrize("size", [1000, 3 * CHUNK_BYTES])
def test_a_file_that_changed_after_it_was_hashed_is_told(sink: IpfsSink, tag: str, tmp_path: Path, size: int) -> None:
    blob = record(fresh(size), tmp_path / "blob")
    (tmp_path / "blob").write_bytes(b"shorter")
    with pytest.raises(SiteUnreadable, match="changed"):
        sink.write([blob], tag)
    (tmp_path / "blob").unlink()
    with pytest.raises(SiteUnreadable, match="can't be read"):
        sink.write([blob], tag)


def test_a_lost_block_of_each_kind_is_named(api: KuboApi, sink: IpfsSink, tag: str, tmp_path: Path) -> None:
    small = [record(fresh(100)) for _ in range(20)]
    large = record(fresh(3 * CHUNK_BYTES), tmp_path / "blob")
    sink.write([*small, large], tag)
    root = root_of(api, tag)
    api.unpin(root)
    leaf = Cid.raw(hashlib.sha256((tmp_path / "blob").read_bytes()[CHUNK_BYTES : 2 * CHUNK_BYTES]).digest())
    for cid in (Cid.raw(small[7].digest), leaf):
        api.remove_block(cid)
    broken = {blob.digest: blob.problem for blob in read_back(api, root) if not blob.intact}
    assert broken == {
        small[7].digest: f"block {Cid.raw(small[7].digest)} is missing",
        large.digest: f"block {leaf} is missing",
    }
    assert len(list(read_back(api, root))) == 21


@pytest.mark.parametrize("which", ["small blob", "chunk of a large blob", "node of a large blob"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_block_that_rotted_on_the_disk_of_the_node_is_found(
    api: KuboApi, sink: IpfsSink, tag: str, which: str, place: float
) -> None:
    small, large = record(fresh(1000)), record(fresh(3 * CHUNK_BYTES))
    sink.write([small, large], tag)
    assert isinstance(large.body, bytes)
    victims = {
        "small blob": (small, Cid.raw(small.digest)),
        "chunk of a large blob": (large, Cid.raw(hashlib.sha256(large.body[:CHUNK_BYTES]).digest())),
        "node of a large blob": (large, predict(large).cid),
    }
    damaged, cid = victims[which]
    file = stored_file(Path(api.facts().repo_path), cid)
    whole = file.read_bytes()
    rotten = bytearray(whole)
    rotten[int(len(rotten) * place)] ^= 0xFF
    file.write_bytes(rotten)
    try:
        assert {b.digest: b.intact for b in read_back(api, root_of(api, tag))} == {
            small.digest: damaged is not small,
            large.digest: damaged is not large,
        }
        assert not read_blob(api, damaged.digest, predict(damaged).cid).intact
    finally:
        file.write_bytes(whole)


def stored_file(repo: Path, cid: Cid) -> Path:
    """Where flatfs keeps a block: under its multihash in base32."""
    name = base64.b32encode(b"\x12\x20" + cid.digest).decode().rstrip("=")
    return repo / "blocks" / name[-3:-1] / f"{name}.data"


def test_a_batch_that_lost_a_block_is_settled_as_absent_and_mended_by_writing_it_again(
    api: KuboApi, sink: IpfsSink, tag: str
) -> None:
    batch = [record(fresh(100)) for _ in range(3)]
    sink.write(batch, tag)
    root = root_of(api, tag)
    api.unpin(root)
    api.remove_block(Cid.raw(batch[1].digest))
    with pytest.raises(BlockMissing):
        api.pin(root, tag)
    assert [one.fate for one in sink.settle(wanted(batch), tag)] == [Fate.ABSENT] * 3
    sink.write(batch, tag)
    assert all(blob.intact for blob in read_back(api, root))


def test_a_lost_manifest_is_told_and_can_be_undone(api: KuboApi, sink: IpfsSink, tag: str) -> None:
    batch = [record(fresh(100))]
    sink.write(batch, tag)
    root = root_of(api, tag)
    stored_file(Path(api.facts().repo_path), root).unlink()
    with pytest.raises(ManifestLost):
        list(read_back(api, root))
    assert [one.fate for one in sink.settle(wanted(batch), tag)] == [Fate.ABSENT]
    assert sink.remove(wanted(batch), tag) == [Removal.GONE]
    assert not list(pinned_batches(api, tag))


def test_an_archive_names_its_root_first_and_has_the_announced_length(tag: str, tmp_path: Path) -> None:
    archive = BatchArchive.plan(mixed(tmp_path), tag)
    whole = b"".join(archive.pieces())
    assert len(whole) == archive.size_bytes
    assert whole.startswith(header([archive.root]))
    assert whole == b"".join(BatchArchive.plan(mixed_again(archive), tag).pieces())


def mixed_again(archive: BatchArchive) -> list[Record]:
    return [*archive.small, *(r for r, _ in archive.large)]
