"""One blob three ways: the file in v1's content store, the object in MinIO or the blocks in IPFS, and the receipt."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import Journal, Receipt
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.three_ways.values import Held, held_receipt, held_stream, pairs_of
from canswarm_tui.engine.three_ways.view import Sides
from canswarm_tui.engine.v1.blobs import blob_path
from canswarm_tui.engine.v1.envelope import is_blob_name
from canswarm_tui.engine.v2.blobs_ipfs import pinned_batches, read_manifest
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.decisions import cas_map_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.ipfs_batch import predict
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.kubo_errors import BlockDamaged, BlockMissing, missing_block
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_objects import S3Objects
from canswarm_tui.engine.v2.unixfs import RAW_LIMIT

_CHUNK_BYTES: Final = 1 << 20


def in_minio(settings: Settings, journal: Journal, key: bytes) -> Sides:
    """The site's file, MinIO's object, the receipt of blobs-minio."""
    name = _name(key)
    receipt = held_receipt(journal.step("blobs-minio").receipt(key))
    site, target = _file(settings, name), _object(settings, name)
    return Sides("blob", site, target, receipt, pairs_of(site, target, receipt))


def in_ipfs(settings: Settings, journal: Journal, key: bytes) -> Sides:
    """The site's file, what the node returns under the blob's CID, the receipt of blobs-ipfs."""
    name = _name(key)
    known = journal.step("blobs-ipfs").receipt(key)
    site, receipt = _file(settings, name), held_receipt(known)
    path = blob_path(settings.site.cas_folder, name)
    cid = _cid(key, site, path, known)
    with KuboApi(settings.ipfs) as api:
        target = _blocks(settings, api, name, cid)
        notes = _pinned(api, cid, known, journal.run_id)
    return Sides("blob", site, target, receipt, pairs_of(site, target, receipt), notes)


def _name(key: bytes) -> str:
    name = key.decode("ascii", "backslashreplace")
    if not is_blob_name(name):
        raise SettingsError(shown(key, 200), "it is no SHA-256", "name a blob by its 64 lower-case hex digits")
    return name


def _file(settings: Settings, name: str) -> Held:
    path = blob_path(settings.site.cas_folder, name)
    where = shown(str(path))
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return Held(where, problem="it is no regular file, so it is not migrated")
        with path.open("rb") as file:
            found = held_stream(where, iter(lambda: file.read(_CHUNK_BYTES), b""))
    except (FileNotFoundError, NotADirectoryError):
        return Held(where)
    except OSError as exc:
        return Held(where, problem=f"it can't be read: {exc.strerror or exc}")
    return _judged(found, name)


def _object(settings: Settings, name: str) -> Held:
    where = f"{settings.s3.endpoint}/{settings.s3.bucket}/{name}"
    with S3Client(settings.s3) as client, S3Objects(client).get(name) as found:
        if found is None:
            return Held(where)
        seen, pieces = found
        facts = [f"ETag {shown(seen.etag, 80)}"]
        if seen.tag:
            facts.append(f"made by batch {shown(seen.tag, 80)}")
        return _judged(held_stream(where, pieces, *facts), name)


def _judged(found: Held, name: str) -> Held:
    assert found.digest is not None
    digest = found.digest.hex()
    problem = "" if digest == name else f"its content hashes to {digest}, which is not its name"
    return Held(found.where, found.digest, found.size_bytes, found.excerpt, found.facts, problem)


def _cid(key: bytes, site: Held, path: Path, receipt: Receipt | None) -> Cid:
    """Where the blob must be: as the receipt has it, else as its content foretells, else as one raw block."""
    digest = bytes.fromhex(key.decode())
    if receipt is not None and receipt.place:
        return Cid.parse(receipt.place)
    if site.digest == digest and site.size_bytes > RAW_LIMIT:
        return predict(Record(key, digest, site.size_bytes, path)).cid
    return Cid.raw(digest)


def _blocks(settings: Settings, api: KuboApi, name: str, cid: Cid) -> Held:
    where, facts = f"{settings.ipfs.api}, CID {cid}", [f"CID {cid}"]
    problem = ""
    if cid.codec is not Codec.RAW:
        facts.append("of more than one block")
        problem = _map_fault(settings, name, cid)
    try:
        found = held_stream(where, _pieces(api, cid), *facts)
        if found.digest != bytes.fromhex(name):
            api.dag_stat(cid)  # content with a gap in it just ends early: this tells the missing block
    except BlockMissing as exc:
        lost = missing_block(exc)
        return Held(where) if lost in (None, str(cid)) else Held(where, problem=f"its block {lost} is missing")
    except BlockDamaged as exc:
        return Held(where, problem=f"a block of it is damaged ({exc.happened})")
    judged = _judged(found, name)
    return Held(judged.where, judged.digest, judged.size_bytes, judged.excerpt, judged.facts, judged.problem or problem)


def _pieces(api: KuboApi, cid: Cid) -> Iterable[bytes]:
    return (api.block(cid),) if cid.codec is Codec.RAW else api.cat(cid)


def _map_fault(settings: Settings, name: str, cid: Cid) -> str:
    """v2 looks the CID of a large blob up in etcd: what is wrong there, or nothing."""
    with closing(EtcdClient(settings.etcd)) as client:
        entry = cas_map_sink(client).get(name.encode())
    if entry is None:
        return f"etcd has no CID under /swarm/cas/{name}, so v2 does not find it"
    if entry.value != str(cid).encode():
        return f"etcd says under /swarm/cas/ that its CID is {shown(entry.value, 100)}"
    return ""


def _pinned(api: KuboApi, cid: Cid, receipt: Receipt | None, run_id: str) -> tuple[str, ...]:
    """Whether an archive of this run pins it; asked of the node."""
    if receipt is None or not receipt.batch:
        return ()
    for batch in pinned_batches(api, f"{run_id}-{receipt.batch}"):
        if cid in _held_by(api, batch.root):
            return (f"the pin {batch.tag} holds it, by the archive {batch.root}",)
    return ("no pin of this run holds it: the node's garbage collection may take it away",)


def _held_by(api: KuboApi, root: Cid) -> Iterator[Cid]:
    manifest = read_manifest(api, root)
    return iter(()) if manifest is None else (cid for _, cid in manifest.cids())
