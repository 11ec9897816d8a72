"""One live run for a site and a target; a dead holder is no obstacle, and looking is no run."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Busy
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
