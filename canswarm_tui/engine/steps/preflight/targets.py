"""Preflight's checks of the targets: each answers, is a version that works, has room, and is empty, ours or neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from canswarm_tui.engine.errors import EngineError, ExitCode
from canswarm_tui.engine.http import bearer, check_status, http_client, http_errors
from canswarm_tui.engine.step import Finding
from canswarm_tui.engine.steps.preflight.survey import Survey, blocker, note, warning
from canswarm_tui.engine.text import bytes_text
from canswarm_tui.engine.v2.decisions import decision_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_facts import may_write, read_facts
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.policy.opa_cli import require_opa, unsound
from canswarm_tui.engine.v2.policy.source import load_source
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_facts import bucket_facts, server_facts

ETCD_BYTES_A_DECISION = 350
"""Of etcd's store, for a decision of about 250 bytes (measured, see docs/)."""
DEFAULT_ETCD_QUOTA_BYTES = 2 * 2**30
SKEW_TOLD_S = 60.0
SKEW_REFUSED_S = 15 * 60.0
"""S3 refuses requests that are signed with a clock so far off."""


def guarded(check: Callable[[Survey], Iterator[Finding]], steps: str) -> Callable[[Survey], Iterator[Finding]]:
    """The check, with what makes a target unusable turned into a blocker for just its steps."""

    def run(survey: Survey) -> Iterator[Finding]:
        try:
            yield from check(survey)
        except EngineError as exc:
            if exc.exit_code not in (ExitCode.UNREACHABLE, ExitCode.SETTINGS):
                raise
            code = "target.unreachable" if exc.exit_code is ExitCode.UNREACHABLE else "target.settings"
            yield blocker(code, exc.subject, exc.happened, exc.remedy, steps)

    run.__doc__ = check.__doc__
    return run


def etcd(survey: Survey) -> Iterator[Finding]:
    """etcd: a leader, no alarm, room in its quota, the right to write, and whose keys are there."""
    settings = survey.ctx.settings.etcd
    client = EtcdClient(settings)
    try:
        facts = read_facts(client)
        may_write(client, settings.prefix.encode() + b"canswarm-probe")
        there = decision_sink(client, settings).count()
    finally:
        client.close()
    survey.figures |= {"etcd version": facts.version, "etcd db bytes": facts.db_size_bytes, "decisions in etcd": there}
    subject = f"etcd {facts.endpoint}"
    if not facts.has_leader:
        yield blocker(
            "etcd.no_leader", subject, "the cluster has no leader", "bring a majority of its members up", "decisions"
        )
    for alarm in facts.alarms:
        yield blocker(
            "etcd.alarm", subject, f"alarm {alarm} is raised",
            "compact, defragment, then `etcdctl alarm disarm` (NOSPACE); restore the member (CORRUPT)", "decisions",
        )  # fmt: skip
    quota = facts.quota_bytes or DEFAULT_ETCD_QUOTA_BYTES
    needed = facts.db_size_bytes + survey.figure("decisions") * ETCD_BYTES_A_DECISION
    if needed > quota:
        yield blocker(
            "etcd.quota", subject, f"about {bytes_text(needed)} will be needed, its quota is {bytes_text(quota)}",
            "raise --quota-backend-bytes", "decisions",
        )  # fmt: skip
    if facts.version_tuple < (3, 5, 5):
        yield warning(
            "etcd.version", subject, f"version {facts.version} has known durability bugs", "use 3.5.5 or newer"
        )
    if there and not survey.ctx.journal.sibling("decisions").count_receipts():
        yield _not_ours(subject, f"{there:,} keys under {settings.prefix}")


def minio(survey: Survey) -> Iterator[Finding]:
    """The S3 endpoint: credentials, bucket, room, clock, and whose objects are there."""
    settings = survey.ctx.settings.s3
    with S3Client(settings) as client:
        facts, bucket = server_facts(client), bucket_facts(client)
    survey.figures["S3 server"] = f"{facts.kind} {facts.version or ''}".strip() or "unknown"
    subject = f"S3 endpoint (MinIO) {settings.endpoint}"
    needed = survey.figure("blob bytes") + survey.figure("blobs") * 1024
    if facts.free_bytes is None:
        yield note(
            "s3.free_unknown", subject, "it does not tell this key how much space is free", "make sure of it yourself"
        )
    elif facts.free_bytes < needed:
        yield blocker(
            "s3.full", subject, f"about {bytes_text(needed)} will be needed, {bytes_text(facts.free_bytes)} are free",
            "free space there", "blobs-minio",
        )  # fmt: skip
    yield from _clock(settings.endpoint, subject)
    if bucket.sampled and not survey.ctx.journal.sibling("blobs-minio").count_receipts():
        yield _not_ours(subject, f"objects in the bucket {settings.bucket}")


def ipfs(survey: Survey) -> Iterator[Finding]:
    """Kubo: answers, is new enough, and has room below StorageMax."""
    settings = survey.ctx.settings.ipfs
    with KuboApi(settings) as api:
        facts = api.facts()
    survey.figures |= {"Kubo version": facts.version, "IPFS repo bytes": facts.repo_bytes}
    subject = f"IPFS {settings.api}"
    if facts.too_old:
        yield blocker(
            "ipfs.version", subject, f"version {facts.version} can't name pins", "use Kubo 0.43 or newer", "blobs-ipfs"
        )
    needed = facts.repo_bytes + survey.figure("blob bytes") * 11 // 10
    if needed > facts.storage_max_bytes:
        yield blocker(
            "ipfs.storage_max", subject,
            f"about {bytes_text(needed)} will be needed, StorageMax is {bytes_text(facts.storage_max_bytes)}",
            "raise Datastore.StorageMax in Kubo's configuration", "blobs-ipfs",
        )  # fmt: skip


def opa(survey: Survey) -> Iterator[Finding]:
    """OPA: answers, accepts our token."""
    settings = survey.ctx.settings.opa
    subject = f"OPA {settings.url}"
    began = time.perf_counter()
    with (
        http_errors(subject),
        http_client(
            settings.url, timeout_s=settings.timeout_s, ca=settings.ca, authorization=bearer(settings.token)
        ) as client,
    ):
        check_status(client.get("/v1/policies"))
    survey.figures["OPA answers in ms"] = round((time.perf_counter() - began) * 1000, 1)
    yield from ()


def policy(survey: Survey) -> Iterator[Finding]:
    """The operator's own Rego and opa program, where the settings name them: there, and what they should be."""
    settings = survey.ctx.settings.policy
    source = load_source(settings)
    if settings.rego_dir is None and settings.opa_binary is None:
        return
    program = require_opa(settings)
    survey.figures["opa program"] = program.version()
    for wrong in () if source.shipped else unsound(program.examine(source)[0]):
        yield blocker(
            "policy.unsound", f"policy.rego_dir {source.folder}", f"opa {wrong.command} says: {wrong.text}",
            "mend the Rego", "policy-opa,policy-wasm",
        )  # fmt: skip


def _clock(endpoint: str, subject: str) -> Iterator[Finding]:
    """This machine's clock beside the server's, from the Date header of any answer."""
    try:
        header = httpx.get(endpoint, timeout=5.0).headers.get("date")
        skew_s = abs((datetime.now(UTC) - parsedate_to_datetime(header)).total_seconds()) if header else 0.0
    except (httpx.HTTPError, ValueError, TypeError):
        return
    happened = f"its clock and this machine's differ by {skew_s:.0f} s"
    if skew_s > SKEW_REFUSED_S:
        yield blocker("clock.skew", subject, happened, "set both clocks right (NTP)", "blobs-minio")
    elif skew_s > SKEW_TOLD_S:
        yield warning("clock.skew", subject, happened, "set both clocks right (NTP)")


def _not_ours(subject: str, what: str) -> Finding:
    return warning(
        "target.not_empty", subject, f"it already holds {what} that this run did not create",
        "equal ones will count as there, others will be conflicts; nothing is overwritten",
    )  # fmt: skip
