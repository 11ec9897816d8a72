"""The S3 client: made from settings, with time-outs and without hidden retries."""

from __future__ import annotations

from collections.abc import Iterator

import urllib3
from minio import Minio
from minio.credentials.providers import StaticProvider

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings import S3Settings, reveal
from canswarm_tui.engine.v2.s3_errors import s3_errors

CONNECT_TIMEOUT_S = 5.0
TAG_HEADER = "x-amz-meta-canswarm-tag"
SHA256_HEADER = "x-amz-meta-canswarm-sha256"


class S3Client:
    """One bucket at one endpoint. Thread-safe."""

    def __init__(self, settings: S3Settings, connections: int = 16) -> None:
        access_key, secret_key = reveal(settings.access_key), reveal(settings.secret_key)
        if not access_key or not secret_key:
            name = "CANSWARM_S3__ACCESS_KEY and CANSWARM_S3__SECRET_KEY"
            raise SettingsError("s3.access_key", "no S3 credentials are set", f"set {name}")
        self.settings = settings
        self.bucket = settings.bucket
        self.subject = f"S3 endpoint (MinIO) {settings.endpoint}, bucket {settings.bucket}"
        self.pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=settings.timeout_s),
            retries=urllib3.Retry(0, redirect=0),
            maxsize=connections,
            cert_reqs="CERT_REQUIRED",
            ca_certs=None if settings.ca is None else str(settings.ca),
        )
        self.api = Minio(
            settings.host, access_key=access_key, secret_key=secret_key, secure=settings.tls,
            region=settings.region, http_client=self.pool,
        )  # fmt: skip
        self.credentials = StaticProvider(access_key, secret_key)

    def close(self) -> None:
        self.pool.clear()

    def __enter__(self) -> S3Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def listed(self, after: str = "", prefix: str = "") -> Iterator[tuple[str, int, str]]:
        """(name, size in bytes, ETag without quotes) of every object, sorted by name, from the first past `after`."""
        with s3_errors(self.subject):
            for found in self.api.list_objects(
                self.bucket, prefix=prefix or None, recursive=True, start_after=after or None
            ):
                yield found.object_name, int(found.size or 0), str(found.etag or "").strip('"')
