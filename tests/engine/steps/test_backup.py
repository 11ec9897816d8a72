"""The backup step on the real v1 site: made once, proved by restoring, made again when the site has moved."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from canswarm_tui.engine.backup.compare import RestoreProof, Unlike, compare_restored
from canswarm_tui.engine.backup.retention import list_backups
from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked, Unreachable
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import BackupSettings, EngineSettings, Settings, SiteSettings
from canswarm_tui.engine.step import Level
from canswarm_tui.engine.steps import backup
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.conftest import V1_SITE
from tests.end_to_end.places import load_redis
from tests.engine.steps.running import Bench, without_needs

FILES = sum(1 for path in V1_SITE.rglob("*") if path.is_file() and path.name not in ("redis.jsonl", "plan.db"))


@pytest.fixture
def bench(v1_site: Path, clean_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    without_needs(monkeypatch)
    load_redis(v1_site, clean_redis)
    return Bench(Settings(site=SiteSettings(root=v1_site, redis_url=clean_redis), state_dir=tmp_path / "state"))


def folders(bench: Bench) -> list[Path]:
    return [kept.folder for kept in list_backups(bench.settings.backup_folder)]


def databases(bench: Bench) -> dict[str, int]:
    """How many keys each database of the Redis holds."""
    client = redis.Redis.from_url(bench.settings.site.redis_url)
    try:
        return {name: int(found["keys"]) for name, found in client.info("keyspace").items()}
    finally:
        client.close()


def codes(bench: Bench) -> set[str]:
    return {stored.finding.code for stored in bench.findings("backup") if stored.status != "gone"}


def test_it_is_made_once_and_proved_by_restoring_files_and_keys(bench: Bench) -> None:
    outcome = bench.run("backup")
    verdict = bench.verify("backup")
    client = redis.Redis.from_url(bench.settings.site.redis_url)
    keys = client.dbsize()
    client.close()
    assert outcome.created == FILES
    assert "restored into a scratch folder and compared: equal" in outcome.summary
    assert verdict.passed
    assert {c.name for c in verdict.comparisons} == {
        "files and Redis keys in the backup",
        "files and Redis keys restored",
    }
    assert [c.equal for c in verdict.comparisons] == [FILES + keys, FILES + 1 + keys]
    assert bench.findings("backup") == []
    again = bench.run("backup")
    assert (again.created, again.unchanged) == (0, 1)
    assert len(folders(bench)) == 1


@pytest.mark.parametrize("moved", ["a file", "an op", "a decision", "a mode"])
def test_a_site_that_has_moved_is_backed_up_again(bench: Bench, moved: str) -> None:
    bench.run("backup")
    site = bench.settings.site
    match moved:
        case "a file":
            with (site.log_folder / "swarm.jsonl").open("a") as log:
                log.write("{}\n")
        case "an op":
            with closing(sqlite3.connect(site.plan_db)) as db:
                db.execute("UPDATE ops SET payload_json = '{}' WHERE rowid = 1")
                db.commit()
        case "a decision":
            client = redis.Redis.from_url(site.redis_url)
            client.set("decide:default-need", "{}")
            client.close()
        case "a mode":
            site.env_file.chmod(0o640)
    assert bench.run("backup").created == FILES
    assert len(folders(bench)) == 2


def test_the_scratch_database_is_left_as_empty_as_it_was(bench: Bench, private_server: Callable[..., Server]) -> None:
    server = private_server("redis")
    load_redis(bench.settings.site.require_root(), f"redis://127.0.0.1:{server.port}/0")
    site = bench.settings.site.model_copy(update={"redis_url": f"redis://127.0.0.1:{server.port}/0"})
    bench.settings = bench.settings.model_copy(update={"site": site})
    bench.run("backup")
    client = redis.Redis(port=server.port)
    assert set(client.info("keyspace")) == {"db0"}
    client.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.steps import backup
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
backup.compare_restored = die
Runner._require_needs = lambda *_: None
site = SiteSettings(root=Path(sys.argv[1]), redis_url=sys.argv[2])
Runner(Settings(site=site, state_dir=Path(sys.argv[3])), lambda _: None).run(["backup"])
"""


def test_time_that_passes_for_a_decision_that_expires_is_no_move_of_the_site(bench: Bench) -> None:
    client = redis.Redis.from_url(bench.settings.site.redis_url)
    client.expire("decide:default-need", 3600)
    client.close()
    bench.run("backup")
    plan = bench.runner().plan(["backup"])
    time.sleep(0.01)
    assert bench.runner().plan(["backup"]) == plan
    bench.run("backup")
    assert len(folders(bench)) == 1


def test_keys_that_a_killed_trial_left_are_removed_and_nobody_elses(
    bench: Bench, private_server: Callable[..., Server]
) -> None:
    server = private_server("redis")
    url = f"redis://127.0.0.1:{server.port}/0"
    load_redis(bench.settings.site.require_root(), url)
    site = bench.settings.site.model_copy(update={"redis_url": url})
    bench.settings = bench.settings.model_copy(update={"site": site})
    command = [sys.executable, "-c", _KILLED, str(site.root), url, str(bench.settings.state_dir)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    client = redis.Redis(port=server.port, db=15)
    assert client.dbsize() > 30
    client.set("decide:default-need", "somebody's")
    again = bench.run("backup")
    assert again.unchanged == 1
    assert client.keys() == [b"decide:default-need"]
    assert set(client.info("keyspace")) == {"db0", "db15"}
    client.close()


def test_a_redis_that_takes_nobody_while_a_restore_is_tried_is_asked_again_and_left_empty(
    bench: Bench, private_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = private_server("redis")
    url = f"redis://127.0.0.1:{server.port}/0"
    load_redis(bench.settings.site.require_root(), url)
    site = bench.settings.site.model_copy(update={"redis_url": url})
    bench.settings = bench.settings.model_copy(update={"site": site})
    tried: list[Path] = []
    with closing(redis.Redis(port=server.port, single_connection_client=True)) as client:

        def full_once(*args: Any, **options: Any) -> RestoreProof:
            tried.append(args[0])
            if len(tried) == 1:
                client.config_set("maxclients", 1)
                threading.Timer(0.3, client.config_set, ("maxclients", 100)).start()
            return compare_restored(*args, **options)

        monkeypatch.setattr(backup, "compare_restored", full_once)
        assert bench.run("backup").created == FILES
    assert len(tried) == 2
    assert set(databases(bench)) == {"db0"}
    assert bench.record("backup").state is StepState.PROVED


def test_without_an_empty_database_the_keys_are_not_restored_and_that_is_told(
    bench: Bench, private_server: Callable[..., Server]
) -> None:
    server = private_server("redis")
    load_redis(bench.settings.site.require_root(), f"redis://127.0.0.1:{server.port}/0")
    for number in range(1, 16):
        other = redis.Redis(port=server.port, db=number)
        other.set("somebody's", number)
        other.close()
    site = bench.settings.site.model_copy(update={"redis_url": f"redis://127.0.0.1:{server.port}/0"})
    bench.settings = bench.settings.model_copy(update={"site": site})
    bench.run("backup")
    (found,) = bench.findings("backup")
    assert found.finding.code == "backup.no_scratch_database"
    client = redis.Redis(port=server.port)
    assert {name: facts["keys"] for name, facts in client.info("keyspace").items() if name != "db0"} == {
        f"db{number}": 1 for number in range(1, 16)
    }
    client.close()


def test_a_redis_that_is_away_is_named_as_the_settings_name_it(
    bench: Bench, private_server: Callable[..., Server]
) -> None:
    server = private_server("redis")
    url = f"redis://127.0.0.1:{server.port}/0"
    site = bench.settings.site.model_copy(update={"redis_url": url})
    hasty = EngineSettings(give_up_after_s=0.5)
    bench.settings = bench.settings.model_copy(update={"site": site, "engine": hasty})
    bench.run("backup")
    process.stop(server.running)
    with pytest.raises(Unreachable) as away:
        bench.verify("backup")
    assert away.value.subject == f"Redis 127.0.0.1:{server.port}/0"


def test_what_could_not_be_copied_waits_for_a_person_also_after_an_unchanged_run(bench: Bench) -> None:
    os.mkfifo(bench.settings.site.log_folder / "pipe")
    assert bench.run("backup").quarantined == 1
    again = bench.run("backup")
    assert (again.created, again.quarantined) == (0, 1)
    assert codes(bench) == {"backup.skipped"}


def test_damage_to_the_backup_is_found_by_name_and_the_next_run_makes_another(bench: Bench) -> None:
    bench.run("backup")
    (folder,) = folders(bench)
    pack = folder / "files-00001.tar"
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    assert not bench.verify("backup").passed
    assert "backup.damaged" in codes(bench)
    assert bench.run("backup").created == FILES
    assert len(folders(bench)) == 2
    assert codes(bench) == set()


@pytest.mark.parametrize("file", ["manifest.json", "redis-00001.jsonl", "files.jsonl", "plan.db"])
@pytest.mark.parametrize("how", ["empty", "rubbish", "cut", "gone"])
def test_a_damaged_file_of_the_backup_ends_no_verify_and_the_next_run_makes_another(
    bench: Bench, file: str, how: str
) -> None:
    before = databases(bench)
    bench.run("backup")
    (folder,) = folders(bench)
    path = folder / file
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "rubbish": b"\xff\x00{" * 99, "cut": whole[: len(whole) * 2 // 3]}.get(how, whole))
    if how == "gone":
        path.unlink()
    verdict = bench.verify("backup")
    assert verdict.differences > 0
    assert codes(bench) == {"backup.damaged"}
    assert bench.run("backup").created == FILES
    assert bench.verify("backup").passed
    assert codes(bench) == set()
    assert databases(bench) == before


def test_a_verify_renews_the_proof_and_takes_it_back_where_the_restore_differs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def proved_at() -> object:
        journal = Journal.observe(place_of(bench.settings).journal)
        fact = journal.step("backup").fact("last")
        journal.close()
        assert isinstance(fact, dict)
        return fact["proved_at"]

    bench.run("backup")
    journal = Journal.join(place_of(bench.settings).journal)
    fact = journal.step("backup").fact("last")
    assert isinstance(fact, dict)
    journal.step("backup").set_fact("last", {**fact, "proved_at": "2001-01-01T00:00:00+00:00"})
    journal.close()
    assert bench.verify("backup").passed
    assert str(proved_at()) > "2020"
    genuine = backup._restored

    def other(ctx: StepContext, folder: Path) -> RestoreProof:
        return replace(genuine(ctx, folder), differences=(Unlike("files/x", "it differs"),))

    monkeypatch.setattr(backup, "_restored", other)
    assert not bench.verify("backup").passed
    assert proved_at() == ""


def test_a_backup_that_is_gone_is_told(bench: Bench) -> None:
    bench.run("backup")
    (folder,) = folders(bench)
    folder.rename(folder.with_name("elsewhere"))
    assert not bench.verify("backup").passed
    assert codes(bench) == {"backup.missing"}
    assert bench.run("backup").created == FILES


def test_undo_is_refused_before_the_retention_date(bench: Bench) -> None:
    bench.run("backup")
    with pytest.raises(Blocked, match="it must be kept until"):
        bench.runner().undo("backup")
    assert len(folders(bench)) == 1
    assert bench.record("backup").state is StepState.PROVED


def test_a_backup_folder_inside_the_site_blocks(bench: Bench) -> None:
    inside = bench.settings.site.log_folder / "backups"
    bench.settings = bench.settings.model_copy(update={"backup": BackupSettings(dir=inside)})
    with pytest.raises(Blocked, match="lies inside"):
        bench.run("backup")
    assert [stored.finding.level for stored in bench.findings("backup")] == [Level.BLOCKER]
    assert not inside.exists()
