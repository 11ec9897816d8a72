"""The targets' clients for one verb of a step, which holds to the servers that it began with.

A setting that leads elsewhere would make an undo say that everything is gone, and a verify that everything is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.journal import StepJournal
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_facts import read_facts
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_facts import server_facts


@contextmanager
def open_etcd(ctx: StepContext, journal: StepJournal) -> Iterator[EtcdClient]:
    """`journal` is that of the step whose target it is. Raises `SettingsError` for another cluster."""
    client = EtcdClient(ctx.settings.etcd)
    try:
        cluster = ctx.retry.call(lambda: read_facts(client)).cluster_id
        journal.hold_target("etcd.endpoints", (f"cluster {cluster:x}", *ctx.settings.etcd.endpoints))
        yield client
    finally:
        client.close()


@contextmanager
def open_s3(ctx: StepContext, journal: StepJournal) -> Iterator[S3Client]:
    """`journal` is that of the step whose target it is. Raises `SettingsError` for another server or bucket."""
    settings = ctx.settings.s3
    with S3Client(settings, ctx.settings.engine.workers * 2) as client:
        deployment = ctx.retry.call(lambda: server_facts(client)).deployment
        told = () if deployment is None else (f"MinIO {deployment}",)
        journal.hold_target("s3.endpoint", (*told, settings.endpoint))
        journal.hold_target("s3.bucket", (settings.bucket,))
        yield client


@contextmanager
def open_kubo(ctx: StepContext) -> Iterator[KuboApi]:
    """Raises `SettingsError` for another node."""
    with KuboApi(ctx.settings.ipfs) as api:
        peer = ctx.retry.call(api.facts).peer_id
        ctx.journal.hold_target("ipfs.api", (f"node {peer}", ctx.settings.ipfs.api))
        yield api


@contextmanager
def open_opa(ctx: StepContext) -> Iterator[OpaClient]:
    """Raises `SettingsError` for another address: an OPA says nothing of itself that outlasts a restart."""
    ctx.journal.hold_target("opa.url", (ctx.settings.opa.url,))
    with OpaClient(ctx.settings.opa) as client:
        yield client
