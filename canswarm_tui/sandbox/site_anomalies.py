"""Damage as real sites have it, planted into a generated site on purpose, and a list of what was planted where.

The kinds are named as the engine's readers name what they find, so a test can hold findings against the list.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import Defect
from canswarm_tui.engine.v1.blobs import blob_path
from canswarm_tui.sandbox import site_damaged_keys, site_damaged_log, site_damaged_plan
from canswarm_tui.sandbox.site_blobs import Artifact, artifact, write

_MANY_BLOCKS: Final = 13
"""Index of the blob that takes several blocks of IPFS."""
_EXTRA: Final = 1_000_000_000
"""Blobs from this index on belong to no thread."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One piece of damage. `subject` is how the thing is called, `where` is the file (or `redis`) that has it."""

    kind: str
    subject: str
    where: str


def plant(folder: Path, seed: int) -> list[Planted]:
    """Damages the generated site in `folder` and writes the list; to be called once, before Redis is loaded.

    Kinds come once or more; blobs that threads commit stay whole but one, so most of the site can still be migrated.
    """
    planted = [
        *(Planted(kind, subject, ".cas") for kind, subject in _blobs(folder / ".cas", seed)),
        *(Planted(kind, subject, "redis") for kind, subject in site_damaged_keys.plant(folder / "redis.jsonl")),
        Planted("clock_behind", _turn_back(folder / ".state" / "lamport.json"), ".state"),
        *(Planted(*found, ".state/plan.db") for found in site_damaged_plan.plant(folder / ".state" / "plan.db", seed)),
        *(
            Planted(*found, "logs/swarm.jsonl")
            for found in site_damaged_log.plant(folder / "logs" / "swarm.jsonl", seed)
        ),
    ]
    list_file(folder).write_text(json.dumps([dataclasses.asdict(p) for p in planted], indent=2) + "\n")
    return planted


def list_file(folder: Path) -> Path:
    """Where the list is: beside the site, not in it."""
    return folder.with_name(folder.name + ".anomalies.json")


def leave_hot_journal(plan_db: Path) -> None:
    """Leaves `plan.db` half written with a hot journal, by killing a real writer; its content is the journal's."""
    script = (
        "import os, signal, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size=1')\n"
        "db.execute('BEGIN')\n"
        "db.execute(\"UPDATE ops SET payload_json = payload_json || ' '\")\n"
        "db.execute('PRAGMA cache_spill=1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(plan_db)], check=False)
    if not Path(f"{plan_db}-journal").exists():
        raise Defect(str(plan_db), "the killed writer left no journal", "please report this")


def _turn_back(clock: Path) -> str:
    """The clock as an old copy has it; returns its name."""
    clock.write_text(json.dumps({"counter": 1}))
    return clock.name


def _blobs(cas: Path, seed: int) -> Iterator[tuple[str, str]]:
    rotten, many, short = (_extra(cas, seed, at) for at in range(3))
    many = artifact(seed, _MANY_BLOCKS)
    _overwrite(blob_path(cas, rotten.name), b"\0")
    yield "wrong_hash", _shown(cas, rotten)
    _overwrite(blob_path(cas, many.name), b"bit rot", at=3 << 20)
    yield "wrong_hash", _shown(cas, many)
    os.truncate(blob_path(cas, short.name), len(short.body) // 2)
    yield "wrong_hash", _shown(cas, short)
    yield from _strangers(cas, seed)
    unreadable = _extra(cas, seed, 3)
    blob_path(cas, unreadable.name).chmod(0)
    yield "unreadable", _shown(cas, unreadable)


def _strangers(cas: Path, seed: int) -> Iterator[tuple[str, str]]:
    home = blob_path(cas, _extra(cas, seed, 4).name).parent
    for kind, path in (
        ("leftover", home / "tmpx7f3k2_q"),
        ("not_a_blob", home / ("A" * 64)),
        ("not_a_blob", home / ("0" * 63)),
        ("not_a_blob", cas / "sha256" / "README"),
    ):
        path.write_bytes(b"not a blob\n")
        path.chmod(0o600)
        yield kind, str(path.relative_to(cas))
    astray = _extra(cas, seed, 5)
    elsewhere = cas / "sha256" / "00" / "ff"
    elsewhere.mkdir(parents=True, exist_ok=True)
    blob_path(cas, astray.name).rename(elsewhere / astray.name)
    yield "wrong_folder", str((elsewhere / astray.name).relative_to(cas))
    linked = _extra(cas, seed, 6)
    path = blob_path(cas, linked.name)
    path.unlink()
    path.symlink_to("/dev/null")
    yield "symlink", _shown(cas, linked)
    folder = _extra(cas, seed, 7)
    blob_path(cas, folder.name).unlink()
    blob_path(cas, folder.name).mkdir()
    yield "not_a_file", _shown(cas, folder)


def _extra(cas: Path, seed: int, at: int) -> Artifact:
    blob = artifact(seed, _EXTRA + at)
    write(cas, blob)
    return blob


def _overwrite(path: Path, content: bytes, at: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _shown(cas: Path, blob: Artifact) -> str:
    return str(blob_path(cas, blob.name).relative_to(cas))
