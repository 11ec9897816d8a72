"""A connection to v1's Redis from the settings, and redis-py's exceptions as engine errors, in one place."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ChildDeadlockedError,
    ClusterError,
    DataError,
    IncorrectPolicyType,
    LockError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    PubSubError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
    WatchError,
)
from redis.retry import Retry

from canswarm_tui.engine.errors import (
    Defect,
    EngineError,
    NoSpace,
    Refused,
    SettingsError,
    Unreachable,
    Unready,
    WrongAnswer,
)
from canswarm_tui.engine.settings import SiteSettings, reveal

TIMEOUT_S: Final = 10.0
_EXCEPTIONS: Final = (RedisError, RedisClusterException, ChildDeadlockedError, IncorrectPolicyType, OSError)
"""Every base class that redis-py raises; not all of them are `RedisError`s."""
_CONNECTING: Final = re.compile(r"Error \S+ connecting to .*?\. (.+?)\.?$")
_BUSY_PREFIXES: Final = ("LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN")


def redis_address(site: SiteSettings) -> str:
    """`host:port/database` (or the socket's path) of the site's Redis, without user and password."""
    parts = urlsplit(site.redis_url)
    host = f"{parts.hostname or '127.0.0.1'}:{parts.port or 6379}" if parts.scheme != "unix" else "unix:"
    return f"Redis {host}{parts.path or '/0'}"


def connect_redis(site: SiteSettings, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """A client that answers bytes, times out and never retries by itself. Raises `SettingsError`; connects later."""
    options: dict[str, object] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    if site.redis_user is not None:
        options["username"] = site.redis_user
    if site.redis_password is not None:
        options["password"] = reveal(site.redis_password)
    if site.redis_url.startswith("rediss:"):
        files = {"ssl_ca_certs": site.redis_ca, "ssl_certfile": site.redis_cert, "ssl_keyfile": site.redis_key}
        options |= {name: str(_readable(path)) for name, path in files.items() if path is not None}
    try:
        return redis.Redis.from_url(site.redis_url, **options)
    except ValueError as exc:
        raise SettingsError(
            "site.redis_url", "it is no URL of a Redis", "write redis://HOST:PORT/DATABASE, rediss:// for TLS"
        ) from exc


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as exc:
        remedy = "check site.redis_ca, site.redis_cert and site.redis_key"
        raise SettingsError(str(path), f"the file can't be read ({exc.strerror})", remedy) from exc
    return path


@contextmanager
def redis_errors(subject: str) -> Iterator[None]:
    """Raises the engine's error for any exception of redis-py in the block; `subject` names the server."""
    try:
        yield
    except _EXCEPTIONS as exc:
        raise _translate(subject, exc) from exc


def _translate(subject: str, exc: Exception) -> EngineError:
    if _certificate_refused(exc):
        return Refused(subject, f"TLS failed: {exc}", "check site.redis_ca, site.redis_cert and site.redis_key")
    match exc:
        case AuthenticationError() | AuthorizationError() | NoPermissionError():
            return Refused(subject, str(exc), "check site.redis_user and site.redis_password, and the user's ACL")
        case OutOfMemoryError():
            return NoSpace(subject, str(exc), "give Redis more memory (maxmemory)")
        case BusyLoadingError() | TryAgainError():
            return Unready(subject, str(exc), "wait until Redis is ready")
        case MovedError() | ClusterError() | RedisClusterException():
            return WrongAnswer(subject, str(exc), "v1 uses a single Redis: point site.redis_url at one, not a cluster")
        case ReadOnlyError():
            return Refused(subject, str(exc), "point site.redis_url at the primary, not at a replica")
        case DataError() | WatchError() | LockError() | PubSubError() | ChildDeadlockedError() | IncorrectPolicyType():
            return Defect(subject, f"{type(exc).__name__}: {exc}", "please report this")
        case ResponseError():
            return _answered(subject, str(exc))
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError() | OSError():
            return Unreachable(subject, _why_not(exc), "check that Redis runs, and site.redis_url")
        case _:
            return WrongAnswer(subject, f"{type(exc).__name__}: {exc}", "check that site.redis_url names a Redis")


def _answered(subject: str, message: str) -> EngineError:
    if message.startswith(_BUSY_PREFIXES):
        return Unready(subject, message, "wait until Redis is ready")
    if "DB index" in message:
        return SettingsError(subject, message, "check the database number at the end of site.redis_url")
    if message.startswith(("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")) or "AUTH" in message:
        return Refused(subject, message, "check site.redis_user and site.redis_password")
    return WrongAnswer(subject, message, "check Redis's version and that it is whole")


def _why_not(exc: Exception) -> str:
    """Without the address, which the subject names: `Error 111 connecting to HOST:PORT. Connection refused.`"""
    said = _CONNECTING.match(str(exc))
    return f"no connection ({said.group(1)})" if said else str(exc) or type(exc).__name__


def _certificate_refused(exc: BaseException) -> bool:
    while True:
        if isinstance(exc, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(exc):
            return True
        inner = exc.__cause__ or exc.__context__
        if inner is None:
            return False
        exc = inner
