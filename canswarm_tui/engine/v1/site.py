"""A v1 site as a whole: where its pieces are, its keys and its clock, and who else has it open.

Reads names, sizes and small files only; the stores themselves have modules of their own. Key material never leaves
the values of this module, not even into a repr.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.v1.envelope import public_key

SEED_NAME: Final = "SWARM_SIGNING_SK_B64"
PUBLIC_NAME: Final = "SWARM_VERIFY_PK_B64"
LOG_NAME: Final = "swarm.jsonl"
CLOCK_NAME: Final = "lamport.json"

_WRITING: Final = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of the site. `trouble` is empty, or says why it can't be read."""

    name: str
    path: Path
    size_bytes: int
    """Of a file; 0 for a folder and for what is missing."""
    mtime_ns: int
    mode: int
    """Permission bits; 0 where it is missing."""
    trouble: str = ""


def log_file(site: SiteSettings) -> Path:
    """v1's audit log."""
    return site.log_folder / LOG_NAME


def clock_file(site: SiteSettings) -> Path:
    """v1's Lamport clock."""
    return site.state_folder / CLOCK_NAME


def pieces(site: SiteSettings) -> tuple[Piece, ...]:
    """Plan store, clock, content store, audit log and keys, in this order, wherever the settings put them."""
    return (
        _piece("plan store", site.plan_db, folder=False),
        _piece("Lamport clock", clock_file(site), folder=False),
        _piece("content store", site.cas_folder, folder=True),
        _piece("audit log", log_file(site), folder=False),
        _piece("keys", site.env_file, folder=False),
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """v1's signing keys as `.env` has them. `trouble` is empty when both are there, well-formed and one pair."""

    trouble: str
    public: bytes | None
    """32 bytes; None where it is missing or malformed."""
    seed: bytes | None = field(default=None, repr=False)
    """32 bytes, a secret."""


def read_keys(path: Path) -> Keys:
    """Of an `.env` file; raises `SiteUnreadable` where it can't be read."""
    values = _read_env(path)
    seed, public = _key(values.get(SEED_NAME)), _key(values.get(PUBLIC_NAME))
    return Keys(_key_trouble(values, seed, public), public, seed)


@dataclass(frozen=True, slots=True)
class Clock:
    """The Lamport clock; `counter` is None where the file does not hold one, and `trouble` says why."""

    counter: int | None
    trouble: str = ""


def read_clock(path: Path) -> Clock:
    """Of `lamport.json`: `{"counter": N}`, N ≥ 0."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        return Clock(None, exc.strerror or str(exc))
    except (ValueError, RecursionError):
        return Clock(None, "it is no JSON")
    counter = value.get("counter") if isinstance(value, dict) else None
    if type(counter) is not int or counter < 0:
        return Clock(None, "it holds no counter")
    return Clock(counter)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a file of the site open."""

    pid: int
    command: str
    """Name of its program."""
    path: Path
    writes: bool
    """The file is open for writing."""


def holders(paths: Collection[Path]) -> tuple[Holder, ...]:
    """Other processes that have one of the files open, as far as we may see, sorted by pid. Linux's /proc only.

    Processes of other users are invisible unless we are root: no holder is no proof, so look whether files move, too.
    """
    wanted = {identity: path for path in paths if (identity := _identity(path)) is not None}
    found = {holder for pid in _pids() for holder in _held_by(pid, wanted)}
    return tuple(sorted(found, key=lambda holder: (holder.pid, str(holder.path), holder.writes)))


def hot_journal(plan_db: Path) -> bool:
    """A rollback journal lies beside the plan store: somebody is writing, or crashed while writing."""
    try:
        return Path(f"{plan_db}-journal").stat().st_size > 0
    except OSError:
        return False


def fingerprint(paths: Collection[Path]) -> dict[Path, tuple[int, int, int] | None]:
    """(inode, size, mtime_ns) of each, None where it is missing; two that differ say that somebody wrote between."""
    return {path: _stand(path) for path in paths}


def _piece(name: str, path: Path, folder: bool) -> Piece:
    try:
        found = path.stat()
    except OSError as exc:
        return Piece(name, path, 0, 0, 0, exc.strerror or str(exc))
    right_kind = stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)
    needed = os.R_OK | os.X_OK if folder else os.R_OK
    trouble = "" if right_kind else f"it is no {'folder' if folder else 'file'}"
    if not trouble and not os.access(path, needed):
        trouble = "we have no right to read it"
    size = 0 if folder else found.st_size
    return Piece(name, path, size, found.st_mtime_ns, stat.S_IMODE(found.st_mode), trouble)


def _read_env(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as exc:
        raise SiteUnreadable(str(path), exc.strerror or str(exc), "check that v1's .env is there and readable") from exc
    lines = (line.strip().removeprefix("export ").partition("=") for line in text.splitlines())
    return {name.strip(): value.strip().strip("'\"") for name, sign, value in lines if sign and name[:1] != "#"}


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == 32 else None


def _key_trouble(values: dict[str, str], seed: bytes | None, public: bytes | None) -> str:
    for name, key in ((SEED_NAME, seed), (PUBLIC_NAME, public)):
        if key is None:
            return f"{name} is {'malformed' if name in values else 'missing'}"
    assert seed is not None
    return "" if public_key(seed) == public else f"{PUBLIC_NAME} is not the public key of {SEED_NAME}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _stand(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _pids() -> Iterator[int]:
    try:
        names = [path.name for path in Path("/proc").iterdir()]
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit() and int(name) != os.getpid())


def _held_by(pid: int, wanted: dict[tuple[int, int], Path]) -> Iterator[Holder]:
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for handle in handles:
        path = wanted.get(_identity(handle) or (-1, -1))
        if path is not None:
            yield Holder(pid, _command(pid), path, _writes(pid, handle.name))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip()
    except OSError:
        return "?"


def _writes(pid: int, number: str) -> bool:
    """From the octal `flags:` of fdinfo, see proc(5); what can't be read counts as writing."""
    try:
        lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text("ascii").splitlines()
    except OSError:
        return True
    flags = next((line.split()[1] for line in lines if line.startswith("flags:")), "2")
    return bool(int(flags, 8) & _WRITING)
