from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from canswarm_tui.engine.records import Record
from canswarm_tui.engine.v1 import blobs
from canswarm_tui.engine.v1.blobs import Blob, BlobFault, Oddity, blob_path, inventory, load, size_class, walk


def put(cas: Path, content: bytes, name: str | None = None) -> str:
    name = name or sha256(content).hexdigest()
    blob_path(cas, name).parent.mkdir(parents=True, exist_ok=True)
    blob_path(cas, name).write_bytes(content)
    return name


def faults(found: list[Blob | Oddity]) -> dict[str, BlobFault]:
    return {item.path: item.fault for item in found if isinstance(item, Oddity)}


def names(found: list[Blob | Oddity]) -> list[str]:
    return [item.name for item in found if isinstance(item, Blob)]


def test_a_real_content_store_is_sound_and_sorted(v1_site: Path) -> None:
    found = list(inventory(v1_site / ".cas"))
    assert faults(found) == {}
    assert len(found) == 57
    assert names(found) == sorted(names(found)) == names(list(walk(v1_site / ".cas")))
    assert sum(blob.size for blob in found) == sum(
        path.stat().st_size for path in (v1_site / ".cas").rglob("*") if path.is_file()
    )


def test_everything_that_is_no_sound_blob_is_named(tmp_path: Path) -> None:
    cas = tmp_path / ".cas"
    good = put(cas, b"good")
    home = blob_path(cas, good).parent
    rotten = put(cas, b"rotten", sha256(b"fresh").hexdigest())
    (home / "tmpab12").write_bytes(b"half")
    (home / "README").write_bytes(b"")
    (home / good.upper()).write_bytes(b"good")
    lost = sha256(b"lost").hexdigest()
    (home / lost).write_bytes(b"lost")
    link = sha256(b"link").hexdigest()
    blob_path(cas, link).parent.mkdir(parents=True)
    blob_path(cas, link).symlink_to(home / good)
    folder = sha256(b"folder").hexdigest()
    blob_path(cas, folder).mkdir(parents=True)
    pipe = sha256(b"pipe").hexdigest()
    blob_path(cas, pipe).parent.mkdir(parents=True)
    os.mkfifo(blob_path(cas, pipe))
    (cas / "md5").mkdir()
    (cas / "sha256" / "zz").mkdir()
    (cas / "sha256" / "stray").write_bytes(b"x")
    (home.parent / "xyz").mkdir()
    os.close(os.open(os.fsencode(home) + b"/\xff\xfe", os.O_CREAT))

    def short(path: Path) -> str:
        return str(path.relative_to(cas))

    expected = {
        short(blob_path(cas, rotten)): BlobFault.WRONG_HASH,
        short(home / "tmpab12"): BlobFault.LEFTOVER,
        short(home / "README"): BlobFault.NOT_A_BLOB,
        short(home / good.upper()): BlobFault.NOT_A_BLOB,
        short(home / lost): BlobFault.WRONG_FOLDER,
        short(blob_path(cas, link)): BlobFault.SYMLINK,
        short(blob_path(cas, folder)): BlobFault.NOT_A_FILE,
        short(blob_path(cas, pipe)): BlobFault.NOT_A_FILE,
        "md5": BlobFault.NOT_A_BLOB,
        "sha256/zz": BlobFault.NOT_A_BLOB,
        "sha256/stray": BlobFault.NOT_A_BLOB,
        short(home.parent / "xyz"): BlobFault.NOT_A_BLOB,
        short(home) + "/\\xff\\xfe": BlobFault.NOT_A_BLOB,
    }
    found = list(inventory(cas, 1))
    assert faults(found) == expected
    assert names(found) == [good]
    walked = list(walk(cas))
    assert names(walked) == sorted([good, rotten])
    assert faults(walked) == {path: fault for path, fault in expected.items() if fault is not BlobFault.WRONG_HASH}
    damaged = next(item for item in found if isinstance(item, Oddity) and item.fault is BlobFault.WRONG_HASH)
    assert sha256(b"rotten").hexdigest() in damaged.happened


def test_what_cant_be_read_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, readable = put(tmp_path, b"secret"), put(tmp_path, b"open")
    real = os.open

    def refusing(path: str | Path, flags: int) -> int:
        if str(path).endswith(secret):
            raise PermissionError(13, "Permission denied")  # root, who may run this, is never refused for real
        return real(path, flags)

    monkeypatch.setattr("canswarm_tui.engine.v1.blobs.os.open", refusing)
    found = list(inventory(tmp_path, 1))
    assert list(faults(found).values()) == [BlobFault.UNREADABLE]
    assert names(found) == [readable]


def test_child_processes_find_the_same_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "_ALONE_UP_TO", 20)
    for at in range(300):
        put(tmp_path, b"%d" % at)
    put(tmp_path, b"rotten", sha256(b"fresh").hexdigest())
    alone = list(inventory(tmp_path, 1))
    assert list(inventory(tmp_path, 2)) == alone
    assert Counter(type(item) for item in alone) == {Blob: 300, Oddity: 1}


def test_stopping_early_leaves_no_child_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "_ALONE_UP_TO", 0)
    for at in range(300):
        put(tmp_path, b"%d" % at)
    found = inventory(tmp_path, 2)
    for _ in range(10):
        next(found)
    found.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("size", [0, 1, blobs._CHUNK_BYTES - 1, blobs._CHUNK_BYTES, blobs._CHUNK_BYTES + 1, 5_000_001])
def test_blobs_of_every_size_are_hashed_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    name = put(tmp_path, content)
    (blob,) = inventory(tmp_path)
    assert isinstance(blob, Blob)
    assert (blob.name, blob.size) == (name, size)
    digest = sha256(content).digest()
    assert load(tmp_path, blob, 10_000_000) == Record(name.encode(), digest, size, content)
    if size:
        assert load(tmp_path, blob, size - 1) == Record(name.encode(), digest, size, blob_path(tmp_path, name))


def test_a_blob_that_rots_or_goes_after_the_walk_is_no_record(tmp_path: Path) -> None:
    name = put(tmp_path, b"content")
    (blob,) = walk(tmp_path)
    assert isinstance(blob, Blob)
    blob_path(tmp_path, name).write_bytes(b"CONTENT")
    for inline in (0, 100):
        rotten = load(tmp_path, blob, inline)
        assert isinstance(rotten, Oddity)
        assert rotten.fault is BlobFault.WRONG_HASH
    blob_path(tmp_path, name).unlink()
    gone = load(tmp_path, blob, 100)
    assert isinstance(gone, Oddity)
    assert gone.fault is BlobFault.UNREADABLE


def test_a_file_that_grows_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = put(tmp_path, b"content")
    real = os.read

    def read_and_grow(fd: int, size: int) -> bytes:
        with blob_path(tmp_path, name).open("ab") as file:
            file.write(b"more")
        return real(fd, 7)

    monkeypatch.setattr("canswarm_tui.engine.v1.blobs.os.read", read_and_grow)
    found = list(inventory(tmp_path, 1))
    assert list(faults(found).values()) == [BlobFault.CHANGED]


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list(inventory(tmp_path / "none")) == list(walk(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (0, "empty"),
        (1, "up to 1 KiB"),
        (1024, "up to 1 KiB"),
        (1025, "up to 64 KiB"),
        (2097152, "up to 2 MiB"),
        (2097153, "larger"),
    ],
)
def test_size_classes_include_their_bound(size: int, name: str) -> None:
    assert size_class(size) == name
