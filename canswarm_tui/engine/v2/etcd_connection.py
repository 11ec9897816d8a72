"""One endpoint: its channel, its log-in, and calls with a deadline whose failures are `EngineError`s.

etcd3 makes the channel; its own log-in is left out because it happens once and for ever, while etcd forgets log-ins
(after five minutes, or at a restart), and because it also sends the token as call credentials, which today's gRPC
refuses on a channel without TLS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings import EtcdSettings, reveal
from canswarm_tui.engine.v2.etcd_errors import NoLogInNeeded, TokenExpired, translated
from canswarm_tui.engine.v2.etcd_stubs import etcd3, rpc

Message = Any
"""A protobuf message of etcd's API; its classes are made at run time, so no type checker knows them."""

ANSWER_LIMIT_BYTES = 256 * 1024 * 1024
_CHANNEL_OPTIONS = (
    # Without these, a server that was away for a minute is looked for again only after two.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # How long one attempt to connect may take; the default of 20 s outlives a server that was frozen meanwhile.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", ANSWER_LIMIT_BYTES),
    # A client's state of connection is its own.
    ("grpc.use_local_subchannel_pool", 1),
    # Trying again is the transfer's business, which shows it.
    ("grpc.enable_retries", 0),
)
_PACKED_TXN = "Txn, packed"
Metadata = tuple[tuple[str, str], ...]


class PendingCall:
    """A call on its way; `result` waits for it, at most until its deadline."""

    def __init__(self, connection: Connection, future: Any, again: Callable[[], Message]) -> None:
        self._connection = connection
        self._future = future
        self._again = again

    def result(self) -> Message:
        try:
            with translated(self._connection.url):
                return self._future.result()
        except TokenExpired:
            # A call that was turned away at the door had no effect.
            return self._again()

    def cancel(self) -> None:
        self._future.cancel()


class Connection:
    """Opened without a word on the network: the first call connects. Usable from several threads at once."""

    def __init__(self, url: str, settings: EtcdSettings) -> None:
        self.url = url
        self._settings = settings
        self._client = _open(url, settings)
        self._methods = _methods(self._client.channel)
        self._mutex = threading.Lock()
        self._metadata: Metadata | None = None if settings.user else ()

    def call(self, method: str, request: Message) -> Message:
        """The answer of `method` (a name such as `Range`), within `timeout_s` of the settings; raises `EngineError`."""
        metadata = self._log_in(None)
        try:
            return self._call(method, request, metadata)
        except TokenExpired:
            return self._call(method, request, self._log_in(metadata))

    def start_txn(self, request: Message) -> PendingCall:
        """A transaction whose answer is waited for later; `request` may be filled anew as soon as this returns."""
        metadata, packed = self._log_in(None), request.SerializeToString()
        with translated(self.url):
            future = self._methods[_PACKED_TXN].future(packed, self._settings.timeout_s, metadata=metadata)
        return PendingCall(self, future, lambda: self._call(_PACKED_TXN, packed, self._log_in(metadata)))

    def watch(self, request: Message, timeout_s: float | None) -> Any:
        """A running watch: iterate it inside `translated(url)`, `cancel` it from any thread."""
        return self._methods["Watch"](iter((request,)), timeout_s, metadata=self._log_in(None))

    def close(self) -> None:
        self._client.close()

    def _call(self, method: str, request: Message, metadata: Metadata) -> Message:
        with translated(self.url):
            return self._methods[method](request, self._settings.timeout_s, metadata=metadata)

    def _log_in(self, stale: Metadata | None) -> Metadata:
        """What proves who we are; a new one if there is none or only `stale`."""
        with self._mutex:
            if self._metadata is None or self._metadata is stale:
                self._metadata = self._authenticate()
            return self._metadata

    def _authenticate(self) -> Metadata:
        request = rpc.AuthenticateRequest(
            name=self._settings.user or "", password=reveal(self._settings.password) or ""
        )
        try:
            return (("token", self._call("Authenticate", request, ()).token),)
        except NoLogInNeeded:
            # As etcdctl does; the preflight says that authentication is off.
            return ()


def _open(url: str, settings: EtcdSettings) -> Any:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise SettingsError(
            "etcd.endpoints", f"{url!r} is not a URL with its scheme", "write http://HOST:PORT or https://HOST:PORT"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    secure = parts.scheme == "https"
    _check_credentials(settings, secure)
    return etcd3.Etcd3Client(
        host=host,
        port=parts.port or 2379,
        ca_cert=_readable("etcd.ca", settings.ca) if secure else None,
        cert_cert=_readable("etcd.cert", settings.cert) if secure else None,
        cert_key=_readable("etcd.key", settings.key) if secure else None,
        timeout=settings.timeout_s,
        grpc_options=_CHANNEL_OPTIONS,
    )


def _check_credentials(settings: EtcdSettings, secure: bool) -> None:
    if secure and settings.ca is None:
        raise SettingsError("etcd.ca", "an https:// endpoint needs the CA certificate", "set CANSWARM_ETCD__CA")
    if not secure and (settings.ca or settings.cert or settings.key):
        raise SettingsError(
            "etcd.endpoints", "certificates are set, but the endpoint is http://", "write https:// or remove them"
        )
    if (settings.cert is None) != (settings.key is None):
        raise SettingsError("etcd.cert", "etcd.cert and etcd.key go together", "set both or none")
    if (settings.user is None) != (settings.password is None):
        raise SettingsError("etcd.user", "etcd.user and etcd.password go together", "set both or none")


def _readable(name: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        path.read_bytes()
    except OSError as exc:
        raise SettingsError(name, f"{path} can't be read ({exc.strerror})", "correct the path or its mode") from exc
    return str(path)


def _methods(channel: Any) -> dict[str, Any]:
    kv, maintenance = rpc.KVStub(channel), rpc.MaintenanceStub(channel)
    return {
        "Range": kv.Range,
        "Txn": kv.Txn,
        # Without a serializer gRPC sends the bytes that it is given.
        _PACKED_TXN: channel.unary_unary("/etcdserverpb.KV/Txn", response_deserializer=rpc.TxnResponse.FromString),
        "DeleteRange": kv.DeleteRange,
        "Put": kv.Put,
        "Watch": rpc.WatchStub(channel).Watch,
        "LeaseGrant": rpc.LeaseStub(channel).LeaseGrant,
        "Status": maintenance.Status,
        "Alarm": maintenance.Alarm,
        "MemberList": rpc.ClusterStub(channel).MemberList,
        "Authenticate": rpc.AuthStub(channel).Authenticate,
        "AuthStatus": rpc.AuthStub(channel).AuthStatus,
    }
