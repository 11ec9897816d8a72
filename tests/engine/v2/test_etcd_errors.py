"""Everything that grpc or etcd3 can raise becomes an error with a remedy."""

from __future__ import annotations

import inspect

import grpc
import pytest

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, Refused, Unreachable, Unready, WrongAnswer
from canswarm_tui.engine.v2 import etcd_errors
from canswarm_tui.engine.v2.etcd_errors import (
    AnswerTooLarge,
    Compacted,
    NoLogInNeeded,
    TokenExpired,
    from_exception,
    from_status,
    translated,
)
from canswarm_tui.engine.v2.etcd_stubs import etcd3

SUBJECT = "http://127.0.0.1:2379"
ETCD3_EXCEPTIONS = [c for _, c in inspect.getmembers(etcd3.exceptions, inspect.isclass) if issubclass(c, Exception)]


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_code_is_mapped(code: grpc.StatusCode) -> None:
    error = from_status(code, "something", SUBJECT)
    assert error.subject == SUBJECT
    assert code.name in error.happened
    assert error.remedy


def test_every_exception_of_etcd3_is_mapped_on_purpose() -> None:
    assert len(ETCD3_EXCEPTIONS) >= 7
    assert set(ETCD3_EXCEPTIONS) == set(etcd_errors._BY_ETCD3_CLASS)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader", Unready),
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out", Unready),
        (grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", Refused),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", Unreachable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", NoSpace),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Unready),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (5 vs. 4)", AnswerTooLarge),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5 vs. 4)", Refused),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", Refused),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: too many operations in txn request", Refused),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty", Refused),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            Refused,
        ),
        (grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: authentication is not enabled", NoLogInNeeded),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", TokenExpired),
        (grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token", TokenExpired),
        (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", Refused),
        (grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (grpc.StatusCode.DATA_LOSS, "etcdserver: corrupt cluster", WrongAnswer),
        (grpc.StatusCode.UNIMPLEMENTED, "unknown service", WrongAnswer),
    ],
)
def test_what_etcd_says_decides_the_remedy(code: grpc.StatusCode, message: str, expected: type[EngineError]) -> None:
    assert type(from_status(code, message, SUBJECT)) is expected


def test_only_what_may_pass_is_transient() -> None:
    assert from_status(grpc.StatusCode.UNAVAILABLE, "", SUBJECT).transient
    assert from_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", SUBJECT
    ).transient
    assert not from_status(grpc.StatusCode.PERMISSION_DENIED, "", SUBJECT).transient
    assert not from_status(grpc.StatusCode.INTERNAL, "", SUBJECT).transient


@pytest.mark.parametrize("exception", [grpc.FutureTimeoutError(), grpc.FutureCancelledError(), grpc.RpcError("x")])
def test_grpc_exceptions_without_a_status_are_translated(exception: Exception) -> None:
    with pytest.raises(EngineError) as caught, translated(SUBJECT):
        raise exception
    assert caught.value.__cause__ is exception
    assert type(from_exception(exception, SUBJECT)) is type(caught.value)


def test_a_call_on_a_closed_client_is_our_mistake_and_other_value_errors_stay() -> None:
    with pytest.raises(Defect), translated(SUBJECT):
        raise ValueError("Cannot invoke RPC on closed channel!")
    with pytest.raises(ValueError, match="other"), translated(SUBJECT):
        raise ValueError("other")
