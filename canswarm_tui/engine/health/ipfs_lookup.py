"""One CID, or one blob by its v1 hash, in this node's own store: pinned how, whole, and of the right bytes."""

from __future__ import annotations

import hashlib
from contextlib import closing

from canswarm_tui.engine.errors import EngineError, SettingsError
from canswarm_tui.engine.health.condition import section
from canswarm_tui.engine.health.facts import Section
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v1.blobs import blob_exists
from canswarm_tui.engine.v1.envelope import is_blob_name
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.ipfs_reader import read_blob
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.kubo_errors import BlockDamaged, BlockMissing


def look_up(settings: Settings, cid_or_hash: str) -> tuple[Section, ...]:
    """All about one CID (version 1, base32) or blob (64 hex digits). Raises `EngineError`."""
    text = cid_or_hash.strip()
    cid, known_as = _cid(settings, text)
    with KuboApi(settings.ipfs) as api:
        pin = api.pin_of(cid)
        try:
            blocks = api.dag_stat(cid)
            here, size, count = "yes", blocks.size_bytes, blocks.count
        except (BlockMissing, BlockDamaged) as exc:
            here, size, count = f"no: {exc.happened}", None, None
        content = _content(settings, api, cid, text if is_blob_name(text) else known_as)
    return (
        section(
            "CID", CID=str(cid), codec=cid.codec.name.lower().replace("_", "-"), all_blocks_here=here, blocks=count,
            size_bytes=size, pinned=pin or "not pinned: a garbage collection takes it",
        ),
        content,
    )  # fmt: skip


def _cid(settings: Settings, text: str) -> tuple[Cid, str]:
    """The CID, and the v1 hash that it must have where that is known without reading."""
    if is_blob_name(text):
        return _place(settings, text) or Cid.raw(bytes.fromhex(text)), text
    try:
        cid = Cid.parse(text)
    except ValueError as exc:
        remedy = "give a CIDv1 in base32 (`ipfs cid base32 …`) or a v1 hash of 64 lower-case hex digits"
        raise SettingsError(shown(text, 100), "it is neither a CID that we use nor a v1 hash", remedy) from exc
    return cid, cid.digest.hex() if cid.codec is Codec.RAW else ""


def _place(settings: Settings, name: str) -> Cid | None:
    """Where the journal says that a blob went: a large one has a CID that its hash doesn't tell."""
    if settings.site.root is None or not place_of(settings).journal.is_file():
        return None
    try:
        with closing(Journal.observe(place_of(settings).journal)) as journal:
            receipt = journal.step("blobs-ipfs").receipt(name.encode())
        return None if receipt is None or not receipt.place else Cid.parse(receipt.place)
    except (EngineError, ValueError):
        return None


def _content(settings: Settings, api: KuboApi, cid: Cid, name: str) -> Section:
    if cid.codec is Codec.DAG_CBOR:
        return section("content", what="a list of links, such as the manifest of a batch; no blob")
    if not name:
        name = _hash_of(api, cid)
    if not is_blob_name(name):
        return section("content", v1_hash=None, problem=name)
    read = read_blob(api, bytes.fromhex(name), cid)
    in_site = None if settings.site.root is None else "yes" if blob_exists(settings.site.cas_folder, name) else "no"
    return section(
        "content", v1_hash=name, size_bytes=read.size, in_the_v1_site=in_site,
        bytes_match="yes" if read.intact else f"no: {read.problem}",
    )  # fmt: skip


def _hash_of(api: KuboApi, cid: Cid) -> str:
    """The SHA-256 of what is under a CID of several blocks, or why it can't be had."""
    sha256 = hashlib.sha256()
    try:
        api.dag_stat(cid)
        for piece in api.cat(cid):
            sha256.update(piece)
    except (BlockMissing, BlockDamaged) as exc:
        return exc.happened
    return sha256.hexdigest()
