"""Backups of real sites: whole, proved, private, and never taken for finished when they are not."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from canswarm_tui.engine.backup import manifest as m
from canswarm_tui.engine.backup.compare import compare_restored
from canswarm_tui.engine.backup.disk import Advance, disk_errors
from canswarm_tui.engine.backup.make import BackupDone, back_up
from canswarm_tui.engine.backup.plan_copy import digest
from canswarm_tui.engine.backup.restore import restore
from canswarm_tui.engine.backup.retention import list_backups, remove_backup
from canswarm_tui.engine.backup.verify import verify_backup
from canswarm_tui.engine.errors import Blocked, Busy, NoSpace, Refused, SiteUnreadable, Stopped, Unreachable
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.sandbox.servers import Server
from canswarm_tui.sandbox.site import write_site
from canswarm_tui.sandbox.site_anomalies import leave_hot_journal, plant
from tests.conftest import V1_SITE

BLOBS = sum(1 for path in (V1_SITE / ".cas").rglob("*") if path.is_file())


def _made(root: Path, into: Path, **changes: object) -> BackupDone:
    site = SiteSettings(root=root, **changes)
    return back_up(site, into, 30, with_redis=False)


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in m.read_entries(folder)}


def _never() -> None: ...


def test_every_file_of_the_site_is_in_the_backup_with_hash_mode_and_time(v1_site: Path, tmp_path: Path) -> None:
    done = _made(v1_site, tmp_path / "backups")
    expected = {
        f"{part}:{path.relative_to(v1_site / folder)}"
        for part, folder in (("cas", ".cas"), ("logs", "logs"), ("plan", ".state"))
        for path in (v1_site / folder).rglob("*")
        if path.name != "plan.db"
    }
    assert _names(done.folder) == expected | {"cas", "logs", "plan", "env"}
    assert done.manifest.skipped == ()
    (log,) = (entry for entry in m.read_entries(done.folder) if entry.name == "logs:swarm.jsonl")
    status = (v1_site / "logs" / "swarm.jsonl").stat()
    assert (log.size, log.mtime_ns, log.mode) == (status.st_size, status.st_mtime_ns, status.st_mode & 0o7777)
    assert done.verified.size_bytes == done.manifest.size_bytes > 2_000_000


def test_nobody_else_can_read_a_backup(v1_site: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = _made(v1_site, tmp_path / "backups").folder
    finally:
        os.umask(old)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_backup_can_be_read_with_tar_and_sqlite_alone(v1_site: Path, tmp_path: Path) -> None:
    folder = _made(v1_site, tmp_path / "backups").folder
    with tarfile.open(folder / "files-00001.tar") as pack:
        env = pack.extractfile("env")
        assert env is not None
        assert env.read() == (v1_site / ".env").read_bytes()
        assert len([name for name in pack.getnames() if name.startswith("cas/")]) == BLOBS
    assert digest(folder / "plan.db", _never) == digest(v1_site / ".state" / "plan.db", _never)


def test_our_plan_document_and_the_stores_side_files_are_left_out(v1_site: Path, tmp_path: Path) -> None:
    (v1_site / ".state" / "plan_automerge.bin").write_bytes(b"ours")
    (v1_site / ".state" / "plan_automerge").mkdir()
    (v1_site / ".state" / "plan_automerge" / "index.json").write_bytes(b"ours")
    (v1_site / ".state" / ".plan_automerge.bin.tmp").write_bytes(b"ours")
    (v1_site / ".state" / "notes.txt").write_bytes(b"theirs")
    names = _names(_made(v1_site, tmp_path / "backups").folder)
    assert not [name for name in names if "automerge" in name or "plan.db" in name]
    assert "plan:notes.txt" in names


def test_folders_that_the_settings_put_elsewhere_are_found_there(v1_site: Path, tmp_path: Path) -> None:
    for name in (".cas", "logs"):
        (v1_site / name).rename(tmp_path / f"moved-{name.lstrip('.')}")
    state = tmp_path / "moved-state"
    state.mkdir()
    (v1_site / ".state" / "lamport.json").rename(state / "lamport.json")
    done = _made(
        v1_site,
        tmp_path / "backups",
        cas_dir=tmp_path / "moved-cas",
        log_dir=tmp_path / "moved-logs",
        state_dir=state,
    )
    names = _names(done.folder)
    assert {"state:lamport.json", "logs:swarm.jsonl"} < names
    assert len([name for name in names if name.startswith("cas:")]) > BLOBS


def test_damage_in_the_site_is_copied_as_it_is_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    root = tmp_path / "site"
    write_site(root, 16, seed=4)
    plant(root, seed=4)
    leave_hot_journal(root / ".state" / "plan.db")
    os.mkfifo(root / "logs" / "pipe")
    odd = os.fsencode(root / "logs") + b"/\xff\xfe"
    Path(os.fsdecode(odd)).write_bytes(b"odd name")
    (root / "logs" / ("long" * 50)).write_bytes(b"long name")
    done = _made(root, tmp_path / "backups")
    assert done.manifest.plan is not None
    assert done.manifest.plan.recovered_from == "hot journal"
    assert {one.name for one in done.manifest.skipped} - {"logs:pipe"} <= {
        f"cas:{path.relative_to(root / '.cas')}" for path in (root / ".cas").rglob("*") if path.is_file()
    }
    assert "logs:pipe" in {one.name for one in done.manifest.skipped}
    assert {"logs:\udcff\udcfe", "logs:" + "long" * 50} < _names(done.folder)
    assert verify_backup(done.folder).faults == ()


def test_a_log_that_grows_meanwhile_is_copied_as_far_as_it_went(v1_site: Path, tmp_path: Path) -> None:
    log = v1_site / "logs" / "swarm.jsonl"
    stopping = threading.Event()

    def write() -> None:
        with log.open("ab", buffering=0) as file:
            while not stopping.is_set():
                file.write(b'{"more": 1}\n' * 50)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = _made(v1_site, tmp_path / "backups")
    finally:
        stopping.set()
        writer.join()
    (entry,) = (entry for entry in m.read_entries(done.folder) if entry.name == "logs:swarm.jsonl")
    assert done.manifest.skipped == ()
    assert hashlib.sha256(log.read_bytes()[: entry.size]).hexdigest() == entry.sha256
    assert entry.size >= 2_012_149


def test_a_plan_store_that_is_written_to_meanwhile_is_copied_as_of_one_moment(v1_site: Path, tmp_path: Path) -> None:
    path = v1_site / ".state" / "plan.db"
    stopping = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as db:
            at = 0
            while not stopping.is_set():
                at += 1
                db.execute("BEGIN")
                db.execute("INSERT INTO ops VALUES (?, 't', 1, 'a', 'ANNOTATE', 'x', '{}', 1)", (f"new-{at}",))
                db.execute("INSERT INTO tasks VALUES (?, 't', NULL, 'DRAFT', 1)", (f"new-{at}",))
                db.execute("COMMIT")
                time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = _made(v1_site, tmp_path / "backups")
    finally:
        stopping.set()
        writer.join()
    with closing(sqlite3.connect(done.folder / "plan.db")) as db:
        ops, tasks = (
            db.execute(f"SELECT count(*) FROM {table} WHERE {key} LIKE 'new-%'").fetchone()[0]
            for table, key in (("ops", "op_id"), ("tasks", "task_id"))
        )
    assert ops == tasks


@pytest.mark.parametrize("name", ["files-00001.tar", "files.jsonl", "plan.db"])
def test_one_flipped_byte_anywhere_in_a_backup_is_found(v1_site: Path, tmp_path: Path, name: str) -> None:
    folder = _made(v1_site, tmp_path / "backups").folder
    assert verify_backup(folder).faults == ()
    with (folder / name).open("r+b") as file:
        file.seek(file.seek(0, os.SEEK_END) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert name in {fault.name for fault in verify_backup(folder).faults}


def test_a_missing_file_a_strange_file_and_a_broken_manifest_are_told(v1_site: Path, tmp_path: Path) -> None:
    folder = _made(v1_site, tmp_path / "backups").folder
    (folder / "strange").write_bytes(b"")
    (folder / "files-00001.tar").unlink()
    faults = {fault.name: fault.happened for fault in verify_backup(folder).faults if ":" not in fault.name}
    assert {"strange", "files-00001.tar"} <= faults.keys()
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(SiteUnreadable, match="no manifest"):
        verify_backup(folder)


_KILLED = """
import os, signal, sys
from pathlib import Path
from canswarm_tui.engine.backup.make import back_up
from canswarm_tui.engine.settings import SiteSettings
left = int(sys.argv[3])
def die(_advance):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
back_up(SiteSettings(root=Path(sys.argv[1])), Path(sys.argv[2]), 30, with_redis=False, tell=die)
"""


@pytest.mark.parametrize("after", [1, 60, 150])
def test_a_killed_backup_is_never_taken_for_one_and_the_next_begins_anew(
    v1_site: Path, tmp_path: Path, after: int
) -> None:
    into = tmp_path / "backups"
    command = [sys.executable, "-c", _KILLED, str(v1_site), str(into), str(after)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = list_backups(into)
    assert left.folder.name.endswith(".partial")
    assert left.manifest is None
    done = _made(v1_site, into)
    assert [kept.folder for kept in list_backups(into)] == [done.folder]


def test_a_backup_that_is_being_made_elsewhere_is_left_alone(v1_site: Path, tmp_path: Path) -> None:
    into = tmp_path / "backups"

    def again(_: Advance) -> None:
        with pytest.raises(Busy):
            _made(v1_site, into)
        raise Stopped("test", "enough", "")

    with pytest.raises(Stopped):
        back_up(SiteSettings(root=v1_site), into, 30, with_redis=False, tell=again)


def test_a_stop_ends_it_soon_and_leaves_nothing(v1_site: Path, tmp_path: Path) -> None:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 100:
            raise Stopped("backup", "stopped", "")

    with pytest.raises(Stopped):
        back_up(SiteSettings(root=v1_site), tmp_path / "backups", 30, with_redis=False, stop=stop)
    assert list((tmp_path / "backups").iterdir()) == []


def test_stop_is_looked_at_between_chunks_of_a_large_file(v1_site: Path, tmp_path: Path) -> None:
    with (v1_site / "logs" / "old.jsonl").open("wb") as file:
        file.truncate(64 << 20)
    moments = [time.monotonic()]
    back_up(
        SiteSettings(root=v1_site),
        tmp_path / "backups",
        30,
        with_redis=False,
        stop=lambda: moments.append(time.monotonic()),
    )
    assert len(moments) > 64 * 3
    assert max(later - sooner for sooner, later in itertools.pairwise(moments)) < 5


def test_progress_counts_what_there_is_and_ends_at_its_totals(v1_site: Path, tmp_path: Path) -> None:
    seen: list[Advance] = []
    done = back_up(SiteSettings(root=v1_site), tmp_path / "backups", 30, with_redis=False, tell=seen.append)
    copying = [one for one in seen if one.doing == "copying"]
    assert copying[-1].files == done.manifest.files == copying[-1].total_files - 1  # the plan store goes through SQLite
    assert copying[-1].size_bytes == done.manifest.size_bytes
    assert [one for one in seen if one.doing == "reading back"][-1].size_bytes == done.manifest.size_bytes


def test_too_small_a_disk_is_told_before_anything_is_written(
    v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1_000_000))
    with pytest.raises(NoSpace, match=r"976\.6 KiB are free"):
        _made(v1_site, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EACCES, Refused), (errno.EIO, SiteUnreadable)],
)
def test_what_a_disk_says_becomes_an_error_with_a_remedy(number: int, error: type[Exception]) -> None:
    with pytest.raises(error), disk_errors(Path("there")):
        raise OSError(number, os.strerror(number))


def test_a_disk_that_fills_up_in_the_middle_leaves_no_half_backup(
    v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("canswarm_tui.engine.backup.make.flush", full)
    with pytest.raises(NoSpace):
        _made(v1_site, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


def test_backups_are_listed_newest_first_with_age_and_countdown(v1_site: Path, tmp_path: Path) -> None:
    into = tmp_path / "backups"
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    site = SiteSettings(root=v1_site)
    for days in (40, 3):
        back_up(site, into, 30, with_redis=False, now=now - timedelta(days=days))
    newer, older = list_backups(into, v1_site)
    assert newer.age(now) == timedelta(days=3)
    assert newer.left(now) == timedelta(days=27)
    assert older.left(now) == timedelta(days=-10)
    assert list_backups(into, tmp_path / "another site") == []


def test_nothing_younger_than_its_date_is_removed(v1_site: Path, tmp_path: Path) -> None:
    into = tmp_path / "backups"
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    folder = back_up(SiteSettings(root=v1_site), into, 30, with_redis=False, now=now).folder
    with pytest.raises(Blocked, match="must be kept until 2026-12-23"):
        remove_backup(folder, now + timedelta(days=29, hours=23))
    assert verify_backup(folder).faults == ()
    remove_backup(folder, now + timedelta(days=30))
    assert list_backups(into) == []


def test_two_backups_in_one_second_have_two_names(v1_site: Path, tmp_path: Path) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    site = SiteSettings(root=v1_site)
    names = [back_up(site, tmp_path / "b", 30, with_redis=False, now=now).folder.name for _ in range(2)]
    assert names == ["v1-site-20261123T120000Z", "v1-site-20261123T120000Z-2"]


def test_a_damaged_plan_store_is_copied_page_by_page_and_its_damage_told(v1_site: Path, tmp_path: Path) -> None:
    with (v1_site / ".state" / "plan.db").open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xa5" * 4096)
    done = _made(v1_site, tmp_path / "backups")
    assert done.manifest.plan is not None
    assert done.manifest.plan.integrity
    assert verify_backup(done.folder).faults == ()
    restore(done.folder, tmp_path / "restored")
    assert compare_restored(done.folder, tmp_path / "restored").differences == ()
    restored = tmp_path / "restored" / ".state" / "plan.db"
    assert restored.read_bytes()[40 * 4096 : 41 * 4096] == b"\xa5" * 4096


def test_a_redis_that_does_not_answer_ends_the_backup_and_leaves_nothing(v1_site: Path, tmp_path: Path) -> None:
    site = SiteSettings(root=v1_site, redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        back_up(site, tmp_path / "backups", 30)
    assert list((tmp_path / "backups").iterdir()) == []


def test_no_password_is_written_into_a_backup(
    v1_site: Path, private_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = private_server("redis", password="s3cret-of-ours")
    site = SiteSettings(root=v1_site, redis_url=server.endpoint, redis_password="s3cret-of-ours")
    folder = back_up(site, tmp_path / "backups", 30).folder
    assert not [path.name for path in folder.iterdir() if b"s3cret-of-ours" in path.read_bytes()]
