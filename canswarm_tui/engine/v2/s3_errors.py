"""What the S3 client and its transport raise, as errors with a remedy. The one place where that is decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from minio import error as minio_error

from canswarm_tui.engine.errors import EngineError, NoSpace, Refused, Unreachable, Unready, WrongAnswer

_REFUSED = {
    "AccessDenied": "check s3.access_key and s3.secret_key; it needs the rights to list, read, write and delete",
    "InvalidAccessKeyId": "check s3.access_key",
    "SignatureDoesNotMatch": "check s3.secret_key",
    "RequestTimeTooSkewed": "set this machine's clock and the server's right: they differ too much",
    "AuthorizationHeaderMalformed": "check s3.region",
    "ExpiredToken": "renew the credentials",
    "AllAccessDisabled": "the bucket is disabled: ask its owner",
}
_FULL = {
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded",
    "InsufficientStorage",
    "ServiceQuotaExceeded",
}
_AGAIN = {
    "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "InternalError", "RequestTimeout",
    "OperationAborted", "XMinioServerNotInitialized", "IncompleteBody", "ServerNotInitialized", "Busy",
}  # fmt: skip


@contextmanager
def s3_errors(subject: str) -> Iterator[None]:
    """Raise `Refused`, `NoSpace`, `Unreachable` or `WrongAnswer` for whatever the client raises inside."""
    try:
        yield
    except minio_error.S3Error as exc:
        raise _answered(subject, exc) from exc
    except minio_error.InvalidResponseError as exc:
        raise _by_status(subject, int(exc._code)) from exc
    except minio_error.MinioAdminException as exc:
        raise _by_status(subject, int(exc._code)) from exc
    except minio_error.ServerError as exc:
        raise Unready(subject, f"the server answered {exc.status_code}", "look at the server's log") from exc
    except minio_error.MinioException as exc:
        raise WrongAnswer(subject, f"{type(exc).__name__}: {exc}", "check s3.endpoint: is it an S3 server?") from exc
    except urllib3.exceptions.HTTPError as exc:
        raise _transport(subject, exc) from exc
    except (ConnectionError, TimeoutError) as exc:
        raise Unreachable(subject, f"the connection broke: {exc}", "check that the server runs") from exc


def _answered(subject: str, exc: minio_error.S3Error) -> EngineError:
    said = f"{exc.code}: {exc.message}" if exc.message else str(exc.code)
    if exc.code in _REFUSED:
        return Refused(subject, f"the server refuses us ({said})", _REFUSED[exc.code])
    if exc.code in _FULL:
        return NoSpace(subject, f"the server has no space left ({said})", "free space or raise the quota there")
    if exc.code in _AGAIN:
        return Unready(subject, f"the server can't serve us now ({said})", "look at the server's log")
    if exc.code == "NoSuchBucket":
        return WrongAnswer(subject, "the bucket does not exist", "check s3.bucket; the step creates it when it runs")
    return WrongAnswer(subject, f"the server answered {said}", "look at the server's log")


def _by_status(subject: str, code: int) -> EngineError:
    """Gateways answer errors as `text/xml`, MinIO's admin API as JSON; the client parses neither: go by the status."""
    said = f"HTTP {code}"
    if code in (401, 403):
        return Refused(
            subject, f"the server refuses us ({said})", "check s3.access_key, s3.secret_key and their rights"
        )
    if code == 507:
        return NoSpace(subject, f"the server has no space left ({said})", "free space there")
    if code in (408, 429) or code >= 500:
        return Unready(subject, f"the server can't serve us now ({said})", "look at the server's log")
    return WrongAnswer(
        subject, f"the server answered {said} without an S3 error", "check s3.endpoint: is it an S3 server?"
    )


def _transport(subject: str, exc: urllib3.exceptions.HTTPError) -> EngineError:
    reason = getattr(exc, "reason", None) or exc
    text = str(reason)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return Refused(subject, "its certificate is not trusted", "set s3.ca to the CA that signed it")
    if isinstance(exc, urllib3.exceptions.SSLError) or isinstance(reason, urllib3.exceptions.SSLError):
        return Refused(subject, f"no TLS connection is possible ({reason})", "check the endpoint's scheme and s3.ca")
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return Unreachable(subject, "its host name is not known", "check s3.endpoint")
    if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return Unreachable(
            subject, "it accepted the connection but gave no answer in time", "is it frozen or overloaded?"
        )
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        said = str(reason).rpartition(": ")[2]
        return Unreachable(subject, f"no connection ({said})", "check that the server runs, and s3.endpoint")
    if isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
        return Unreachable(subject, "no connection in time", "check s3.endpoint and the network")
    return Unreachable(
        subject, f"no connection ({type(reason).__name__})", "check that the server runs, and s3.endpoint"
    )
