"""Settings as data: what a site and its target need, validated once.

`load_settings` in `settings_file` reads them (flags over environment over file); nothing else does.
A secret is a `SecretStr`: it prints as stars and must be unwrapped on purpose with `reveal`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

APP = "canswarm-tui"


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def resolve_secret(value: object) -> object:
    """`env:NAME` and `file:PATH` name where a secret is; anything else is the secret itself. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    how, _, where = value.partition(":")
    if how == "env":
        if where not in os.environ:
            raise ValueError(f"the environment has no {where}, which env:{where} names")
        return _not_empty(os.environ[where], f"the variable that env:{where} names")
    if how == "file":
        return _not_empty(_secret_in(where), f"the file that file:{where} names")
    return value


def _secret_in(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror or str(exc) if isinstance(exc, OSError) else "it is no text in UTF-8"
        raise ValueError(f"the file that file:{file} names can't be read: {why}") from exc


def _not_empty(secret: str, named: str) -> str:
    if not secret:
        raise ValueError(f"{named} is empty")
    return secret


def _location(value: object) -> object:
    """A path as people write it: `~` is their home; an empty one would be the working folder and is refused."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ValueError("it is empty: give it a path, or take the setting out")
    try:
        return Path(value).expanduser()
    except RuntimeError as exc:
        raise ValueError(f"nobody's home is known for {value!r}: write the whole path") from exc


Location = Annotated[Path, BeforeValidator(_location)]
Secret = Annotated[SecretStr, BeforeValidator(resolve_secret)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""S3's rules for a bucket's name."""


def reveal(secret: SecretStr | None) -> str | None:
    """The secret itself, or None; the only place where one is unwrapped."""
    return None if secret is None else secret.get_secret_value()


class Group(BaseModel):
    """One table of the settings file; unknown keys are refused, values can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SiteSettings(Group):
    root: Location | None = Field(None, description="folder of the v1 site")
    state_dir: Location | None = Field(
        None, description="v1's SWARM_STATE_DIR, where lamport.json is; default <root>/.state"
    )
    cas_dir: Location | None = Field(None, description="v1's SWARM_CAS_DIR, its content store; default <root>/.cas")
    log_dir: Location | None = Field(None, description="v1's SWARM_LOG_DIR, where swarm.jsonl is; default <root>/logs")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="v1's Redis; rediss:// for TLS; the path is the database"
    )
    redis_user: str | None = Field(None, description="Redis ACL user")
    redis_password: Secret | None = Field(None, description="Redis password")
    redis_ca: Location | None = Field(
        None, description="CA certificate (PEM) that Redis's certificate is checked against"
    )
    redis_cert: Location | None = Field(None, description="client certificate (PEM) for Redis")
    redis_key: Location | None = Field(None, description="key of redis_cert (PEM)")
    nats_url: str = Field("nats://127.0.0.1:4222", description="v1's NATS; tls:// for TLS")
    nats_user: str | None = Field(None, description="NATS user")
    nats_password: Secret | None = Field(None, description="NATS password")
    nats_token: Secret | None = Field(None, description="NATS token")
    nats_creds: Location | None = Field(None, description="NATS credentials file")
    nats_ca: Location | None = Field(
        None, description="CA certificate (PEM) that NATS's certificate is checked against"
    )
    nats_cert: Location | None = Field(None, description="client certificate (PEM) for NATS")
    nats_key: Location | None = Field(None, description="key of nats_cert (PEM)")
    nats_monitor: str | None = Field(
        None, description="NATS's monitoring (such as http://127.0.0.1:8222), where diagnostics count its clients"
    )
    stream: str = Field("THREADS", description="v1's SWARM_STREAM")
    subjects: CommaList = Field(("thread.*.*",), description="v1's SWARM_SUBJECTS, comma-separated")
    test_command: str | None = Field(None, description="how v1's own test suite is run, in test_dir; not set: not run")
    test_dir: Location | None = Field(None, description="the v1 checkout in which test_command runs; default <root>")
    test_timeout_s: float = Field(1800.0, gt=0, description="seconds after which test_command is ended")

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        if value.startswith("unix:///"):
            return value
        _url(value, ("redis", "rediss"), "redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH")
        if re.fullmatch(r"/?|/\d+", urlsplit(value).path) is None:
            raise ValueError("what follows the port is no number of a database: write redis://HOST:PORT/0")
        return value

    @field_validator("nats_monitor")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        return None if value is None else _http_url(value)

    @field_validator("nats_url")
    @classmethod
    def _is_nats(cls, value: str) -> str:
        return _url(value, ("nats", "tls", "ws", "wss"), "nats://HOST:PORT, or tls:// for TLS")

    @field_validator("stream")
    @classmethod
    def _is_stream_name(cls, value: str) -> str:
        if re.fullmatch(r"[^\s.*>/\\]+", value) is None:
            raise ValueError("it is no name of a stream: no spaces, `.`, `*`, `>` or slashes")
        return value

    @property
    def plan_db(self) -> Path:
        return self.require_root() / ".state" / "plan.db"

    @property
    def state_folder(self) -> Path:
        """Where lamport.json lies; the plan store has no override and stays in `<root>/.state`."""
        return self.state_dir or self.require_root() / ".state"

    @property
    def cas_folder(self) -> Path:
        return self.cas_dir or self.require_root() / ".cas"

    @property
    def log_folder(self) -> Path:
        return self.log_dir or self.require_root() / "logs"

    @property
    def env_file(self) -> Path:
        return self.require_root() / ".env"

    @property
    def plan_document(self) -> Path:
        """The one file that is written into the site, where the guide puts it."""
        return self.require_root() / ".state" / "plan_automerge.bin"

    @property
    def plan_partitions(self) -> Path:
        """The folder of the partitioned form of the plan document."""
        return self.require_root() / ".state" / "plan_automerge"

    def require_root(self) -> Path:
        from canswarm_tui.engine.errors import SettingsError

        if self.root is None:
            raise SettingsError(
                "site.root",
                "no v1 site is named",
                "set CANSWARM_SITE__ROOT, use --site, or run `canswarm-tui init`",
            )
        return self.root


class EtcdSettings(Group):
    endpoints: CommaList = Field(
        ("http://127.0.0.1:2379",), description="etcd endpoints with scheme, comma-separated", min_length=1
    )
    user: str | None = Field(None, description="etcd user")
    password: Secret | None = Field(None, description="etcd password")
    ca: Location | None = Field(None, description="CA certificate (PEM); needed for https://")
    cert: Location | None = Field(None, description="client certificate (PEM) for mTLS")
    key: Location | None = Field(None, description="key of cert (PEM)")
    prefix: str = Field("/swarm/decide/", description="where decisions go, as the guide says")
    timeout_s: float = Field(10.0, gt=0, description="seconds for one request")

    @field_validator("endpoints")
    @classmethod
    def _have_schemes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_http_url(one) for one in value)


class S3Settings(Group):
    endpoint: str = Field("http://127.0.0.1:9000", description="S3 endpoint (MinIO), with scheme")
    access_key: Secret | None = Field(None, description="S3 access key")
    secret_key: Secret | None = Field(None, description="S3 secret key")
    bucket: str = Field("swarm-cas", description="bucket for blobs")
    region: str = Field("us-east-1", description="S3 region")
    secure: bool | None = Field(None, description="TLS; default from the endpoint's scheme")
    ca: Location | None = Field(
        None, description="CA certificate (PEM) that the endpoint's certificate is checked against"
    )
    timeout_s: float = Field(60.0, gt=0, description="seconds without an answer before a request is given up")

    @property
    def host(self) -> str:
        """`host:port`, as the client library wants it."""
        return urlsplit(self.endpoint).netloc

    @property
    def tls(self) -> bool:
        return urlsplit(self.endpoint).scheme == "https" if self.secure is None else self.secure

    @field_validator("endpoint")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        return _http_url(value)

    @field_validator("bucket")
    @classmethod
    def _is_bucket_name(cls, value: str) -> str:
        if _BUCKET.fullmatch(value) is None:
            raise ValueError(f"{value!r} is no name of a bucket: 3 to 63 of a-z, 0-9, `-` and `.`")
        return value

    @model_validator(mode="after")
    def _scheme_agrees(self) -> S3Settings:
        https = urlsplit(self.endpoint).scheme == "https"
        if self.secure is not None and self.secure != https:
            raise ValueError(
                f"secure = {str(self.secure).lower()} contradicts endpoint {self.endpoint}: change one of them"
            )
        return self


class IpfsSettings(Group):
    api: str = Field(
        "http://127.0.0.1:5001",
        description="Kubo's RPC API: a URL or a multiaddr such as /ip4/127.0.0.1/tcp/5001",
    )
    token: Secret | None = Field(
        None,
        description="API token (API.Authorizations): `bearer:TOKEN`, `basic:USER:PASSWORD` or a bare bearer token",
    )
    ca: Location | None = Field(None, description="CA certificate (PEM) for https")
    timeout_s: float = Field(60.0, gt=0, description="seconds without an answer before a request is given up")

    @field_validator("api")
    @classmethod
    def _as_url(cls, value: str) -> str:
        return _multiaddr_to_url(value) if value.startswith("/") else _http_url(value)


class OpaSettings(Group):
    url: str = Field("http://127.0.0.1:8181", description="OPA server")
    token: Secret | None = Field(None, description="OPA bearer token")
    ca: Location | None = Field(None, description="CA certificate (PEM) for https")
    timeout_s: float = Field(10.0, gt=0, description="seconds for one request")

    @field_validator("url")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        return _http_url(value)


class PolicySettings(Group):
    version: Literal["v1", "guide"] = Field(
        "v1", description="v1: v1's own policy; guide: the guide's wider limit of 1 MiB"
    )
    rego_dir: Location | None = Field(
        None, description="folder with your own Rego (package swarm.envelope), instead of ours"
    )
    opa_binary: Location | None = Field(
        None, description="the opa program that builds WASM; default: the one on PATH or built by the sandbox"
    )


class BackupSettings(Group):
    dir: Location | None = Field(None, description="where backups are kept; default: in the state folder")
    retention_days: int = Field(30, ge=1, description="days that a backup is kept at least")


class EngineSettings(Group):
    memory_budget_mib: int = Field(
        1024, ge=64, description="memory that the plan document may take; past it, it is partitioned"
    )
    workers: int = Field(8, ge=1, le=64, description="requests in flight to one server")
    give_up_after_s: float = Field(
        60.0, gt=0, description="seconds without any success after which a retried request is given up"
    )
    rate_limit_mib_s: float | None = Field(
        None, gt=0, description="upper bound of copied bytes a second; not set: none"
    )
    rate_limit_records_s: float | None = Field(
        None, gt=0, description="upper bound of copied records a second; not set: none"
    )


class Settings(Group):
    """All settings of one site and its target."""

    site: SiteSettings = SiteSettings()
    etcd: EtcdSettings = EtcdSettings()
    s3: S3Settings = S3Settings()
    ipfs: IpfsSettings = IpfsSettings()
    opa: OpaSettings = OpaSettings()
    policy: PolicySettings = PolicySettings()
    backup: BackupSettings = BackupSettings()
    engine: EngineSettings = EngineSettings()
    state_dir: Location = Field(
        default_factory=lambda: platformdirs.user_state_path(APP),
        description="journal, reports and logs, by site",
    )

    @property
    def backup_folder(self) -> Path:
        return self.backup.dir or self.state_dir / "backups"


def _http_url(value: str) -> str:
    """The URL without its last slash; it is shown wherever its server is named, so it may not hold a password."""
    url = _url(value, ("http", "https"), "http://HOST:PORT or https://HOST:PORT")
    if "@" in urlsplit(url).netloc:
        raise ValueError("it holds a user or a password: set those by their own settings, and here only the address")
    return url.rstrip("/")


def _url(value: str, schemes: tuple[str, ...], example: str) -> str:
    """The URL, if it has one of the schemes and a host; a wrong one isn't repeated where it may hold a password."""
    shown = "it" if "@" in value else repr(value)
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(f"{shown} is not a URL with its scheme: write {example}")
    return value


def _multiaddr_to_url(value: str) -> str:
    parts = value.strip("/").split("/")
    if len(parts) < 4 or parts[0] not in ("ip4", "ip6", "dns", "dns4", "dns6") or parts[2] != "tcp":
        raise ValueError(f"{value!r} is not a multiaddr of an HTTP API: write /ip4/HOST/tcp/PORT, or a URL")
    if parts[4:] not in ([], ["http"], ["https"], ["tls", "http"]):
        raise ValueError(f"{value!r} has parts after the port that are not http or https")
    host = f"[{parts[1]}]" if parts[0] == "ip6" else parts[1]
    scheme = "https" if parts[4:] in (["https"], ["tls", "http"]) else "http"
    return _http_url(f"{scheme}://{host}:{parts[3]}")
