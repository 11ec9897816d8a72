"""Where the tool keeps what it knows of a site: one folder under the state folder, named after the site."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from canswarm_tui.engine.backup.places import Places
from canswarm_tui.engine.errors import SettingsError, file_error
from canswarm_tui.engine.settings import Settings

ANOTHER_STATE_FOLDER = "set state_dir (CANSWARM_STATE_DIR, --state-dir) to a folder that you may write"


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of one site's run."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    @property
    def log(self) -> Path:
        return self.folder / "canswarm-tui.log"

    @property
    def live(self) -> Path:
        """Rewritten twice a second by the one that runs, for those that watch."""
        return self.folder / "live.json"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def exports(self) -> Path:
        return self.folder / "exports"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def make(self) -> None:
        """Make the folder, readable by its owner only."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise file_error(str(self.folder), exc, ANOTHER_STATE_FOLDER) from exc


def place_of(settings: Settings) -> Place:
    """The place of the site in `settings`; raises `SettingsError` when none is named."""
    root = settings.site.require_root().resolve()
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "site"
    digest = hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return Place(settings.state_dir / "sites" / f"{slug[:40]}-{digest}")


def require_outside(settings: Settings) -> None:
    """Raise `SettingsError` where the state folder lies in what is v1's: a rollback would remove it."""
    folder = place_of(settings).folder.resolve()
    for part in Places.of(settings.site).paths.values():
        if folder.is_relative_to(part.resolve()):
            raise SettingsError(
                "state_dir", f"{settings.state_dir} lies inside {part}, which is v1's", "set it to a folder elsewhere"
            )


def site_identity(settings: Settings) -> dict[str, str]:
    """What makes this site this site, without secrets; compared when a run is resumed."""
    return {
        "site.root": str(settings.site.require_root().resolve()),
        "site.redis": without_secrets(settings.site.redis_url),
        "site.cas_dir": str(settings.site.cas_folder.resolve()),
        "site.log_dir": str(settings.site.log_folder.resolve()),
    }


def target_locks(settings: Settings) -> dict[str, tuple[str, ...]]:
    """What a run that writes to a target locks, by the target's name: every address that its servers' names stand for.

    So `localhost` and `127.0.0.1` are one target, and so are two clusters that share a member.
    """
    bucket, prefix = f"/{settings.s3.bucket}", settings.etcd.prefix
    return {
        "etcd": tuple(f"etcd {one}{prefix}" for url in settings.etcd.endpoints for one in _resolved(url)),
        "s3": tuple(f"s3 {one}{bucket}" for one in _resolved(settings.s3.endpoint)),
        "ipfs": tuple(f"ipfs {one}" for one in _resolved(settings.ipfs.api)),
        "opa": tuple(f"opa {one}" for one in _resolved(settings.opa.url)),
    }


def _resolved(url: str) -> list[str]:
    """`address:port` for each address of the host, `loopback` for this machine's own; the name where it has none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        found = {host}
    return sorted({f"{_plain(address)}:{port}" for address in found})


def _plain(address: str) -> str:
    try:
        return "loopback" if ipaddress.ip_address(address.partition("%")[0]).is_loopback else address
    except ValueError:
        return address


def target_addresses(settings: Settings) -> dict[str, str]:
    """The address of every target by its name, as it is set, without secrets."""
    return {
        "etcd": f"etcd {','.join(sorted(settings.etcd.endpoints))}{settings.etcd.prefix}",
        "s3": f"s3 {settings.s3.endpoint}/{settings.s3.bucket}",
        "ipfs": f"ipfs {settings.ipfs.api}",
        "opa": f"opa {settings.opa.url}",
    }


def without_secrets(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    netloc = parts.hostname or ""
    if ":" in netloc:
        netloc = f"[{netloc}]"
    if parts.port:
        netloc += f":{parts.port}"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
