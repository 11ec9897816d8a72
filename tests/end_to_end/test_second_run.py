"""A site that has gone on meanwhile: the same command copies just what is new and leaves the rest alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import redis

from canswarm_tui.engine.v1.blobs import blob_path
from tests.end_to_end.places import Place

STEPS = ("preflight", "backup", "blobs-minio", "blobs-ipfs", "decisions")


def outcomes(place: Place, *steps: str) -> dict[str, dict[str, Any]]:
    done = place.program("run", *steps, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    return {step["step"]: step["outcome"] for step in json.loads(done.stdout)["steps"]}


def test_just_the_new_records_are_copied(new_place: Callable[..., Place]) -> None:
    place = new_place("second")
    first = outcomes(place, *STEPS)
    content = b"a blob that came later"
    name = hashlib.sha256(content).hexdigest()
    path = blob_path(place.folder / "site" / ".cas", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    client = redis.Redis.from_url(place.environment["CANSWARM_SITE__REDIS_URL"])
    value = json.loads(client.get(next(client.scan_iter(b"decide:*"))))  # type: ignore[arg-type]
    value["need_id"] = "need-that-came-later"
    client.set("decide:need-that-came-later", json.dumps(value))
    client.close()
    second = outcomes(place, *STEPS)
    for step in ("blobs-minio", "blobs-ipfs", "decisions"):
        assert (step, first[step]["created"] > 1) == (step, True)
        assert (step, second[step]["created"]) == (step, 1)
        assert second[step]["unchanged"] == first[step]["created"]
