"""What an etcd server or its connection can answer instead of a result, as errors with a remedy.

etcd's own messages (`etcdserver: …`) tell more than gRPC's codes, so they are looked at first. The list of both is in
etcd's `api/v3rpc/rpctypes/error.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, Refused, Unreachable, Unready, WrongAnswer
from canswarm_tui.engine.v2.etcd_stubs import etcd3, grpc

CLOSED = "Cannot invoke RPC"
"""How gRPC begins a ValueError for a call on a channel that was closed."""


class TokenExpired(Unreachable):
    """etcd forgot our log-in (it expired, or the server was restarted); the client logs in again."""


class NoLogInNeeded(Refused):
    """A log-in to an etcd whose authentication is off."""


class Compacted(WrongAnswer):
    """The revision that was asked for has been compacted away."""


class AnswerTooLarge(WrongAnswer):
    """The answer is larger than what we accept at once; a smaller question may do."""


_Make = Callable[[str, str], EngineError]


def _no_space(subject: str, happened: str) -> EngineError:
    return NoSpace(
        subject,
        f"etcd's quota is used up ({happened})",
        "free space: `etcdctl compact`, `etcdctl defrag`, then `etcdctl alarm disarm`; or raise --quota-backend-bytes",
    )


def _log_in(subject: str, happened: str) -> EngineError:
    return Refused(subject, f"etcd refuses the log-in ({happened})", "check etcd.user and etcd.password")


def _permission(subject: str, happened: str) -> EngineError:
    return Refused(
        subject,
        f"the user may not do this ({happened})",
        "grant etcd.user a role with readwrite on the prefix /swarm/ (`etcdctl role grant-permission`)",
    )


def _certificate(subject: str, happened: str) -> EngineError:
    return Refused(
        subject,
        f"the TLS connection could not be made ({happened})",
        "check etcd.ca, etcd.cert and etcd.key, and that the endpoint speaks https",
    )


def _gone(subject: str, happened: str) -> EngineError:
    said_so = "etcdserver:" in happened
    kind, what = (Unready, "it can't serve us now") if said_so else (Unreachable, "no answer")
    return kind(subject, f"{what} ({happened})", "check that etcd runs there and has a leader")


def _token(subject: str, happened: str) -> EngineError:
    return TokenExpired(subject, f"the log-in has expired ({happened})", "try again")


def _no_log_in(subject: str, happened: str) -> EngineError:
    return NoLogInNeeded(subject, f"etcd wants no log-in ({happened})", "remove etcd.user and etcd.password")


def _compacted(subject: str, happened: str) -> EngineError:
    return Compacted(subject, f"an old revision is not there any more ({happened})", "start again")


def _answer_too_large(subject: str, happened: str) -> EngineError:
    return AnswerTooLarge(subject, f"the answer is too large ({happened})", "look for very large values in etcd")


def _too_large(subject: str, happened: str) -> EngineError:
    return Refused(
        subject,
        f"a request is larger than etcd accepts ({happened})",
        "raise etcd's --max-request-bytes to at least 1572864, its default",
    )


def _too_many(subject: str, happened: str) -> EngineError:
    return Refused(
        subject,
        f"a transaction is longer than etcd accepts ({happened})",
        "raise etcd's --max-txn-ops to at least 128, its default",
    )


def _corrupt(subject: str, happened: str) -> EngineError:
    return WrongAnswer(subject, f"etcd says that its data is damaged ({happened})", "repair the cluster first")


def _unknown_method(subject: str, happened: str) -> EngineError:
    return WrongAnswer(subject, f"not an etcd v3 server, or too old ({happened})", "use etcd 3.4 or newer")


def _odd(subject: str, happened: str) -> EngineError:
    return WrongAnswer(subject, f"an answer that was not expected ({happened})", "look into etcd's log")


# The first that is part of the message decides.
_BY_MESSAGE: tuple[tuple[str, _Make], ...] = (
    ("database space exceeded", _no_space),
    ("authentication failed", _log_in),
    ("user name is empty", _log_in),
    ("authentication is not enabled", _no_log_in),
    ("invalid auth token", _token),
    ("revision of auth store is old", _token),
    ("permission denied", _permission),
    ("has been compacted", _compacted),
    ("request is too large", _too_large),
    ("trying to send message larger", _too_large),
    ("too many operations", _too_many),
    ("CLIENT: Received message larger than max", _answer_too_large),
    ("corrupt cluster", _corrupt),
    ("TSI_DATA_CORRUPTED", _certificate),  # TLS 1.3: the server wants a client certificate
    ("handshake", _certificate),
    ("SSL", _certificate),
    ("certificate", _certificate),
)

_BY_CODE: dict[grpc.StatusCode, _Make] = {
    grpc.StatusCode.UNAVAILABLE: _gone,
    grpc.StatusCode.DEADLINE_EXCEEDED: _gone,
    grpc.StatusCode.CANCELLED: _gone,
    grpc.StatusCode.ABORTED: _gone,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _gone,  # `etcdserver: too many requests`
    grpc.StatusCode.UNAUTHENTICATED: _log_in,
    grpc.StatusCode.PERMISSION_DENIED: _permission,
    grpc.StatusCode.DATA_LOSS: _corrupt,
    grpc.StatusCode.UNIMPLEMENTED: _unknown_method,
    grpc.StatusCode.INTERNAL: _odd,
    grpc.StatusCode.UNKNOWN: _odd,
    grpc.StatusCode.INVALID_ARGUMENT: _odd,
    grpc.StatusCode.NOT_FOUND: _odd,
    grpc.StatusCode.ALREADY_EXISTS: _odd,
    grpc.StatusCode.FAILED_PRECONDITION: _odd,
    grpc.StatusCode.OUT_OF_RANGE: _odd,
    grpc.StatusCode.OK: _odd,
}

_BY_ETCD3_CLASS: dict[type[Exception], _Make] = {
    etcd3.exceptions.ConnectionFailedError: _gone,
    etcd3.exceptions.ConnectionTimeoutError: _gone,
    etcd3.exceptions.WatchTimedOut: _gone,
    etcd3.exceptions.RevisionCompactedError: _compacted,
    etcd3.exceptions.InternalServerError: _odd,
    etcd3.exceptions.PreconditionFailedError: _odd,
    etcd3.exceptions.Etcd3Exception: _odd,
}


def from_status(code: grpc.StatusCode, message: str, subject: str) -> EngineError:
    """The error for a gRPC status: `subject` is the endpoint."""
    happened = f"{code.name}: {message}" if message else code.name
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "received message larger" in message.lower():
        # Both sides say it almost alike; only our own side writes `CLIENT:` or a capital R.
        ours = "CLIENT" in message or message.startswith("Received")
        return (_answer_too_large if ours else _too_large)(subject, happened)
    for part, make in _BY_MESSAGE:
        if part in message:
            return make(subject, happened)
    return _BY_CODE[code](subject, happened)


def from_exception(exc: Exception, subject: str) -> EngineError:
    """The error for anything that etcd3 or grpc raises."""
    if isinstance(exc, grpc.FutureTimeoutError | grpc.FutureCancelledError):
        return _gone(subject, type(exc).__name__)
    if isinstance(exc, grpc.RpcError) and isinstance(exc, grpc.Call):
        return from_status(exc.code(), exc.details() or "", subject)
    make = _BY_ETCD3_CLASS.get(type(exc), _odd)
    return make(subject, f"{type(exc).__name__}: {exc}")


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Raise what etcd3 and grpc raise as `EngineError`s about `subject`."""
    try:
        yield
    except (grpc.RpcError, etcd3.Etcd3Exception, grpc.FutureTimeoutError, grpc.FutureCancelledError) as exc:
        raise from_exception(exc, subject) from exc
    except ValueError as exc:
        if not str(exc).startswith(CLOSED):
            raise
        raise Defect(subject, "the client was closed while it was in use", "report this") from exc
