"""What a check wants to know of an S3 endpoint and its bucket before anything is written, and the bucket itself."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass

from minio import MinioAdmin
from minio.error import S3Error

from canswarm_tui.engine.changes import tell_change
from canswarm_tui.engine.errors import Refused, Unready, WrongAnswer
from canswarm_tui.engine.http import OVERLOADED
from canswarm_tui.engine.v2.s3_client import TAG_HEADER, S3Client
from canswarm_tui.engine.v2.s3_errors import s3_errors
from canswarm_tui.engine.v2.s3_objects import S3Objects
from canswarm_tui.engine.v2.snowball import pack

_PROBE = "canswarm-probe-"
_PROBE_NAME = re.compile(rf"{_PROBE}[0-9a-f]{{16}}/(a|b|archive\.tar)")
_NO_LOCK = frozenset({"ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed"})


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """`sampled` objects were looked at, `ours` of them carry a tag of ours, `foreign` no name of a blob."""

    exists: bool
    versioned: bool = False
    locked: bool = False
    sampled: int = 0
    ours: int = 0
    foreign: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`kind` is the Server header; the rest only where MinIO lets this key see it, else None."""

    kind: str
    is_minio: bool
    version: str | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    deployment: str | None = None
    """MinIO's own name for these drives, for as long as they are not formatted anew."""


def server_facts(client: S3Client) -> ServerFacts:
    """Asks without writing; raises Unreachable and the like when nobody answers."""
    with s3_errors(client.subject):
        url = f"{S3Objects(client).base_url}/minio/health/live"
        answer = client.pool.urlopen("GET", url, redirect=False)
    kind = answer.headers.get("server", "")
    if answer.status != 200 or "minio" not in kind.lower():
        return ServerFacts(kind, False)
    try:
        return _admin_facts(client, kind)
    except (Refused, WrongAnswer, ValueError, KeyError):
        return ServerFacts(kind, True)  # an ordinary key may not ask for the server's state


def speaks_s3(client: S3Client) -> bool:
    """Whether a request without a key is answered as S3 answers, with a list or an error in XML; tells no more."""
    with s3_errors(client.subject):
        url = f"{S3Objects(client).base_url}/{client.bucket}?list-type=2&max-keys=1"
        answer = client.pool.urlopen("GET", url, redirect=False)
    if answer.status in OVERLOADED:
        raise Unready(client.subject, f"the server answered {answer.status}", "look at the server's log")
    return b"<ListBucketResult" in answer.data or b"<Code>" in answer.data


def health(client: S3Client, what: str) -> bool:
    """Whether MinIO calls itself `live` or `ready`; False as well where the server is no MinIO."""
    with s3_errors(client.subject):
        url = f"{S3Objects(client).base_url}/minio/health/{what}"
        return bool(client.pool.urlopen("GET", url, redirect=False).status == 200)


def bucket_facts(client: S3Client) -> BucketFacts:
    """Asks without writing."""
    with s3_errors(client.subject):
        if not client.api.bucket_exists(client.bucket):
            return BucketFacts(False)
    versioned, locked = _versioned(client), _locked(client)
    page = S3Objects(client).list_page()
    ours = sum(one.tag is not None for one in page.objects)
    foreign = sum(not is_blob_name(one.name) for one in page.objects)
    return BucketFacts(True, versioned, locked, len(page.objects), ours, foreign, page.following is not None)


def ensure_bucket(client: S3Client) -> bool:
    """Create the bucket if it is absent; True if this call created it."""
    with s3_errors(client.subject):
        if client.api.bucket_exists(client.bucket):
            return False
        client.api.make_bucket(client.bucket)
        tell_change(client.subject, f"made the bucket {client.bucket}")
        return True


def remove_empty_bucket(client: S3Client) -> bool:
    """Remove the bucket; False if it is not empty or not there."""
    with s3_errors(client.subject):
        try:
            client.api.remove_bucket(client.bucket)
            tell_change(client.subject, f"removed the empty bucket {client.bucket}")
        except S3Error as exc:
            if exc.code in ("BucketNotEmpty", "NoSuchBucket"):
                return False
            raise
        return True


def supports_snowball(client: S3Client) -> bool:
    """Writes an archive of two objects under a prefix of its own, looks what became of it, and removes all of it."""
    objects = S3Objects(client)
    take_probes_away(client)
    prefix = f"{_PROBE}{secrets.token_hex(8)}"
    members = {f"{prefix}/a": b"a", f"{prefix}/b": b"bb"}
    try:
        objects.put_snowball(pack((n, c, {TAG_HEADER: prefix}) for n, c in members.items()), f"{prefix}/archive.tar")
        found = {one.name: objects.head(one.name) for one in objects.list_page(prefix=f"{prefix}/").objects}
        return found.keys() == members.keys() and all(
            one is not None
            and one.tag == prefix
            and one.etag == hashlib.md5(members[name], usedforsecurity=False).hexdigest()
            for name, one in found.items()
        )
    except WrongAnswer:
        return False  # a gateway that does not know the header
    finally:
        take_probes_away(client)


def take_probes_away(client: S3Client) -> None:
    """Delete what probes of ours have written, also one that was killed in the middle; raises `Refused`."""
    objects = S3Objects(client)
    named = [one.name for one in objects.list_page(prefix=_PROBE).objects if _PROBE_NAME.fullmatch(one.name)]
    seen = [one for one in map(objects.head, named) if one is not None]
    # A gateway keeps the archive as it came, without our tag.
    ours = [one for one in seen if one.tag == one.name.partition("/")[0] or one.name.endswith("/archive.tar")]
    for one in objects.delete_many(ours) if ours else []:
        raise Refused(client.subject, f"{one.name} of our own can't be deleted ({one.code})", "delete it")


def is_blob_name(name: str) -> bool:
    """Whether an object's name is a SHA-256 in lower-case hexadecimal."""
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _versioned(client: S3Client) -> bool:
    with s3_errors(client.subject):
        try:
            return str(client.api.get_bucket_versioning(client.bucket).status) == "Enabled"
        except S3Error as exc:
            if exc.code in _NO_LOCK:
                return False
            raise


def _locked(client: S3Client) -> bool:
    with s3_errors(client.subject):
        try:
            client.api.get_object_lock_config(client.bucket)
        except S3Error as exc:
            if exc.code in _NO_LOCK:
                return False
            raise
        return True


def _admin_facts(client: S3Client, kind: str) -> ServerFacts:
    with s3_errors(client.subject):
        admin = MinioAdmin(
            endpoint=client.settings.host,
            credentials=client.credentials,
            region=client.settings.region,
            secure=client.settings.tls,
            http_client=client.pool,
        )
        told = json.loads(admin.info())
    servers = told["servers"]
    drives = [drive for server in servers for drive in server.get("drives", [])]
    free = [drive["availspace"] for drive in drives if "availspace" in drive]
    total = [drive["totalspace"] for drive in drives if "totalspace" in drive]
    return ServerFacts(
        kind, True, servers[0]["version"], sum(free) if free else None, sum(total) if total else None,
        told.get("deploymentID"),
    )  # fmt: skip
