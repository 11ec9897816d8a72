"""What Kubo says when it can't, as our errors: it answers 500 to nearly everything and explains in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from ipfshttpclient import exceptions as old
from ipfshttpclient.requests_wrapper import exceptions as beneath

from canswarm_tui.engine.errors import EngineError, NoSpace, Refused, SettingsError, Unreachable, Unready, WrongAnswer
from canswarm_tui.engine.http import EXCERPT_CHARS, OVERLOADED, http_errors, status_error

SUBJECT = "IPFS (Kubo)"


class BlockMissing(WrongAnswer):
    """A block of what was asked for is not in the node's own store."""


class BlockDamaged(WrongAnswer):
    """A node of a graph is in the store but can't be read any more."""


class NotPinned(WrongAnswer):
    """There is no such pin (any more)."""


_REMEDIES: tuple[tuple[str, type[EngineError], str], ...] = (
    ("could not find", BlockMissing, "import it again: run the step once more"),
    ("not found locally", BlockMissing, "import it again: run the step once more"),
    ("proto:", BlockDamaged, "check the disk of the IPFS repository with `ipfs repo verify`"),
    ("protobuf:", BlockDamaged, "check the disk of the IPFS repository with `ipfs repo verify`"),
    ("unmarshal", BlockDamaged, "check the disk of the IPFS repository with `ipfs repo verify`"),
    ("cbor", BlockDamaged, "check the disk of the IPFS repository with `ipfs repo verify`"),
    ("not pinned", NotPinned, "look at `ipfs pin ls --type=recursive --names`"),
    ("no space left on device", NoSpace, "free space on the disk of the IPFS repository"),
    ("disk quota exceeded", NoSpace, "raise the disk quota of the user that runs Kubo"),
    ("maximum storage limit exceeded", NoSpace, "raise Datastore.StorageMax in Kubo's configuration"),
    (
        "mismatch in content integrity",
        WrongAnswer,
        "bytes changed between reading and sending: run the step again; if it comes back, check memory and disks",
    ),
    ("over 2mib", WrongAnswer, "this version of Kubo takes smaller blocks than 2 MiB: use a newer one"),
    ("unexpected eof", Unreachable, "the connection was cut while sending: see whether a proxy limits requests"),
    ("too many open files", Unready, "raise the open-files limit of the user that runs Kubo"),
    ("context deadline exceeded", Unready, "see whether the node is overloaded"),
    ("context canceled", Unready, "see whether the node is shutting down"),
    ("permission denied", Refused, "see whether the user that runs Kubo owns its repository"),
    ("read-only file system", Refused, "the disk of the IPFS repository was mounted read-only: check it"),
    ("access denied", Refused, "check the API token in the settings, and API.Authorizations of the node"),
)
_MISSING = re.compile(r"could not find (\w+)")


def missing_block(error: BlockMissing) -> str | None:
    """The CID that the node could not find, where it said so."""
    found = _MISSING.search(error.happened)
    return found[1] if found else None


def complaint(message: str, subject: str = SUBJECT) -> EngineError:
    """Our error for the words of an answer of type `error`."""
    happened = " ".join(message.split())[:EXCERPT_CHARS]
    for words, error, remedy in _REMEDIES:
        if words in message.lower():
            return error(subject, happened, remedy)
    return WrongAnswer(subject, happened, "look at the log of the IPFS daemon")


def complaint_of(response: httpx.Response, subject: str = SUBJECT) -> EngineError:
    """Our error for an answer that is no success and whose body was read."""
    if response.status_code == 404:
        return WrongAnswer(subject, "there is no Kubo RPC API at this address", "check ipfs.api in the settings")
    message = None
    if response.status_code == 500:
        message = message_in(response.content)
    return status_error(subject, response) if message is None else complaint(message, subject)


def message_in(line: bytes) -> str | None:
    """The message of a JSON object of type `error`; None if it is something else."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    if isinstance(answer, dict) and answer.get("Type") == "error" and isinstance(answer.get("Message"), str):
        return str(answer["Message"])
    return None


@contextmanager
def kubo_errors(subject: str = SUBJECT) -> Iterator[None]:
    """Turns what httpx and ipfshttpclient raise inside into an `EngineError` about `subject`, a Kubo."""
    try:
        with http_errors(subject):
            yield
    except (old.Error, beneath.RequestException) as exc:
        raise translated_old(exc, subject) from exc


def translated_old(exc: Exception, subject: str = SUBJECT) -> EngineError:
    """Our error for one of ipfshttpclient's, or of the library beneath it where one slips through."""
    match exc:
        case beneath.Timeout() | beneath.ConnectionError() | beneath.ChunkedEncodingError():
            return Unreachable(subject, "the connection was lost", "see whether the daemon is up and not overloaded")
        case old.TimeoutError():
            return Unreachable(subject, "no answer in time", "see whether the daemon is up and not overloaded")
        case old.ConnectionError() if "certificate" in str(exc).lower():
            return Refused(subject, "its certificate was not accepted", "name the right CA file as ipfs.ca")
        case old.ConnectionError() | old.ProtocolError():
            return Unreachable(subject, "no connection", "see whether the daemon is up and ipfs.api is right")
        case old.ErrorResponse():
            return complaint(str(exc))
        case old.StatusError():
            status = getattr(getattr(exc.original, "response", None), "status_code", None)
            if status in (401, 403):
                return Refused(subject, f"HTTP {status}", "check ipfs.token, and API.Authorizations of the node")
            if status in OVERLOADED:
                return Unready(subject, f"HTTP {status}", "see whether the daemon, or a proxy before it, is overloaded")
            return WrongAnswer(subject, f"HTTP {status}", "check ipfs.api in the settings")
        case old.AddressError():
            return SettingsError("ipfs.api", "this address can't be used", "write http://HOST:PORT")
        case _:
            return WrongAnswer(
                subject, f"the answer could not be read ({type(exc).__name__})", "check ipfs.api in the settings"
            )
