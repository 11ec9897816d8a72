"""Restores: byte for byte, row for row, key for key; and a proof that finds whatever is not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis

from canswarm_tui.engine.backup.compare import compare_restored
from canswarm_tui.engine.backup.make import back_up
from canswarm_tui.engine.backup.places import Places, was_skipped
from canswarm_tui.engine.backup.redis_values import RedisKey
from canswarm_tui.engine.backup.restore import restore
from canswarm_tui.engine.errors import Blocked, SiteUnreadable, WrongAnswer
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.sandbox import site_redis
from canswarm_tui.sandbox.servers import Server
from canswarm_tui.sandbox.site import write_site
from canswarm_tui.sandbox.site_anomalies import leave_hot_journal, plant

Stamp = tuple[int, int, bytes]


def _state(folder: Path) -> dict[str, Stamp]:
    found: dict[str, Stamp] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        body = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        if path.name != "plan.db":
            found[str(path.relative_to(folder))] = (status.st_mode, 0 if path.is_dir() else status.st_mtime_ns, body)
    return found


def _rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = bytes
        schema = db.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall()
        return [*schema, *(row for t in ("ops", "tasks", "edges") for row in db.execute(f"SELECT rowid, * FROM {t}"))]


@pytest.fixture
def backup(v1_site: Path, tmp_path: Path) -> Path:
    (v1_site / "redis.jsonl").unlink()  # beside the site, not of it
    (v1_site / ".env").chmod(0o600)
    return back_up(SiteSettings(root=v1_site), tmp_path / "backups", 30, with_redis=False).folder


def test_a_restored_site_is_the_site_in_every_byte_mode_and_time(v1_site: Path, backup: Path, tmp_path: Path) -> None:
    into = tmp_path / "deep" / "restored"
    done = restore(backup, into)
    assert _state(into) == _state(v1_site)
    assert _rows(into / ".state" / "plan.db") == _rows(v1_site / ".state" / "plan.db")
    proof = compare_restored(backup, into)
    assert proof.differences == ()
    assert proof.compared.files == done.files == sum(1 for path in v1_site.rglob("*") if path.is_file())


def test_a_damaged_site_with_a_hot_journal_comes_back_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "site"
    write_site(root, 30, seed=9)
    plant(root, seed=9)
    before = _rows(root / ".state" / "plan.db")
    leave_hot_journal(root / ".state" / "plan.db")
    (root / "redis.jsonl").unlink()
    folder = back_up(SiteSettings(root=root), tmp_path / "backups", 30, with_redis=False).folder
    restore(folder, tmp_path / "restored")
    assert _rows(tmp_path / "restored" / ".state" / "plan.db") == before
    ours, theirs = _state(tmp_path / "restored"), _state(root)
    del theirs[".state/plan.db-journal"]
    unreadable = {name for name, (mode, _, _) in theirs.items() if mode & 0o777 == 0}
    assert ours.keys() | unreadable == theirs.keys()
    assert ours == {name: stamp for name, stamp in theirs.items() if name in ours}


@pytest.mark.parametrize(
    ("skipped", "spared"),
    [("cas:a/b/c", True), ("cas:a/b", True), ("cas:a", True), ("cas:", True), ("cas:a/b/cc", False), ("logs:a", False)],
)
def test_what_could_not_be_copied_spares_everything_below_it(skipped: str, spared: bool) -> None:
    assert was_skipped("cas", "a/b/c", {skipped}) is spared


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "logs").mkdir(parents=True)
    (tmp_path / "mine" / "logs" / "swarm.jsonl").write_text("mine")
    with pytest.raises(Blocked, match="not empty"):
        restore(backup, tmp_path / "mine")
    assert (tmp_path / "mine" / "logs" / "swarm.jsonl").read_text() == "mine"
    assert not (tmp_path / "mine" / ".cas").exists()


def _spoil(site: Path) -> None:
    (site / "logs" / "swarm.jsonl").write_text("spoiled")
    (site / ".state" / "lamport.json").unlink()
    (site / ".cas" / "sha256" / "new").write_text("new")
    (site / ".cas" / "more").mkdir()
    (site / ".state" / "plan_automerge.bin").write_bytes(b"ours")
    with closing(sqlite3.connect(site / ".state" / "plan.db")) as db:
        db.execute("DELETE FROM tasks")
        db.commit()


def test_the_proof_names_everything_that_is_not_as_it_was(v1_site: Path, backup: Path) -> None:
    _spoil(v1_site)
    (v1_site / ".env").chmod(0o604)  # v1's own is 0600
    names = {one.name: one.happened for one in compare_restored(backup, v1_site).differences}
    assert names == {
        "logs:swarm.jsonl": "it has 7 bytes and not 2012149",
        "plan:lamport.json": "it is missing",
        "plan.db": "its schema or its rows are others",
        "env": "its mode is 604 and not 600",
        "cas:sha256/new": "the backup does not have it",
        "cas:more": "the backup does not have it",
    }


def test_replacing_brings_the_site_back_and_exactly_if_asked(v1_site: Path, backup: Path) -> None:
    _spoil(v1_site)
    leave_hot_journal(v1_site / ".state" / "plan.db")
    places = Places.of(SiteSettings(root=v1_site))
    kept = restore(backup, places, replace=True)
    assert kept.removed == ()
    assert {one.name for one in compare_restored(backup, places).differences} == {"cas:sha256/new", "cas:more"}
    exact = restore(backup, places, replace=True, exact=True)
    assert exact.removed == ("cas:sha256/new",)
    assert compare_restored(backup, places).differences == ()
    assert (v1_site / ".state" / "plan_automerge.bin").read_bytes() == b"ours"
    assert not list((v1_site / ".state").glob("*journal"))


def test_folders_that_the_settings_put_elsewhere_are_restored_there(v1_site: Path, tmp_path: Path) -> None:
    (v1_site / ".cas").rename(tmp_path / "cas")
    (tmp_path / "state").mkdir()
    (v1_site / ".state" / "lamport.json").rename(tmp_path / "state" / "lamport.json")
    site = SiteSettings(root=v1_site, cas_dir=tmp_path / "cas", state_dir=tmp_path / "state")
    folder = back_up(site, tmp_path / "backups", 30, with_redis=False).folder
    shutil.rmtree(tmp_path / "cas")
    (tmp_path / "state" / "lamport.json").unlink()
    restore(folder, Places.of(site), replace=True)
    assert compare_restored(folder, Places.of(site)).differences == ()
    assert (tmp_path / "state" / "lamport.json").is_file()
    with pytest.raises(Blocked, match="no place for it"):
        restore(folder, Places.of(SiteSettings(root=tmp_path / "elsewhere")))


def test_a_pack_that_ends_too_soon_is_no_short_file_in_the_site(backup: Path, tmp_path: Path) -> None:
    os.truncate(backup / "files-00001.tar", 1_000_000)
    with pytest.raises(SiteUnreadable, match="ends within"):
        restore(backup, tmp_path / "restored")
    log = tmp_path / "restored" / "logs" / "swarm.jsonl"
    assert not log.exists()


def _filled(url: str, root: Path) -> redis.Redis:
    site_redis.load(root / "redis.jsonl", SiteSettings(redis_url=url))
    client = redis.Redis.from_url(url)
    client.xadd("stream", {"a": "1"})
    client.xgroup_create("stream", "group", id="0")
    client.sadd("numbers", *range(300))
    client.hset("big", mapping={f"field {at}": at for at in range(600)})
    client.set(b"\xff\xfe", b"\x00\xff")
    client.set("empty", "")
    client.set("large", b"x" * (3 << 20))
    return client


def test_every_key_comes_back_with_type_value_and_time(
    v1_site: Path, clean_redis: str, private_server: Callable[..., Server], tmp_path: Path
) -> None:
    client = _filled(clean_redis, v1_site)
    site = SiteSettings(root=v1_site, redis_url=clean_redis)
    done = back_up(site, tmp_path / "backups", 30)
    assert done.manifest.redis_keys == done.verified.redis_keys == client.dbsize()
    other = SiteSettings(root=v1_site, redis_url=private_server("redis").endpoint)
    result = restore(done.folder, tmp_path / "restored", other)
    assert result.redis_keys == done.manifest.redis_keys
    proof = compare_restored(done.folder, tmp_path / "restored", other)
    assert proof.differences == ()
    assert proof.compared.redis_keys == done.manifest.redis_keys
    there = redis.Redis.from_url(other.redis_url)
    assert there.xinfo_groups("stream")[0]["name"] == b"group"
    assert there.get(b"\xff\xfe") == b"\x00\xff"
    assert abs(int(there.pttl("cache:front")) - int(client.pttl("cache:front"))) < 2000
    assert there.ttl("empty") == -1
    client.close()
    there.close()


def test_a_redis_that_is_not_empty_is_refused_then_replaced_and_strangers_stay(
    v1_site: Path, clean_redis: str, tmp_path: Path
) -> None:
    client = _filled(clean_redis, v1_site)
    site = SiteSettings(root=v1_site, redis_url=clean_redis)
    folder = back_up(site, tmp_path / "backups", 30).folder
    client.set("decide:since", "{}")
    client.set("stranger", "1")
    client.delete("decide:default-need")
    client.rpush("jobs", "more")
    client.set("empty", "", px=60_000)
    client.delete("scores")
    client.set("scores", "1")
    with pytest.raises(Blocked, match="holds"):
        restore(folder, tmp_path / "restored", site)
    names = {one.name: one.happened for one in compare_restored(folder, v1_site, site).differences}
    assert names == {
        "decide:since": "the backup does not have it",
        "decide:default-need": "it is missing",
        "jobs": "it has another value",
        "empty": "it expires and did not",
        "scores": "it is a string and was a zset",
    }
    result = restore(folder, Places.of(site), site, replace=True, exact=True)
    assert result.removed == ("decide:since",)
    assert compare_restored(folder, v1_site, site).differences == ()
    assert client.get("stranger") == b"1"
    client.close()


def test_a_key_whose_time_ran_out_since_is_no_difference(v1_site: Path, clean_redis: str, tmp_path: Path) -> None:
    client = redis.Redis.from_url(clean_redis)
    client.set("short", "1", px=400)
    site = SiteSettings(root=v1_site, redis_url=clean_redis)
    folder = back_up(site, tmp_path / "backups", 30).folder
    time.sleep(0.5)
    restore(folder, tmp_path / "restored", site)
    proof = compare_restored(folder, tmp_path / "restored", site)
    assert proof.differences == ()
    assert proof.compared.expired == 1
    assert client.exists("short") == 0
    client.close()


def test_a_dump_that_the_server_cannot_read_is_told(v1_site: Path, clean_redis: str, tmp_path: Path) -> None:
    client = redis.Redis.from_url(clean_redis)
    client.rpush("list", "a")
    folder = back_up(SiteSettings(root=v1_site, redis_url=clean_redis), tmp_path / "backups", 30).folder
    path = folder / "redis-00001.jsonl"
    saved = RedisKey.parse(path.read_bytes())
    path.write_bytes(RedisKey(saved.key, saved.type, saved.body[:-1] + b"?", saved.digest, None).line())
    client.flushdb()
    with pytest.raises(WrongAnswer, match="version"):
        restore(folder, tmp_path / "restored", SiteSettings(root=v1_site, redis_url=clean_redis))
    client.close()
