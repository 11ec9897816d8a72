"""One live run for a site and a target; a dead holder is no obstacle, and looking is no run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Busy, SiteUnreadable
from canswarm_tui.engine.lock import hold_run, is_held

HOLD = """
import sys, time
from pathlib import Path
from canswarm_tui.engine.lock import hold_run
with hold_run(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_of_the_site_or_of_a_target_is_refused_and_a_killed_holder_is_no_obstacle(tmp_path: Path) -> None:
    site, other, target = tmp_path / "site", tmp_path / "other", f"etcd {tmp_path}"
    site.mkdir()
    other.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(site), target], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(site)
        with pytest.raises(Busy, match="site"), hold_run(site, ()):
            pass
        with pytest.raises(Busy, match="target"), hold_run(other, (target,)):
            pass
        holder.kill()
    assert not is_held(site)
    with hold_run(site, (target,)):
        assert is_held(site)


def test_somebody_who_only_looks_keeps_no_run_from_starting(tmp_path: Path) -> None:
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_held(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(200):
            with hold_run(tmp_path, ()):
                pass
    finally:
        done.set()
        looking.join()


def test_two_sites_may_not_write_to_one_target_at_once(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    target = f"etcd {tmp_path}"
    with hold_run(one, [target]):
        with pytest.raises(Busy, match=f"target {target}"), hold_run(other, [f"s3 {tmp_path}", target]):
            pass
        with hold_run(other, [f"s3 {tmp_path}"]):
            pass
    with hold_run(other, [target]):
        pass


def test_the_lock_writes_nothing_into_the_site(tmp_path: Path) -> None:
    with hold_run(tmp_path, []):
        assert list(tmp_path.iterdir()) == []


def test_a_site_that_is_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(SiteUnreadable, match=r"site\.root"), hold_run(tmp_path / "away", []):
        pass
    assert not is_held(tmp_path / "away")


def test_another_user_can_lock_a_target_that_somebody_with_a_strict_umask_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0o077)
    try:
        with hold_run(tmp_path, ["etcd there"]):
            pass
    finally:
        os.umask(before)
    (folder,) = tmp_path.iterdir()
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert file.stat().st_mode & 0o444 == 0o444
