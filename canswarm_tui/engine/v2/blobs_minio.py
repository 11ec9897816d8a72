"""Blobs into an S3 bucket: created where absent, never overwritten, each with the tag of the batch that made it.

What is there is looked at before, because MinIO's snowball overwrites and promises little; what it wrote is looked at
again after, because it answers 200 to a tar that was cut. That the content is right is not shown here but by the
verification, which reads everything back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from canswarm_tui.engine.errors import Defect, Refused, SiteUnreadable, Unreachable
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Wanted
from canswarm_tui.engine.text import counted
from canswarm_tui.engine.v2.in_order import in_order
from canswarm_tui.engine.v2.s3_client import SHA256_HEADER, TAG_HEADER, S3Client
from canswarm_tui.engine.v2.s3_objects import CHUNK_BYTES, MAX_DELETE, S3Objects, Seen
from canswarm_tui.engine.v2.snowball import MEMBER_LIMIT_BYTES, pack

EXISTING_BYTES = 4096
"""How much of a conflicting object is shown."""
HEADS_A_PAGE = 85
"""A listing page of 1,000 names costs as much as about this many single looks."""


class BlobSink:
    """A `Sink`; keys are v1 hashes in hexadecimal and become the objects' names.

    `snowball`: small blobs travel in archives that the server unpacks; say so only after `supports_snowball`.
    """

    max_records = 2000
    max_bytes = 16 * 1024 * 1024

    def __init__(self, client: S3Client, *, workers: int = 8, snowball: bool = False) -> None:
        self._objects = S3Objects(client)
        self._subject = client.subject
        self._workers = workers
        self._snowball = snowball

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        """Create what is absent. PRESENT and CONFLICT are judged by reading what is there.

        Raises, besides the server's errors, Unreachable where an archive did not arrive whole, SiteUnreadable where
        a file has changed since it was hashed.
        """
        wanted = {record.key: Wanted(record.key, record.digest, record.size) for record in batch}
        seen = self._look(list(wanted.values()))
        landed = self._judge([w for key, w in wanted.items() if key in seen], seen)
        absent = [record for record in batch if record.key not in landed]
        small = [r for r in absent if self._snowball and r.size <= MEMBER_LIMIT_BYTES]
        alone = [r for r in absent if not (self._snowball and r.size <= MEMBER_LIMIT_BYTES)]
        if small:
            landed |= self._write_together(small, tag)
        landed |= {one.key: one for one in in_order(lambda r: self._write_alone(r, tag), alone, self._workers)}
        return [landed[record.key] for record in batch]

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:
        """CREATED where an object of the wanted size carries this tag; PRESENT only after reading it."""
        seen = self._look(batch)
        there = [w for w in batch if w.key in seen]
        landed = self._judge([w for w in there if not _made_by(seen[w.key], w, tag)], seen, tag)
        return [landed.get(w.key) or Landed(w.key, Fate.CREATED if w.key in seen else Fate.ABSENT) for w in batch]

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:
        """Delete the objects that carry this tag and are of the wanted size and hash, in the version that was seen.

        KEPT: somebody else wrote it, or a retention protects it.
        """
        found = dict(zip([w.key for w in batch], in_order(self._head, batch, self._workers), strict=True))
        ours = [seen for w in batch if (seen := found[w.key]) is not None and _made_by(seen, w, tag)]
        kept: set[str] = set()
        for at in range(0, len(ours), MAX_DELETE):
            for left in self._objects.delete_many(ours[at : at + MAX_DELETE]):
                if "WORM" not in left.message and left.code != "ObjectLocked":
                    happened = f"{left.name} was not deleted ({left.code}: {left.message})"
                    raise Refused(self._subject, happened, "let this key delete in the bucket, then undo again")
                kept.add(left.name)
        gone_now = {seen.name for seen in ours} - kept
        return [
            Removal.GONE if found[w.key] is None else Removal.REMOVED if w.key.decode() in gone_now else Removal.KEPT
            for w in batch
        ]

    def fetch(self, key: bytes) -> tuple[bytes, str] | None:
        """(whole content, ETag) of what is there now, or None; for one object that a person looks at."""
        with self._objects.get(key.decode()) as found:
            if found is None:
                return None
            seen, pieces = found
            return b"".join(pieces), seen.etag

    def replace(self, key: bytes, content: bytes, etag: str, tag: str = "") -> bool:
        """Put `content` over the object with this ETag; only where a person decided so. False if it has changed.

        With a tag it becomes an object of ours, without one it is somebody's again.
        """
        metadata = {TAG_HEADER: tag, SHA256_HEADER: hashlib.sha256(content).hexdigest()} if tag else {}
        return self._objects.put_over(key.decode(), content, metadata, etag)

    def create(self, key: bytes, content: bytes) -> bool:
        """Put `content` back as somebody's, without a tag; False, with nothing written, where an object is by now."""
        return self._objects.put_new(key.decode(), content, len(content), hashlib.sha256(content).digest(), {})

    def _write_together(self, records: Sequence[Record], tag: str) -> dict[bytes, Landed]:
        contents = {r.key: _content(r) for r in records}
        members = ((r.key.decode(), contents[r.key], _metadata(r, tag)) for r in records)
        self._objects.put_snowball(pack(members), f"{tag}.tar")
        seen = self._look(records)
        missing = [r for r in records if r.key not in seen]
        if missing:
            raise Unreachable(
                self._subject,
                f"it accepted an archive of {counted(len(records), 'blob')}, {len(missing):,} of them are not there",
                "see whether something between here and the server cuts requests",
            )
        other = [r for r in records if seen[r.key].etag != _md5(contents[r.key])]
        # An encrypted bucket has ETags that are no MD5: then reading tells.
        judged = self._judge([Wanted(r.key, r.digest, r.size) for r in other], seen, tag)
        return {r.key: judged.get(r.key) or Landed(r.key, Fate.CREATED) for r in records}

    def _write_alone(self, record: Record, tag: str) -> Landed:
        name, metadata = _name(record), _metadata(record, tag)
        body = _content(record) if isinstance(record.body, bytes) else _pieces(record, record.body)
        if self._objects.put_new(name, body, record.size, record.digest, metadata):
            return Landed(record.key, Fate.CREATED)
        return self._judge_one(Wanted(record.key, record.digest, record.size))

    def _look(self, batch: Sequence[Wanted] | Sequence[Record]) -> dict[bytes, Seen]:
        """What is there of the batch: listed while that is cheaper than asking one by one."""
        keys = sorted(one.key for one in batch)
        if not keys:
            return {}
        asked = set(keys)
        found: dict[bytes, Seen] = {}
        after, following = keys[0][:-1].decode(), None
        for _ in range(1 + len(keys) // HEADS_A_PAGE):
            page = self._objects.list_page(after, following)
            found |= {key: one for one in page.objects if (key := one.name.encode()) in asked}
            following = page.following
            reached = page.objects[-1].name.encode() if page.objects else b""
            if following is None or reached >= keys[-1]:
                return found
        rest = [key for key in keys if key > reached]
        heads = in_order(self._head_key, rest, self._workers)
        return found | {key: seen for key, seen in zip(rest, heads, strict=True) if seen is not None}

    def _head(self, one: Wanted) -> Seen | None:
        return self._head_key(one.key)

    def _head_key(self, key: bytes) -> Seen | None:
        return self._objects.head(key.decode())

    def _judge(self, batch: Sequence[Wanted], seen: Mapping[bytes, Seen], tag: str = "") -> dict[bytes, Landed]:
        judged = in_order(lambda w: self._judge_one(w, tag, seen[w.key].size), batch, self._workers)
        return {one.key: one for one in judged}

    def _judge_one(self, wanted: Wanted, tag: str = "", size: int | None = None) -> Landed:
        """Read what is there and compare; where its size differs already, only its beginning is read."""
        other_size = size is not None and size != wanted.size
        hasher = hashlib.sha256()
        begin = b""
        first_bytes = EXISTING_BYTES if other_size and size else None
        with self._objects.get(wanted.key.decode(), first_bytes) as found:
            if found is None:
                happened = f"{wanted.key.decode()} was removed while it was looked at"
                raise Unreachable(self._subject, happened, "see who else changes this bucket")
            seen, pieces = found
            for piece in pieces:
                hasher.update(piece)
                begin += piece[: EXISTING_BYTES - len(begin)]
        if other_size or hasher.digest() != wanted.digest:
            return Landed(wanted.key, Fate.CONFLICT, existing=begin)
        return Landed(wanted.key, Fate.CREATED if tag and seen.tag == tag else Fate.PRESENT)


def _made_by(seen: Seen, wanted: Wanted, tag: str) -> bool:
    return seen.tag == tag and seen.size == wanted.size and seen.sha256 == wanted.digest.hex()


def _name(record: Record) -> str:
    name = record.digest.hex()
    if record.key != name.encode():
        raise Defect(repr(record.key), "a blob's key is not its hash", "report this with the log")
    return name


def _metadata(record: Record, tag: str) -> dict[str, str]:
    return {TAG_HEADER: tag, SHA256_HEADER: _name(record)}


def _content(record: Record) -> bytes:
    content = record.body if isinstance(record.body, bytes) else b"".join(_pieces(record, record.body))
    if len(content) != record.size or hashlib.sha256(content).digest() != record.digest:
        raise Defect(repr(record.key), "a blob's content is not what was hashed", "report this with the log")
    return content


def _pieces(record: Record, path: Path) -> Iterator[bytes]:
    """The file in pieces; the last is given only if the whole is what was hashed, so nothing else can be stored."""
    hasher = hashlib.sha256()
    left = record.size
    try:
        with path.open("rb") as file:
            held = b""
            while piece := file.read(CHUNK_BYTES):
                hasher.update(piece)
                left -= len(piece)
                if left < 0:
                    break
                if held:
                    yield held
                held = piece
    except OSError as exc:
        raise SiteUnreadable(str(path), f"it can't be read ({exc.strerror})", "see why, then run again") from exc
    if left or hasher.digest() != record.digest:
        raise SiteUnreadable(str(path), "it changed after it was hashed", "freeze v1, then run the step again")
    yield held


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
