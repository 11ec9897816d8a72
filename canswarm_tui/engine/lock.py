"""One live run for a site and for a target: advisory file locks, which the kernel drops when their holder dies.

The site's lock is on its `.state` folder itself, so that it holds whatever the state folder of the tool is and writes
nothing into the site. A target's lock is a file named after it in a folder that all users' runs on this machine share.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from canswarm_tui.engine.errors import Busy, SettingsError, SiteUnreadable

PATIENCE_S = 0.5
"""Somebody who only looks whether a run is live holds the lock for an instant: that is no other run."""
_REMEDY = "wait for it to end, or ask it to stop with `canswarm-tui stop`"


@contextmanager
def hold_run(site_folder: Path, targets: Iterable[str]) -> Iterator[None]:
    """Hold the site and all targets (named by `place.target_locks`) for this run.

    Raises `Busy` when another live run holds one, `SiteUnreadable` when the site's folder can't be opened.
    """
    with ExitStack() as held:
        held.enter_context(_lock_folder(site_folder))
        for target in sorted(set(targets)):
            held.enter_context(_lock_target(target))
        yield


def is_held(site_folder: Path) -> bool:
    """Whether a live run holds this site now."""
    try:
        with _lock_folder(site_folder, patience_s=0.0):
            return False
    except Busy:
        return True
    except SiteUnreadable:
        return False


@contextmanager
def _lock_folder(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise SiteUnreadable(str(folder), f"the folder can't be opened: {exc.strerror}", "check site.root") from exc
    with _locked(fd, f"site {folder}", patience_s):
        yield


@contextmanager
def _lock_target(target: str) -> Iterator[None]:
    folder = Path(tempfile.gettempdir()) / "canswarm-tui-locks"
    name = hashlib.sha256(target.encode()).hexdigest()[:24]
    try:
        fd = _open_shared(folder, f"{name}.lock")
    except OSError as exc:
        raise SettingsError(
            f"target {target}",
            f"its lock in {folder} can't be opened: {exc.strerror}",
            "let every user that migrates write to that folder and read its files, or set TMPDIR",
        ) from exc
    with _locked(fd, f"target {target}", PATIENCE_S):
        yield


def _open_shared(folder: Path, name: str) -> int:
    """A lock file that any user may open again, whatever the umask of the one who makes it."""
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)
    path = folder / name
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Without O_CREAT: Linux refuses that for another user's file in a sticky folder.
        return os.open(path, flags)
    except FileNotFoundError:
        fd = os.open(path, flags | os.O_CREAT, 0o644)
        os.fchmod(fd, 0o644)
        return fd


@contextmanager
def _locked(fd: int, subject: str, patience_s: float) -> Iterator[None]:
    deadline = time.monotonic() + patience_s
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= deadline:
                    raise Busy(subject, "another run of canswarm-tui holds it", _REMEDY) from exc
                time.sleep(0.05)
        yield
    finally:
        os.close(fd)
