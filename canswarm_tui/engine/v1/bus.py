"""v1's bus: NATS JetStream. Only looked at: v2 keeps the same bus, so nothing of it is migrated."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.errors import AuthorizationError, NoServersError
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from canswarm_tui.engine.errors import Refused, SettingsError, Unreachable
from canswarm_tui.engine.settings import SiteSettings, reveal
from canswarm_tui.engine.v1.nats_creds import read_credentials

T = TypeVar("T")
TIMEOUT_S = 5
_CHECK_LOGIN = "check site.nats_user, site.nats_password, site.nats_token or site.nats_creds"


@dataclass(frozen=True, slots=True)
class BusFacts:
    """What NATS tells of the bus; `stream_exists` False leaves the rest 0."""

    version: str
    jetstream: bool
    stream_exists: bool
    messages: int = 0
    size_bytes: int = 0
    subjects: tuple[str, ...] = ()
    consumers: int = 0


def bus_facts(site: SiteSettings) -> BusFacts:
    """Ask NATS for its version and the stream. Raises `Unreachable` or `Refused`."""
    return _run(_ask(site), site.nats_url)


@dataclass(frozen=True, slots=True)
class StreamState:
    """`first` and `last` are sequence numbers."""

    messages: int
    size_bytes: int
    first: int
    last: int
    consumers: int
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """Messages not yet delivered, delivered and not acknowledged, and the last one delivered."""

    name: str
    pending: int
    ack_pending: int
    delivered: int


@dataclass(frozen=True, slots=True)
class BusCloseUp:
    """The server, the stream (None: not there) and its first consumers."""

    version: str
    server: str
    jetstream: str
    """`yes`, or why not."""
    stream: StreamState | None
    consumers: tuple[ConsumerState, ...]


def bus_close_up(site: SiteSettings, consumers_at_most: int) -> BusCloseUp:
    """Ask NATS for the stream and its consumers. Raises `Unreachable` or `Refused`."""
    return _run(_close_up(site, consumers_at_most), site.nats_url)


async def _close_up(site: SiteSettings, consumers_at_most: int) -> BusCloseUp:
    client = await _connect(site)
    try:
        version, server = (str(client._server_info.get(name, "")) for name in ("version", "server_name"))
        if not client._server_info.get("jetstream"):
            return BusCloseUp(version, server, "no, the server runs without it", None, ())
        jetstream = client.jetstream(timeout=TIMEOUT_S)
        try:
            info = await jetstream.stream_info(site.stream)
        except NotFoundError:
            return BusCloseUp(version, server, "yes", None, ())
        state = info.state
        stream = StreamState(
            state.messages, state.bytes, state.first_seq, state.last_seq, state.consumer_count,
            tuple(info.config.subjects or ()),
        )  # fmt: skip
        found = await jetstream.consumers_info(site.stream)
        consumers = tuple(
            ConsumerState(one.name, one.num_pending or 0, one.num_ack_pending or 0, _sequence(one.delivered))
            for one in found[:consumers_at_most]
        )
        return BusCloseUp(version, server, "yes", stream, consumers)
    finally:
        await client.close()


def _sequence(delivered: Any) -> int:
    return 0 if delivered is None else int(delivered.stream_seq)


async def _ask(site: SiteSettings) -> BusFacts:
    client = await _connect(site)
    try:
        version = str(client._server_info.get("version", ""))
        jetstream = client.jetstream(timeout=TIMEOUT_S)
        try:
            info = await jetstream.stream_info(site.stream)
        except NotFoundError:
            return BusFacts(version, True, False)
        state = info.state
        return BusFacts(
            version, True, True, state.messages, state.bytes, tuple(info.config.subjects or ()), state.consumer_count
        )
    finally:
        await client.close()


async def _connect(site: SiteSettings) -> Client:
    options: dict[str, Any] = {"connect_timeout": TIMEOUT_S, "allow_reconnect": False}
    # 0 attempts would mean without end.
    options |= {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.1}
    if site.nats_user is not None:
        options |= {"user": site.nats_user, "password": reveal(site.nats_password)}
    if site.nats_token is not None:
        options["token"] = reveal(site.nats_token)
    if site.nats_creds is not None:
        credentials = read_credentials(site.nats_creds)
        options |= {"user_jwt_cb": credentials.user_jwt, "signature_cb": credentials.sign}
    if site.nats_url.startswith("tls://") or site.nats_ca is not None:
        options["tls"] = _tls(site)

    async def quiet(_exc: Exception) -> None:
        """The error comes back from connect as well."""

    client = Client()
    client._auth_configured = site.nats_creds is not None  # connect() sets it, but for these callbacks forgets to
    try:
        await client.connect(site.nats_url, error_cb=quiet, **options)
    except BaseException:
        # A server that takes the connection and says nothing would leave it open; close() waits for it.
        writer = getattr(client._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
            await asyncio.sleep(0)
        raise
    return client


def _tls(site: SiteSettings) -> ssl.SSLContext:
    for name in ("nats_ca", "nats_cert", "nats_key"):
        path = getattr(site, name)
        if path is not None:
            _readable(name, path)
    try:
        context = ssl.create_default_context(cafile=site.nats_ca)
        if site.nats_cert is not None:
            context.load_cert_chain(site.nats_cert, site.nats_key)
    except ssl.SSLError as exc:
        happened = f"no certificate with its key can be read ({exc.reason})"
        raise SettingsError("site.nats_ca", happened, "check site.nats_ca, site.nats_cert and site.nats_key") from exc
    return context


def _readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as exc:
        raise SettingsError(f"site.{name}", f"{path} can't be read ({exc.strerror})", f"check site.{name}") from exc


def _run(work: Coroutine[Any, Any, T], url: str) -> T:
    from canswarm_tui.engine.place import without_secrets

    subject = f"NATS {without_secrets(url)}"
    try:
        return asyncio.run(asyncio.wait_for(work, TIMEOUT_S * 2))
    except AuthorizationError as exc:
        raise Refused(subject, "it refuses us", _CHECK_LOGIN) from exc
    except ssl.SSLError as exc:
        raise Refused(subject, f"no TLS connection is possible ({exc.reason})", "check site.nats_ca") from exc
    except (NoServersError, NatsError, OSError, TimeoutError) as exc:
        text = str(exc) or type(exc).__name__
        if "authorization" in text.lower():
            raise Refused(subject, f"it refuses us ({text})", _CHECK_LOGIN) from exc
        raise Unreachable(subject, f"no connection ({text})", "check that NATS runs, and site.nats_url") from exc
