"""`canswarm-tui sandbox site`: writes a demonstration site and fills its Redis."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import click

from canswarm_tui.commands.face import Face, common
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.sandbox import site_anomalies, site_redis
from canswarm_tui.sandbox.site import write_site

REDIS_VARIABLE = "CANSWARM_SITE__REDIS_URL"


@click.command("site")
@click.option("--out", required=True, metavar="D", help="folder of the new site: absent or empty")
@click.option("--threads", default=60, show_default=True, type=click.IntRange(1), help="how many threads it holds")
@click.option("--seed", default=1, show_default=True, type=int, help="the same seed gives the same bytes")
@click.option("--anomalies", is_flag=True, help="plant every kind of damage, and list it in D.anomalies.json")
@click.option("--hot-journal", is_flag=True, help="leave plan.db as a writer leaves it that is killed")
@click.option("--redis-url", metavar="URL", help=f"load the decisions there; default: {REDIS_VARIABLE}, if it is set")
@common
def site(
    face: Face, out: str, threads: int, seed: int, anomalies: bool, hot_journal: bool, redis_url: str | None
) -> int:
    """Write a v1 site as the v1 program would, for demonstrations and tests."""
    folder = Path(out)
    written = write_site(folder, threads, seed, progress=lambda done: _tell(face, done, threads))
    planted = site_anomalies.plant(folder, seed) if anomalies else []
    if hot_journal:
        site_anomalies.leave_hot_journal(folder / ".state" / "plan.db")
    url = redis_url or os.environ.get(REDIS_VARIABLE)
    keys = (
        site_redis.load(folder / "redis.jsonl", face.settings.site.model_copy(update={"redis_url": url})) if url else 0
    )
    face.write(f"{folder}: {written.threads} threads, {written.ops} ops, {written.audit_lines} audit lines,")
    face.write(f"  {written.decisions} decisions, {written.blobs} blobs ({written.blob_bytes} bytes)")
    if planted:
        face.write(f"  {len(planted)} anomalies, listed in {site_anomalies.list_file(folder)}")
    face.write(f"  {keys} keys in Redis" if url else "  Redis: not filled, no --redis-url")
    data = {**dataclasses.asdict(written), "redis_keys": keys, "anomalies": [dataclasses.asdict(p) for p in planted]}
    return face.answer(ExitCode.DONE, {"site": data})


def _tell(face: Face, done: int, threads: int) -> None:
    if done == threads or done % 1000 == 0:
        face.tell(f"{done} of {threads} threads")
