"""Objects of one bucket by signed requests: streamed bodies with announced hashes, create-only, exact versions.

minio-py's object calls are not used for this: they can't stream a body whose hash is known and turn `If-None-Match`
into metadata. Its signer and the client's pool, with their time-outs, are.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from minio.credentials.credentials import Credentials
from minio.error import InvalidResponseError, S3Error
from minio.signer import sign_v4_s3
from minio.time import to_amz_date, utcnow
from urllib3 import BaseHTTPResponse

from canswarm_tui.engine.changes import NAME_CHARS, span, tell_change
from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.settings import reveal
from canswarm_tui.engine.v2.s3_client import SHA256_HEADER, TAG_HEADER, S3Client
from canswarm_tui.engine.v2.s3_errors import s3_errors
from canswarm_tui.engine.v2.snowball import EXTRACT_HEADER

CHUNK_BYTES = 256 * 1024
MAX_DELETE = 1000
"""Most objects that one bulk delete may name."""
_MAX_ERROR_BYTES = 64 * 1024
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_BINARY = {"Content-Type": "application/octet-stream"}

Body = bytes | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as a listing or its headers show it; `tag` and `sha256` are ours, None where there is none or the
    server does not tell."""

    name: str
    size: int
    etag: str
    tag: str | None = None
    sha256: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing in the order of names; `following` asks for the next, None at the end."""

    objects: tuple[Seen, ...]
    following: str | None


@dataclass(frozen=True, slots=True)
class NotDeleted:
    name: str
    code: str
    message: str


class S3Objects:
    """The objects of `client`'s bucket; usable from several threads."""

    def __init__(self, client: S3Client) -> None:
        self.client = client
        settings = client.settings
        self.base_url = f"{'https' if settings.tls else 'http'}://{settings.host}"
        self._signer = Credentials(reveal(settings.access_key) or "", reveal(settings.secret_key) or "")

    def put_new(self, name: str, body: Body, size: int, digest: bytes, metadata: Mapping[str, str]) -> bool:
        """Create an object; False if one is there. The server checks the SHA-256; an iterable gives `size` bytes."""
        headers = {
            **_BINARY, **metadata, "Content-Length": str(size), "If-None-Match": "*",
            "x-amz-checksum-sha256": b64encode(digest).decode(),
        }  # fmt: skip
        return self._call("PUT", name, headers=headers, body=body, sha256=digest.hex(), expected=(412,)).status == 200

    def put_over(self, name: str, body: bytes, metadata: Mapping[str, str], etag: str) -> bool:
        """Replace the object that has this ETag; False, with nothing written, if another one is there by now."""
        digest = hashlib.sha256(body)
        headers = {
            **_BINARY, **metadata, "Content-Length": str(len(body)), "If-Match": f'"{etag}"',
            "x-amz-checksum-sha256": b64encode(digest.digest()).decode(),
        }  # fmt: skip
        answer = self._call("PUT", name, headers=headers, body=body, sha256=digest.hexdigest(), expected=(404, 412))
        return answer.status == 200

    def put_snowball(self, archive: bytes, name: str) -> None:
        """Send a tar that MinIO unpacks; success means little: look at what has arrived."""
        headers = {**_BINARY, EXTRACT_HEADER: "true", "Content-Length": str(len(archive))}
        self._call("PUT", name, headers=headers, body=archive, sha256=hashlib.sha256(archive).hexdigest())

    def head(self, name: str) -> Seen | None:
        answer = self._call("HEAD", name, expected=(404,))
        return None if answer.status == 404 else _seen(name, answer.headers)

    @contextmanager
    def get(self, name: str, first_bytes: int | None = None) -> Iterator[tuple[Seen, Iterator[bytes]] | None]:
        """What is there and its content in pieces, to be read inside the block; None if nothing is."""
        headers = {} if first_bytes is None else {"Range": f"bytes=0-{first_bytes - 1}"}
        with s3_errors(self.client.subject):
            answer = self._open("GET", name, headers=headers, expected=(404,))
            try:
                yield None if answer.status == 404 else (_seen(name, answer.headers), answer.stream(CHUNK_BYTES))
                answer.drain_conn()
            finally:
                answer.close() if answer.length_remaining else answer.release_conn()

    def list_page(self, after: str = "", following: str | None = None, prefix: str = "") -> Page:
        """Up to 1,000 objects whose names sort after `after`; MinIO tells their metadata too."""
        query = {"list-type": "2", "max-keys": "1000", "prefix": prefix, "encoding-type": "url", "metadata": "true"}
        if following is not None:
            query["continuation-token"] = following
        elif after:
            query["start-after"] = after
        answer = self._call("GET", query=query)
        return _page(self._xml(answer.data))

    def delete_many(self, objects: Sequence[Seen]) -> list[NotDeleted]:
        """Delete at most `MAX_DELETE` objects, each in the version that was seen; what the server did not delete."""
        assert len(objects) <= MAX_DELETE
        versions = [f"<VersionId>{escape(o.version)}</VersionId>" if o.version else "" for o in objects]
        wanted = (f"<Object><Key>{escape(o.name)}</Key>{v}</Object>" for o, v in zip(objects, versions, strict=True))
        body = f"<Delete><Quiet>true</Quiet>{''.join(wanted)}</Delete>".encode()
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"Content-Length": str(len(body)), "Content-MD5": md5}
        sha256 = hashlib.sha256(body).hexdigest()
        answer = self._call("POST", query={"delete": ""}, headers=headers, body=body, sha256=sha256)
        errors = _children(self._xml(answer.data), "Error")
        kept = {_text(e, "Key") for e in errors}
        if gone := [o.name.encode() for o in objects if o.name not in kept]:
            tell_change(self.client.subject, f"POST delete {span(gone)}")
        return [NotDeleted(_text(e, "Key"), _text(e, "Code"), _text(e, "Message")) for e in errors]

    def _call(self, method: str, name: str = "", **request: Any) -> BaseHTTPResponse:
        with s3_errors(self.client.subject):
            answer = self._open(method, name, **request)
            assert answer.data is not None  # reads it whole, which gives the connection back
            return answer

    def _open(
        self,
        method: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        sha256: str = _EMPTY_SHA256,
        expected: tuple[int, ...] = (),
    ) -> BaseHTTPResponse:
        settings = self.client.settings
        path = f"/{settings.bucket}" + (f"/{quote(name, safe='/-_.~')}" if name else "")
        asked = "&".join(f"{key}={quote(value, safe='-_.~')}" for key, value in sorted((query or {}).items()))
        url, now = f"{self.base_url}{path}" + (f"?{asked}" if asked else ""), utcnow()
        own = {"Host": settings.host, "x-amz-content-sha256": sha256, "x-amz-date": to_amz_date(now)}
        signed = sign_v4_s3(
            method=method, url=urlsplit(url), region=settings.region, headers={**(headers or {}), **own},
            credentials=self._signer, content_sha256=sha256, date=now,
        )  # fmt: skip
        answer = self.client.pool.urlopen(
            method, url, body=cast(Any, body), headers=signed, preload_content=False, redirect=False
        )
        if method == "PUT":
            size = int((headers or {}).get("Content-Length", 0))
            tell_change(self.client.subject, f"PUT {quote(name)[:NAME_CHARS]}, {size:,} bytes: HTTP {answer.status}")
        if answer.status in (200, 204, 206, *expected) and not (answer.status == 404 and _no_bucket(answer)):
            return answer
        raise _refusal(answer)

    def _xml(self, body: bytes) -> ElementTree.Element:
        try:
            root = ElementTree.fromstring(body)  # noqa: S314 - the operator's own server; expat limits expansion
        except ElementTree.ParseError as exc:
            raise WrongAnswer(
                self.client.subject, "its answer is not XML", "check s3.endpoint: is it an S3 server?"
            ) from exc
        if _local(root) == "Error":
            with s3_errors(self.client.subject):
                raise _s3_error(None, root)
        return root


def _no_bucket(answer: BaseHTTPResponse) -> bool:
    return b"NoSuchBucket" in answer.data


def _refusal(answer: BaseHTTPResponse) -> Exception:
    """The exception that minio-py would raise, so that one table decides about all of them."""
    told = answer.data[:_MAX_ERROR_BYTES]
    try:
        return _s3_error(answer, ElementTree.fromstring(told))  # noqa: S314 - see above
    except ElementTree.ParseError:
        kind = answer.headers.get("content-type")
        return InvalidResponseError(answer.status, kind, told.decode(errors="replace")[:300])


def _s3_error(answer: BaseHTTPResponse | None, root: ElementTree.Element) -> Exception:
    response = cast(BaseHTTPResponse, answer if answer is not None else SimpleNamespace(status=200))
    return S3Error(response, _text(root, "Code"), _text(root, "Message"), None, None, None)


def _seen(name: str, headers: Mapping[str, str]) -> Seen:
    total = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "0")
    etag = headers.get("etag", "").strip('"')
    return Seen(
        name, int(total), etag, headers.get(TAG_HEADER), headers.get(SHA256_HEADER), headers.get("x-amz-version-id")
    )


def _page(root: ElementTree.Element) -> Page:
    encoded = _text(root, "EncodingType") == "url"
    objects = []
    for one in _children(root, "Contents"):
        ours = {_local(m).lower(): m.text for group in _children(one, "UserMetadata") for m in group}
        name = unquote_plus(_text(one, "Key")) if encoded else _text(one, "Key")
        size, etag = int(_text(one, "Size") or 0), _text(one, "ETag").strip('"')
        objects.append(Seen(name, size, etag, ours.get(TAG_HEADER), ours.get(SHA256_HEADER)))
    more = _text(root, "IsTruncated").lower() == "true"
    return Page(tuple(objects), _text(root, "NextContinuationToken") if more else None)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if _local(child) == name]


def _text(element: ElementTree.Element, name: str) -> str:
    found = _children(element, name)
    return (found[0].text or "") if found else ""
