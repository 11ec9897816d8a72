"""HTTP as the engine speaks it: one client factory and the one place where httpx's exceptions become ours.

Every client has time-outs, follows no redirect and ignores proxies and `.netrc` of the environment: a token must
reach the server that the settings name and no other.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

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

EXCERPT_CHARS = 300
"""How much of a server's answer an error message quotes."""

_CONNECT_TIMEOUT_S = 10.0
OVERLOADED = frozenset({408, 425, 429, 502, 503, 504})


def http_client(
    base_url: str,
    *,
    timeout_s: float,
    ca: Path | None = None,
    authorization: SecretStr | None = None,
    connections: int = 16,
) -> httpx.Client:
    """A client for one server, usable from several threads; `authorization` is the whole header value.

    `timeout_s` bounds each wait for bytes, not a whole transfer. Raises `SettingsError` for a CA file that can't be
    used or a token that can't be a header. The caller closes it.
    """
    headers = {} if authorization is None else {"Authorization": _header_value(authorization)}
    return httpx.Client(
        base_url=base_url,
        headers=headers,
        verify=_tls_context(base_url, ca),
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=False,
        follow_redirects=False,
    )


def bearer(token: SecretStr | None) -> SecretStr | None:
    """The Authorization header for a bearer token, or None."""
    return None if token is None else SecretStr(f"Bearer {token.get_secret_value()}")


def check_status(response: httpx.Response) -> httpx.Response:
    """The same response if it is a success; otherwise reads its body, so that the error can quote it, and raises."""
    if not response.is_success:
        response.read()
        response.raise_for_status()
    return response


@contextmanager
def http_errors(subject: str) -> Iterator[None]:
    """Turns whatever httpx raises inside into an `EngineError` about `subject`.

    Unreachable: no connection, time-out, connection lost, overloaded (429, 502, 503, 504). Refused: 401, 403, a
    certificate. NoSpace: 507. SettingsError: a URL that is none. WrongAnswer: any other status, no JSON where JSON is
    due. Defect: misuse of the client.
    """
    try:
        yield
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        httpx.CookieConflict,
        httpx.StreamError,
        json.JSONDecodeError,
        UnicodeDecodeError,
    ) as exc:
        raise translated(subject, exc) from exc


def translated(subject: str, exc: Exception) -> EngineError:
    """Our error for one of httpx's, most specific first."""
    match exc:
        case httpx.HTTPStatusError():
            return status_error(subject, exc.response)
        case httpx.TimeoutException():
            return Unreachable(
                subject,
                f"no answer in time ({type(exc).__name__})",
                "see whether the server is up and not overloaded; raise timeout_s if it is only slow",
            )
        case httpx.TransportError() if (verify := _certificate_error(exc)) is not None:
            return Refused(
                subject,
                f"its certificate was not accepted ({verify})",
                "name the right CA file in the settings, and the host name that the certificate is for",
            )
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return SettingsError(subject, "its URL is not one", "write http://HOST:PORT or https://HOST:PORT")
        case httpx.LocalProtocolError() | httpx.StreamError() | httpx.CookieConflict():
            return Defect(subject, f"a request was not well-formed ({type(exc).__name__})", "report this with the log")
        case httpx.TransportError():
            return Unreachable(
                subject,
                f"no connection ({str(exc) or type(exc).__name__})",
                "see whether the server is up and whether its address is right",
            )
        case _:
            return WrongAnswer(
                subject,
                f"the answer could not be read ({type(exc).__name__})",
                "see whether the address is that of the right server",
            )


def status_error(subject: str, response: httpx.Response) -> EngineError:
    """Our error for a status that is no success; quotes the start of the body if it was read."""
    status = response.status_code
    happened = f"HTTP {status} {response.reason_phrase}".rstrip() + excerpt(response)
    if status in (401, 403):
        return Refused(subject, happened, "check opa.token or ipfs.token, and what the server lets it do")
    if status == 507:
        return NoSpace(subject, happened, "free space on the server")
    if status in OVERLOADED:
        return Unready(subject, happened, "the server is overloaded or starting: try again later")
    return WrongAnswer(subject, happened, "see whether the address is that of the right server, and look at its log")


def excerpt(response: httpx.Response) -> str:
    """`: ` and the first characters of the body on one line, or nothing if there is none or it was not read."""
    try:
        text = " ".join(response.text.split())
    except httpx.ResponseNotRead:
        return ""
    return f": {text[:EXCERPT_CHARS]}" if text else ""


def _tls_context(base_url: str, ca: Path | None) -> ssl.SSLContext | bool:
    if urlsplit(base_url).scheme != "https":
        return False  # no certificate will be asked for; saves reading the CA bundle
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as exc:
        raise SettingsError(str(ca), f"this CA file can't be used ({exc})", "name a PEM file that can be read") from exc


def _header_value(authorization: SecretStr) -> str:
    value = authorization.get_secret_value()
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        # Checked here because the HTTP library would quote the secret in its own complaint.
        raise SettingsError(
            "token",
            "it has characters that a header can't carry",
            "check for line ends or non-ASCII characters",
        )
    return value


def _certificate_error(exc: BaseException) -> str | None:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or str(cause)
        if isinstance(cause, ssl.SSLError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return None
