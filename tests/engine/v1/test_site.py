from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.site import (
    Clock,
    clock_file,
    fingerprint,
    holders,
    hot_journal,
    log_file,
    pieces,
    read_clock,
    read_keys,
)

HOLD = """
import sys
files = [open(path, mode) for path, mode in zip(sys.argv[1::2], sys.argv[2::2])]
print("open", flush=True)
sys.stdin.read()
"""


def test_the_pieces_of_a_real_site_are_found(v1_site: Path) -> None:
    found = pieces(SiteSettings(root=v1_site))
    assert [piece.name for piece in found] == ["plan store", "Lamport clock", "content store", "audit log", "keys"]
    assert [piece.trouble for piece in found] == [""] * 5
    assert all(piece.size_bytes == piece.path.stat().st_size for piece in found if piece.path.is_file())


def test_overridden_folders_are_looked_into(v1_site: Path, tmp_path: Path) -> None:
    for name in (".state", ".cas", "logs"):
        (v1_site / name).rename(tmp_path / f"moved{name}")
    site = SiteSettings(
        root=v1_site,
        state_dir=tmp_path / "moved.state",
        cas_dir=tmp_path / "moved.cas",
        log_dir=tmp_path / "movedlogs",
    )
    assert [bool(piece.trouble) for piece in pieces(site)] == [True, False, False, False, False]
    assert log_file(site).is_file()
    assert clock_file(site).is_file()


def test_what_is_missing_or_of_the_wrong_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / ".cas").write_bytes(b"")
    troubles = {piece.name: piece.trouble for piece in pieces(SiteSettings(root=tmp_path))}
    assert troubles["content store"] == "it is no folder"
    assert troubles["plan store"] == "No such file or directory"


def test_the_keys_of_a_real_site_are_a_pair_and_are_not_shown(v1_site: Path) -> None:
    keys = read_keys(v1_site / ".env")
    assert keys.trouble == ""
    assert keys.seed is not None
    assert repr(keys.seed) not in repr(keys)
    text = (v1_site / ".env").read_text()
    assert not any(part in repr(keys) for part in text.replace("=", "\n").split() if len(part) > 30)


@pytest.mark.parametrize(
    ("env", "trouble"),
    [
        ("", "SWARM_SIGNING_SK_B64 is missing"),
        ("SWARM_SIGNING_SK_B64=abc\n", "SWARM_SIGNING_SK_B64 is malformed"),
        (f"SWARM_SIGNING_SK_B64={'A' * 43}=\n", "SWARM_VERIFY_PK_B64 is missing"),
        (
            f"export SWARM_SIGNING_SK_B64='{'A' * 43}='\nSWARM_VERIFY_PK_B64={'A' * 43}=",
            "SWARM_VERIFY_PK_B64 is not the public key of SWARM_SIGNING_SK_B64",
        ),
        (f"#SWARM_SIGNING_SK_B64={'A' * 43}=\n", "SWARM_SIGNING_SK_B64 is missing"),
    ],
)
def test_what_is_wrong_with_the_keys_is_told_without_them(tmp_path: Path, env: str, trouble: str) -> None:
    (tmp_path / ".env").write_text(env)
    assert read_keys(tmp_path / ".env").trouble == trouble


def test_a_missing_env_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SiteUnreadable):
        read_keys(tmp_path / ".env")


def test_the_clock_of_a_real_site_is_read(v1_site: Path) -> None:
    assert read_clock(v1_site / ".state" / "lamport.json") == Clock(923)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"counter": "1"}', '{"counter": -1}', '{"counter": true}', "\xff"])
def test_a_damaged_clock_has_no_counter(tmp_path: Path, text: str) -> None:
    (tmp_path / "lamport.json").write_text(text, "latin-1")
    clock = read_clock(tmp_path / "lamport.json")
    assert clock.counter is None
    assert clock.trouble


def test_processes_that_hold_a_file_are_named(v1_site: Path) -> None:
    plan, log = v1_site / ".state" / "plan.db", v1_site / "logs" / "swarm.jsonl"
    assert holders([plan, log]) == ()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(plan), "rb", str(log), "ab"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        found = holders([plan, log, v1_site / "missing"])
        assert {(one.pid, one.path, one.writes) for one in found} == {(child.pid, plan, False), (child.pid, log, True)}
        assert all("python" in one.command for one in found)
        child.communicate()
    assert holders([plan, log]) == ()


def test_a_writers_journal_and_its_writes_are_seen(v1_site: Path) -> None:
    plan = v1_site / ".state" / "plan.db"
    before = fingerprint([plan, v1_site / "none"])
    assert not hot_journal(plan)
    with closing(sqlite3.connect(plan, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("DELETE FROM edges")
        assert hot_journal(plan)
        db.execute("COMMIT")
    assert not hot_journal(plan)
    after = fingerprint([plan, v1_site / "none"])
    assert after[plan] != before[plan]
    assert after[v1_site / "none"] is None
