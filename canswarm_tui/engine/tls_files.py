"""Certificates, keys and credentials that the settings name: each is looked at before anything is begun.

Each client library tells an unfit file in its own way, some as a server that is away, and some only in mid-run.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown

_CREDENTIALS = "-----BEGIN NATS USER JWT-----"


def require_files(settings: Settings) -> None:
    """Raise `SettingsError` for the first file that can't be read or is not what its setting wants."""
    site, etcd = settings.site, settings.etcd
    for name, ca in (
        ("site.redis_ca", site.redis_ca), ("site.nats_ca", site.nats_ca), ("etcd.ca", etcd.ca),
        ("s3.ca", settings.s3.ca), ("ipfs.ca", settings.ipfs.ca), ("opa.ca", settings.opa.ca),
    ):  # fmt: skip
        if ca is not None:
            _require(name, ca, _authority, "name the PEM file of the authority that signed the server's certificate")
    for name, cert, key in (
        ("site.redis_cert", site.redis_cert, site.redis_key), ("site.nats_cert", site.nats_cert, site.nats_key),
        ("etcd.cert", etcd.cert, etcd.key),
    ):  # fmt: skip
        if cert is not None:
            other = name.replace("_cert", "_key").replace(".cert", ".key")
            if key is not None:
                _require(other, key, _readable, f"name the PEM file of the key of {name}")
            with_key = lambda path, key=key: _pair(path, key)  # noqa: E731 - bound to this round's key
            _require(name, cert, with_key, f"name the client certificate (PEM), and in {other} its key, unencrypted")
    if site.nats_creds is not None:
        _require("site.nats_creds", site.nats_creds, _credentials, "name the file that `nsc generate creds` wrote")


def _require(name: str, path: Path, look: Callable[[Path], None], remedy: str) -> None:
    try:
        look(path)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) else _unfit(exc)
        raise SettingsError(f"{name} = {shown(str(path))}", f"the file can't be used: {why}", remedy) from exc


def _unfit(exc: Exception) -> str:
    """In words; OpenSSL does not always give a reason for what it can't read."""
    if not isinstance(exc, ssl.SSLError):
        return str(exc)
    reason = f" ({exc.reason.lower().replace('_', ' ')})" if exc.reason else ""
    return f"it does not hold what is wanted{reason}"


def _readable(path: Path) -> None:
    path.read_bytes()


def _authority(path: Path) -> None:
    _readable(path)
    ssl.create_default_context(cafile=str(path))


def _pair(path: Path, key: Path | None) -> None:
    _readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Without a password of ours OpenSSL would ask the terminal for one.
    context.load_cert_chain(path, key, password=lambda: b"")


def _credentials(path: Path) -> None:
    if _CREDENTIALS not in path.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"it has no line {_CREDENTIALS}")
