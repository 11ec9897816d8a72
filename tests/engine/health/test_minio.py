from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from canswarm_tui.engine.health import minio as health_minio
from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.engine.health.minio import Objects, look
from canswarm_tui.engine.settings import S3Settings, Settings
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.engine.v2.s3_facts import ensure_bucket
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.frozen import wait_frozen

Start = Callable[..., Server]


def of(server: Server, bucket: str, secret: str | None = None) -> Settings:
    s3 = S3Settings(
        endpoint=server.endpoint, access_key=SecretStr(server.user), secret_key=SecretStr(secret or server.password),
        bucket=bucket,
    )  # fmt: skip
    return Settings(s3=s3)


def test_a_healthy_endpoint_tells_health_space_and_objects_by_page(minio: Server, unique_bucket: str) -> None:
    import io

    settings = of(minio, unique_bucket)
    assert dict(look(settings).sections[1].facts)["exists"] == "no, a run creates it"
    with S3Client(settings.s3) as client:
        ensure_bucket(client)
        for n in range(7):
            client.api.put_object(unique_bucket, f"object-{n}", io.BytesIO(b"abc"), 3)
    found = look(settings)
    assert found.condition is Condition.ANSWERS
    server, bucket = (dict(section.facts) for section in found.sections)
    assert (server["live"], server["ready"]) == ("yes", "yes")
    assert int(server["free bytes"]) > 0
    assert bucket["objects"] == 7
    objects, seen, after = Objects(settings), list[str](), None
    while True:
        page = objects.page(after=after, limit=3)
        seen += [entry.key for entry in page.entries]
        if (after := page.after) is None:
            break
    assert seen == [f"object-{n}" for n in range(7)]
    assert dict(objects.open("object-3")[0].facts)["size bytes"] == 3
    assert dict(objects.open("nowhere")[0].facts)["found"] == "it is not there"


def test_a_wrong_secret_key_is_a_refusal(minio: Server, unique_bucket: str) -> None:
    assert look(of(minio, unique_bucket, "wrong-secret")).condition is Condition.REFUSES


def test_a_frozen_endpoint_is_slow_and_a_stopped_one_down(
    private_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_minio, "LOOK_TIMEOUT_S", 0.7)
    server = private_server("minio")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert look(of(server, "any-bucket")).condition is Condition.SLOW
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    process.stop(server.running)
    assert look(of(server, "any-bucket")).condition is Condition.DOWN
