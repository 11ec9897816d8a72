"""The S3 endpoint (MinIO): refuses the key, a clock that is off, no space, the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time as now

from canswarm_tui.engine.errors import EngineError, Refused
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S
from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import (
    BAD,
    FINE,
    UNKNOWN,
    WORRY,
    Answer,
    Question,
    ask,
    not_yet,
    tried,
    untold,
)
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_errors import s3_errors
from canswarm_tui.engine.v2.s3_facts import BucketFacts, ServerFacts, bucket_facts, server_facts, speaks_s3
from canswarm_tui.engine.v2.s3_objects import S3Objects

_SKEW_REFUSED_S = 15 * 60
"""S3 refuses a signature that is older or newer."""
_SKEW_TOLD_S = 60
_LITTLE = 0.1
_LIVE = "/minio/health/live"


@dataclass(frozen=True, slots=True)
class _Seen:
    status: int
    speaks_s3: bool
    server: str
    """The Server header."""
    skew_s: float | None
    """The server's clock minus ours, to a second; None where it tells no time."""
    facts: ServerFacts | EngineError
    bucket: BucketFacts | EngineError
    bucket_name: str
    copied: bool


def checks(settings: Settings) -> tuple[Check, ...]:
    s3 = settings.s3
    questions = (
        Question("minio.answers", "the S3 endpoint does not answer", shell.s3_knock(s3, _LIVE), _answers),
        Question("minio.key", "AccessDenied, InvalidAccessKeyId or SignatureDoesNotMatch",
                 shell.rclone(s3, "lsf", "--max-depth=1", "--dirs-only"), _key),
        Question("minio.clock", "RequestTimeTooSkewed",
                 f"{shell.s3_knock(s3, _LIVE)} | grep -i '^date:'; date -u", _clock),
        Question("minio.space", "XMinioStorageFull: writes fail",
                 shell.s3_admin(s3, "/minio/admin/v3/info")
                 + " | jq '.servers[].drives[] | {endpoint, availspace, totalspace}'", _space),
        Question("minio.bucket", "NoSuchBucket, or blobs are missing",
                 shell.rclone(s3, "size"), _bucket),
    )  # fmt: skip
    return ask("minio", (s3.endpoint,), lambda: _read(settings), questions)


def _read(settings: Settings) -> _Seen:
    quick = settings.s3.model_copy(update={"timeout_s": min(settings.s3.timeout_s, LOOK_TIMEOUT_S)})
    with S3Client(quick, 4) as client:
        with s3_errors(client.subject):
            began = now()
            answer = client.pool.urlopen("GET", f"{S3Objects(client).base_url}{_LIVE}", redirect=False)
            midway = (began + now()) / 2
        return _Seen(
            answer.status, speaks_s3(client), answer.headers.get("server", ""), _skew_s(answer.headers, midway),
            tried(lambda: server_facts(client)), tried(lambda: bucket_facts(client)), settings.s3.bucket,
            not not_yet(settings, "blobs-minio"),
        )  # fmt: skip


def _skew_s(headers: Mapping[str, str], ours: float) -> float | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp() + 0.5 - ours  # it is cut to whole seconds
    except ValueError:
        return None


def _answers(seen: _Seen) -> Answer:
    lines = (f"GET {_LIVE}: HTTP {seen.status}, server {shown(seen.server, 60) or 'not told'}",)
    if not seen.speaks_s3:
        said = "something answers there, and it does not speak S3"
        return Answer(BAD, said, lines, "check s3.endpoint")
    if "minio" not in seen.server.lower():
        said = "it answers, and is no MinIO: space and archives are not known of other S3 servers"
        return Answer(FINE, said, lines)
    if seen.status != 200:
        return Answer(BAD, "MinIO says that it is not live", lines, "look at its log and its drives")
    return Answer(FINE, "MinIO answers, and says that it is live", lines)


def _key(seen: _Seen) -> Answer:
    if isinstance(seen.bucket, Refused):
        return Answer(BAD, seen.bucket.happened, (f"a signed request for the bucket {seen.bucket_name}",),
                      seen.bucket.remedy)  # fmt: skip
    if isinstance(seen.bucket, EngineError):
        return untold(seen.bucket)
    return Answer(FINE, "it takes our key", (f"a signed request for the bucket {seen.bucket_name} was answered",))


def _clock(seen: _Seen) -> Answer:
    if seen.skew_s is None:
        return Answer(UNKNOWN, "the server tells no time", ("an answer without a Date header",), "ask `date -u` there")
    far = f"{abs(seen.skew_s):,.0f} s {'ahead of' if seen.skew_s > 0 else 'behind'}"
    lines = (
        f"its clock is {far if abs(seen.skew_s) > 1 else 'within a second of'} ours",
        f"S3 refuses more than {_SKEW_REFUSED_S // 60} minutes",
    )
    remedy = "set both clocks by NTP (`timedatectl`)"
    if abs(seen.skew_s) >= _SKEW_REFUSED_S:
        return Answer(BAD, "the clocks differ too much: every signed request is refused", lines, remedy)
    if abs(seen.skew_s) >= _SKEW_TOLD_S:
        return Answer(WORRY, "the clocks drift apart", lines, remedy)
    return Answer(FINE, "the clocks agree", lines)


def _space(seen: _Seen) -> Answer:
    facts = seen.facts
    if isinstance(facts, EngineError):
        return untold(facts)
    if facts.free_bytes is None or not facts.total_bytes:
        said = "this key may not ask for the space" if facts.is_minio else "only MinIO tells its space"
        return Answer(UNKNOWN, said, ("the server's admin facts",), "look at its drives there: `df -h`")
    share = facts.free_bytes / facts.total_bytes
    lines = (f"{bytes_text(facts.free_bytes)} of {bytes_text(facts.total_bytes)} free ({100 * share:.1f} %)",)
    if facts.free_bytes == 0:
        return Answer(BAD, "no space is left", lines, "free space or add drives")
    if share < _LITTLE:
        return Answer(WORRY, "little space is left", lines, "free space or add drives before the run")
    return Answer(FINE, "there is space", lines)


def _bucket(seen: _Seen) -> Answer:
    bucket = seen.bucket
    if isinstance(bucket, EngineError):
        return untold(bucket)
    if not bucket.exists:
        lines = (f"there is no bucket {seen.bucket_name}",)
        if seen.copied:
            return Answer(BAD, "a run has put blobs there, and the bucket is gone", lines, "verify blobs-minio")
        return Answer(UNKNOWN, "no run of this site has made the bucket yet", lines, "run the step blobs-minio")
    many = f"more than {bucket.sampled:,}" if bucket.more else f"{bucket.sampled:,}"
    lines = (f"bucket {seen.bucket_name}: {many} objects, {bucket.ours:,} of {bucket.sampled:,} looked at are ours",)
    if bucket.foreign:
        said = f"{bucket.foreign:,} objects are no blobs: somebody else uses this bucket"
        return Answer(WORRY, said, lines, "use a bucket for blobs alone")
    if seen.copied and not bucket.sampled:
        return Answer(BAD, "a run has put blobs there, and the bucket is empty", lines, "verify blobs-minio")
    return Answer(FINE, "the bucket is there, with nothing strange in it", lines)
