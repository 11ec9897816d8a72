"""Rollback on the real v1 site and real servers: everything damaged, everything back, and only ours removed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from canswarm_tui.engine.backup.compare import compare_restored
from canswarm_tui.engine.backup.places import Places
from canswarm_tui.engine.backup.verify import verify_backup
from canswarm_tui.engine.errors import Blocked, NoSpace
from canswarm_tui.engine.events import Event, StepStarted
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.rollback import Rollback
from canswarm_tui.engine.settings import EtcdSettings, SiteSettings
from canswarm_tui.engine.settings_file import known_keys, load_settings, secret_keys
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.sandbox.servers import Server
from tests.conftest import V1_SITE
from tests.end_to_end.places import Place, Servers, load_redis, make_place, target_state

COPIES = ("decisions", "blobs-minio", "blobs-ipfs", "plan-store", "policy-opa", "policy-wasm")
EMPTY: dict[str, object] = {"decisions": {}, "objects": {}, "pinned": set(), "plan document": None}


@pytest.fixture
def place(
    clean_redis: str, nats_url: str, etcd_endpoint: str, minio: Server, ipfs_api: str, opa_url: str, tmp_path: Path
) -> Place:
    """The real v1 site, backed up."""
    load_redis(V1_SITE, clean_redis)
    made = make_place(
        tmp_path / "place", V1_SITE, Servers(clean_redis, nats_url, etcd_endpoint, minio, ipfs_api, opa_url)
    )
    (site_of(made) / "redis.jsonl").unlink()
    answer(made, "backup", "--yes")
    return made


def site_of(place: Place) -> Path:
    return Path(place.environment["CANSWARM_SITE__ROOT"])


def settings_of(place: Place) -> SiteSettings:
    return SiteSettings(root=site_of(place), redis_url=place.environment["CANSWARM_SITE__REDIS_URL"])


def answer(place: Place, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What a command says as JSON; it must end with `code`."""
    done = place.program(*arguments, "--json")
    assert done.returncode == code, done.stderr
    facts = json.loads(done.stdout)
    assert isinstance(facts, dict)
    return facts


def backup_of(place: Place) -> Path:
    (folder,) = (place.folder / "state" / "backups").iterdir()
    return folder


def observed(place: Place) -> closing[Journal]:
    (path,) = (place.folder / "state" / "sites").glob("*/journal.db")
    return closing(Journal.observe(path))


def run_id(place: Place) -> str:
    with observed(place) as journal:
        return journal.run_id


def state_of(root: Path) -> dict[str, tuple[int, bytes | str, int]]:
    """Content and mode of everything, times of files; the plan store is compared by rows."""
    found: dict[str, tuple[int, bytes | str, int]] = {}
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(root))
        if path.is_file() and name != ".state/plan.db":
            found[name] = (status.st_mode, path.read_bytes(), status.st_mtime_ns)
        else:
            found[name] = (status.st_mode, "", 0)
    return found


def rows_of(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
        schema = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
        return [schema, *(db.execute(f"SELECT rowid, * FROM {t} ORDER BY rowid").fetchall() for t in tables)]


def keys_of(url: str) -> dict[bytes, tuple[bytes, object, bool]]:
    """Type, meaning (sets have no order) and whether it expires."""
    client = redis.Redis.from_url(url)
    values: dict[bytes, Callable[[bytes], object]] = {
        b"string": client.get,
        b"set": client.smembers,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    try:
        kinds = {key: bytes(client.type(key)) for key in client.scan_iter()}  # type: ignore[arg-type]
        return {key: (kind, values[kind](key), client.pttl(key) > 0) for key, kind in kinds.items()}
    finally:
        client.close()


def policies_of(opa: str) -> tuple[object, object]:
    """All that OPA holds: rules and data; a parent that holds nothing any more is nothing (OPA makes it by itself)."""
    data = {name: held for name, held in httpx.get(f"{opa}/v1/data").json()["result"].items() if held}
    return httpx.get(f"{opa}/v1/policies").json()["result"], data


def put(place: Place, need_id: bytes, value: bytes) -> None:
    """As somebody else would, into etcd."""
    prefix = place.environment["CANSWARM_ETCD__PREFIX"].encode()
    client = EtcdClient(EtcdSettings(endpoints=(place.environment["CANSWARM_ETCD__ENDPOINTS"],)))
    try:
        client.write("Put", rpc.PutRequest(key=prefix + need_id, value=value))
    finally:
        client.close()


def damage(place: Place) -> None:
    """Everything that v1 has is damaged, lost or added to."""
    root, url = site_of(place), place.environment["CANSWARM_SITE__REDIS_URL"]
    shutil.rmtree(min(path for path in (root / ".cas" / "sha256").iterdir() if path.is_dir()))
    blob = next(path for path in sorted((root / ".cas").rglob("*")) if path.is_file() and path.stat().st_size)
    blob.chmod(0o644)
    blob.write_bytes(b"rot")
    (root / ".cas" / "sha256" / "added").write_text("added")
    (root / "logs" / "swarm.jsonl").write_text("overwritten")
    (root / ".env").unlink(missing_ok=True)
    (root / ".state" / "lamport.json").write_text('{"counter": 1}')
    with closing(sqlite3.connect(root / ".state" / "plan.db")) as db:
        db.executescript("DELETE FROM ops WHERE rowid % 2; DELETE FROM tasks; CREATE TABLE IF NOT EXISTS more (x)")
    client = redis.Redis.from_url(url)
    client.delete("decide:default-need")
    client.set("decide:since", "{}")
    client.close()


def test_a_migrated_and_then_damaged_site_comes_back_whole_and_the_targets_are_as_before(
    place: Place, private_server: Callable[..., Server]
) -> None:
    opa = place.environment["CANSWARM_OPA__URL"] = private_server("opa").endpoint
    policies = policies_of(opa)
    root, url = site_of(place), place.environment["CANSWARM_SITE__REDIS_URL"]
    files, rows, keys = state_of(root), rows_of(root / ".state" / "plan.db"), keys_of(url)
    answer(place, "run", "--yes", *COPIES)
    assert all(target_state(place, run_id(place)).values())
    assert policies_of(opa) != policies
    damage(place)
    lost = (root / "logs" / "swarm.jsonl").read_bytes()
    facts = answer(place, "rollback", "--yes")
    assert facts["differences"] == []
    assert facts["compared"] == {
        "files": sum(1 for path in root.rglob("*") if path.is_file()),
        "size_bytes": facts["compared"]["size_bytes"],
        "redis_keys": len(keys),
    }
    assert [one["step"] for one in facts["undone"]] == [
        "policy-wasm", "policy-opa", "plan-store", "decisions", "blobs-ipfs", "blobs-minio"
    ]  # fmt: skip
    assert facts["not_undone"] == []
    assert state_of(root) == files
    assert rows_of(root / ".state" / "plan.db") == rows
    assert keys_of(url) == keys
    assert target_state(place, run_id(place)) == EMPTY
    assert policies_of(opa) == policies
    aside = Path(facts["aside"])
    assert verify_backup(aside).faults == ()
    answer(place, "rollback", "--from-backup", str(aside), "--into", str(place.folder / "aside"))
    assert (place.folder / "aside" / "logs" / "swarm.jsonl").read_bytes() == lost
    assert len(rows_of(place.folder / "aside" / ".state" / "plan.db")) == len(rows) + 1
    answer(place, "run", "--yes", *COPIES)
    assert all(target_state(place, run_id(place)).values())


def test_the_plan_tells_times_of_what_was_measured_in_this_run_and_unknown_for_the_rest(place: Place) -> None:
    answer(place, "run", "--yes", "decisions", "plan-store")
    facts = answer(place, "rollback", "--plan")
    assert facts["backup"] == str(backup_of(place))
    assert facts["proved_at"]
    steps = {one["what"]: one for one in facts["plan"]}
    undone = [what for what in steps if what.startswith("undo")]
    assert undone == ["undo Plan store: SQLite → Automerge", "undo Consensus: Redis → etcd"]
    assert {steps[what]["basis"] for what in undone} == {"copy"}
    assert {one["basis"] for what, one in steps.items() if what not in undone} == {"backup"}
    assert facts["steps_of_unknown_time"] == 0
    assert steps[undone[1]]["count"] == len(target_state(place, run_id(place))["decisions"])  # type: ignore[arg-type]
    answer(place, "rollback", "--yes")
    facts = answer(place, "rollback", "--plan")
    assert {one["basis"] for one in facts["plan"]} == {"rollback"}
    told = place.program("rollback", "--plan").stdout
    assert ": under a second, as the last rollback" in told
    assert "0.0 s" not in told
    (backup_of(place) / "manifest.json").write_text("no manifest")
    facts = answer(place, "rollback", "--plan", code=6)
    assert facts["backup"] is facts["proved_at"] is None
    assert "manifest" in facts["trouble"]


def test_what_somebody_else_put_into_the_targets_stays_and_what_was_changed_is_told(place: Place) -> None:
    answer(place, "run", "--yes", "decisions")
    ours = target_state(place, run_id(place))["decisions"]
    assert isinstance(ours, dict)
    changed = sorted(ours)[0]
    put(place, b"strangers", b"theirs")
    put(place, changed, b"changed")
    facts = answer(place, "rollback", "--yes", code=10)
    assert facts["undone"] == [{"step": "decisions", "removed": len(ours) - 1, "kept": 1}]
    left = target_state(place, run_id(place))["decisions"]
    assert left == {b"strangers": b"theirs", changed: b"changed"}
    assert facts["differences"] == []


@pytest.mark.parametrize("ruin", ["missing", "no database", "everything"])
def test_a_plan_store_that_nobody_can_read_does_not_keep_v1_from_coming_back(place: Place, ruin: str) -> None:
    root = site_of(place)
    files, rows = state_of(root), rows_of(root / ".state" / "plan.db")
    match ruin:
        case "missing":
            (root / ".state" / "plan.db").unlink()
        case "no database":
            (root / ".state" / "plan.db").write_bytes(b"what was here before " * 400)
        case "everything":
            for name in (".state", ".cas", "logs"):
                shutil.rmtree(root / name)
            (root / ".env").unlink()
    facts = answer(place, "rollback", "--yes")
    assert facts["differences"] == []
    assert state_of(root) == files
    assert rows_of(root / ".state" / "plan.db") == rows
    aside = place.folder / "aside"
    answer(place, "rollback", "--from-backup", facts["aside"], "--into", str(aside))
    if ruin == "no database":
        assert (aside / ".state" / "plan.db").read_bytes().startswith(b"what was here before")
    else:
        assert not (aside / ".state" / "plan.db").exists()


def test_what_the_backup_had_to_skip_is_not_removed(place: Place) -> None:
    root = site_of(place)
    os.mkfifo(root / "logs" / "pipe")
    answer(place, "backup", "--yes", code=10)
    answer(place, "rollback", "--yes")
    assert (root / "logs" / "pipe").is_fifo()


def test_keys_of_other_programmes_come_back_too_and_that_is_told(place: Place) -> None:
    client = redis.Redis.from_url(place.environment["CANSWARM_SITE__REDIS_URL"])
    client.rpush("queue", "one")
    answer(place, "backup", "--yes")
    client.rpush("queue", "two")
    client.set("since", "stays")
    done = place.program("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert "keys of other programmes too" in done.stderr
    assert (client.lrange("queue", 0, -1), client.get("since")) == ([b"one"], b"stays")
    client.close()


def test_what_could_not_be_set_aside_is_neither_replaced_nor_removed_and_is_told(place: Place) -> None:
    root = site_of(place)
    files = state_of(root)
    damage(place)
    (root / "logs" / "swarm.jsonl").unlink()
    os.mkfifo(root / "logs" / "swarm.jsonl")
    os.mkfifo(root / "logs" / "since")
    facts = answer(place, "rollback", "--yes", code=10)
    assert {one["name"] for one in facts["differences"]} == {"logs:swarm.jsonl", "logs:since"}
    assert (root / "logs" / "swarm.jsonl").is_fifo()
    (root / "logs" / "swarm.jsonl").unlink()
    (root / "logs" / "since").unlink()
    assert answer(place, "rollback", "--yes")["differences"] == []
    assert state_of(root) == files


def test_a_plan_store_that_can_not_be_set_aside_is_not_replaced_and_no_target_is_cleared(place: Place) -> None:
    root = site_of(place)
    answer(place, "run", "--yes", "decisions")
    (root / ".state" / "plan.db").unlink()
    os.mkfifo(root / ".state" / "plan.db")
    there = target_state(place, run_id(place))
    done = place.program("rollback", "--yes")
    assert done.returncode == 6, done.stderr
    assert "can't be backed up" in done.stderr
    assert target_state(place, run_id(place)) == there
    (root / ".state" / "plan.db").unlink()
    assert answer(place, "rollback", "--yes")["differences"] == []


def test_a_target_that_is_away_does_not_keep_v1_from_coming_back(
    place: Place, private_server: Callable[..., Server]
) -> None:
    server = private_server("etcd")
    place.environment["CANSWARM_ETCD__ENDPOINTS"] = server.endpoint
    place.environment["CANSWARM_ENGINE__GIVE_UP_AFTER_S"] = "1"
    answer(place, "run", "--yes", "decisions", "plan-store")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        damage(place)
        facts = answer(place, "rollback", "--yes", "--set", "etcd.timeout_s=1", code=3)
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    assert facts["differences"] == []
    assert [one["step"] for one in facts["undone"]] == ["plan-store"]
    assert [one["step"] for one in facts["not_undone"]] == ["decisions"]
    with observed(place) as journal:
        told = journal.records()["rollback"]
    assert told.state is StepState.NEEDS_ATTENTION
    assert told.outcome is not None
    assert told.outcome.summary.endswith("not undone in whole: decisions")
    assert compare_restored(backup_of(place), Places.of(settings_of(place)), settings_of(place)).differences == ()
    answer(place, "undo", "decisions", "--yes")


def test_a_rollback_that_ended_half_way_is_told_as_that_until_one_ends_well(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(flags=dict(_flags(place))).settings

    def full(*_: object, **__: object) -> None:
        raise NoSpace("somewhere", "no space left", "free space")

    monkeypatch.setattr("canswarm_tui.engine.rollback.restore", full)
    work = Rollback(settings, lambda _event: None, StopSignal())
    with pytest.raises(NoSpace):
        work.in_place(work.newest_backup())
    with observed(place) as journal:
        record = journal.records()["rollback"]
    assert record.state is StepState.STOPPED
    assert "no space left" in str(record.error)
    answer(place, "rollback", "--yes")
    with observed(place) as journal:
        record = journal.records()["rollback"]
    assert (record.state, record.error) == (StepState.PROVED, None)


def _flags(place: Place) -> Iterator[tuple[str, str]]:
    """A place's environment as settings of the command line, but for secrets."""
    for name, value in place.environment.items():
        key = name.removeprefix("CANSWARM_").lower().replace("__", ".")
        if name.startswith("CANSWARM_") and key in known_keys() and key not in secret_keys():
            yield key, value


def test_killed_in_the_middle_and_called_again_it_ends_as_undisturbed(place: Place) -> None:
    root = site_of(place)
    files, rows = state_of(root), rows_of(root / ".state" / "plan.db")
    answer(place, "run", "--yes", "decisions", "plan-store")
    for delay_s in (0.6, 0.9, 1.2, 1.5):
        damage(place)
        child = place.start("rollback", "--yes")
        time.sleep(delay_s)
        child.kill()
        child.communicate()
    facts = answer(place, "rollback", "--yes")
    assert facts["differences"] == []
    assert state_of(root) == files
    assert rows_of(root / ".state" / "plan.db") == rows
    assert target_state(place, run_id(place)) == EMPTY


def test_it_is_refused_while_v1_writes_or_a_run_is_live(place: Place) -> None:
    root = site_of(place)
    before = state_of(root)
    with (root / "logs" / "swarm.jsonl").open("ab"):
        assert "open for writing" in answer(place, "rollback", "--yes", code=6)["error"]["happened"]
    handle = os.open(root / ".state", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        answer(place, "rollback", "--yes", code=5)
    finally:
        os.close(handle)
    assert state_of(root) == before
    assert not list((place.folder / "state" / "sites").glob("*/before-rollback-*"))


def test_what_v1_writes_meanwhile_is_not_overwritten(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(place, "run", "--yes", "decisions")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    log = site_of(place) / "logs" / "swarm.jsonl"

    def write(event: Event) -> None:
        if isinstance(event, StepStarted):
            with log.open("a") as file:
                file.write("since\n")

    with pytest.raises(Blocked, match="has written to it since"):
        Rollback(load_settings().settings, write, StopSignal()).in_place(backup_of(place))
    assert log.read_text().endswith("since\n")


def test_a_damaged_backup_and_another_sites_backup_are_refused(place: Place) -> None:
    root, folder = site_of(place), backup_of(place)
    copy = place.folder / "copy"
    shutil.copytree(folder, copy)
    pack = copy / "files-00001.tar"
    pack.write_bytes(pack.read_bytes()[:-4096])
    damage(place)
    before = state_of(root)
    assert "damaged" in answer(place, "rollback", "--yes", "--from-backup", str(copy), code=6)["error"]["happened"]
    told = answer(place, "rollback", "--yes", "--from-backup", str(place.folder), code=3)["error"]
    assert (told["subject"], told["happened"]) == (
        str(place.folder),
        "there is no backup in this folder: no manifest.json",
    )
    shutil.copytree(root, place.folder / "other site", copy_function=shutil.copy2)
    other = answer(
        place, "rollback", "--yes", "--from-backup", str(folder), "--site", str(place.folder / "other site"), code=6
    )
    assert "it is a backup of" in other["error"]["happened"]
    assert state_of(root) == before


def test_elsewhere_it_restores_files_and_keys_and_touches_nothing_else(
    place: Place, private_server: Callable[..., Server]
) -> None:
    damage(place)
    root, url = site_of(place), place.environment["CANSWARM_SITE__REDIS_URL"]
    files, keys = state_of(root), keys_of(url)
    server = private_server("redis")
    into = place.folder / "elsewhere"
    facts = answer(place, "rollback", "--into", str(into), "--redis-url", f"redis://127.0.0.1:{server.port}/3")
    assert facts["differences"] == []
    assert facts["aside"] is None
    assert (into / "logs" / "swarm.jsonl").read_bytes() == (V1_SITE / "logs" / "swarm.jsonl").read_bytes()
    assert rows_of(into / ".state" / "plan.db") == rows_of(V1_SITE / ".state" / "plan.db")
    assert b"decide:default-need" in keys_of(f"redis://127.0.0.1:{server.port}/3")
    assert (state_of(root), keys_of(url)) == (files, keys)
    answer(place, "rollback", "--into", str(into), code=6)


def test_it_asks_for_the_sites_name_and_needs_a_backup(place: Place) -> None:
    assert "--yes" in answer(place, "rollback", code=2)["error"]["remedy"]
    assert "--into" in answer(place, "rollback", "--yes", "--redis-url", "redis://h", code=2)["error"]["happened"]
    backup_of(place).rename(place.folder / "elsewhere")
    assert "--from-backup" in answer(place, "rollback", "--yes", code=6)["error"]["remedy"]


@pytest.mark.parametrize(("typed", "code"), [(b"another\n", 6), (b"\n", 6), (b"site\n", 0)])
def test_on_a_terminal_the_sites_name_must_be_typed(place: Place, typed: bytes, code: int) -> None:
    master, slave = os.openpty()
    os.write(master, typed)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "canswarm_tui", "rollback"], env={**os.environ, **place.environment}, stdin=slave,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == code, done.stderr
    assert "Type the site's name (site)" in done.stderr
