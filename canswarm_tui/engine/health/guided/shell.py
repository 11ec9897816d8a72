"""Shell commands that ask the same servers by their own tools, for copying.

No secret is in them: a tool takes it from its own environment variable, which is filled from that of our setting.
"""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import join, quote
from urllib.parse import urlsplit

from canswarm_tui.engine.place import without_secrets
from canswarm_tui.engine.settings import (
    EtcdSettings,
    IpfsSettings,
    OpaSettings,
    S3Settings,
    Settings,
    SiteSettings,
    reveal,
)


def etcdctl(etcd: EtcdSettings, *words: str) -> str:
    """Of etcd 3.4 and newer. etcdctl takes a password from ETCDCTL_PASSWORD."""
    head = 'ETCDCTL_PASSWORD="$CANSWARM_ETCD__PASSWORD" ' if etcd.user and etcd.password else ""
    options = [f"--endpoints={','.join(map(without_secrets, etcd.endpoints))}"]
    options += [f"--user={etcd.user}"] if etcd.user else []
    options += _files(cacert=etcd.ca, cert=etcd.cert, key=etcd.key)
    return head + join(["etcdctl", *options, *words])


def redis_cli(site: SiteSettings, *words: str) -> str:
    """redis-cli takes a password from REDISCLI_AUTH."""
    parts = urlsplit(site.redis_url)
    secret = site.redis_password is not None or parts.password is not None
    head = 'REDISCLI_AUTH="$CANSWARM_SITE__REDIS_PASSWORD" ' if secret else ""
    user = site.redis_user or (parts.username if parts.password is not None else None)
    if parts.scheme == "unix":
        options = ["-s", parts.path]
    else:
        options = ["-h", parts.hostname or "127.0.0.1", "-p", str(parts.port or 6379), "-n", _database(parts.path)]
    options += ["--user", user] if user else []
    if parts.scheme == "rediss":
        options.append("--tls")
        for name, path in (("cacert", site.redis_ca), ("cert", site.redis_cert), ("key", site.redis_key)):
            options += [] if path is None else [f"--{name}", str(path)]
    return head + join(["redis-cli", *options, *words])


def nats(site: SiteSettings, *words: str) -> str:
    """The nats command of github.com/nats-io/natscli; it takes secrets from variables of its own."""
    parts = urlsplit(site.nats_url)
    secrets = []
    if site.nats_token is not None:
        secrets.append('NATS_TOKEN="$CANSWARM_SITE__NATS_TOKEN"')
    if site.nats_password is not None or parts.password is not None:
        secrets.append('NATS_PASSWORD="$CANSWARM_SITE__NATS_PASSWORD"')
    user = site.nats_user or (parts.username if parts.password is not None else None)
    options = [f"--server={without_secrets(site.nats_url)}"]
    options += [f"--user={user}"] if user else []
    options += _files(creds=site.nats_creds, tlsca=site.nats_ca, tlscert=site.nats_cert, tlskey=site.nats_key)
    return " ".join([*secrets, join(["nats", *options, *words])])


def ipfs(settings: IpfsSettings, *words: str) -> str:
    """Kubo's own command, asking the daemon's API and never the network; it takes a token only as an argument."""
    head = f"SSL_CERT_FILE={quote(str(settings.ca))} " if settings.ca else ""
    token = reveal(settings.token)
    kind = "" if token is None or token.startswith(("bearer:", "basic:")) else "bearer:"
    login = "" if token is None else f'--api-auth="{kind}$CANSWARM_IPFS__TOKEN" '
    return f"{head}ipfs --offline --api={quote(_multiaddr(settings.api))} {login}{join(words)}"


def opa(settings: OpaSettings, path: str, *words: str) -> str:
    """OPA has no client of its own: curl, which reads the token from its input, where no list of processes shows it."""
    token = """printf 'header = "Authorization: Bearer %s"' "$CANSWARM_OPA__TOKEN" | """ if settings.token else ""
    login = "-K - " if settings.token else ""
    return f"{token}curl -sS {login}{join([*_curl_ca(settings.ca), *words, without_secrets(settings.url) + path])}"


def s3_knock(s3: S3Settings, path: str) -> str:
    """A request without a key, of which only the head is wanted."""
    return join(["curl", "-sS", "-D", "-", "-o", "/dev/null", *_curl_ca(s3.ca), without_secrets(s3.endpoint) + path])


def s3_admin(s3: S3Settings, path: str) -> str:
    """A request that curl (7.75 and newer) signs with the key, which it reads from its input."""
    login = """printf 'user = "%s:%s"' "$CANSWARM_S3__ACCESS_KEY" "$CANSWARM_S3__SECRET_KEY" | curl -sS -K -"""
    signed = ["--aws-sigv4", f"aws:amz:{s3.region}:s3", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    return f"{login} {join([*_curl_ca(s3.ca), *signed, without_secrets(s3.endpoint) + path])}"


def rclone(s3: S3Settings, *words: str) -> str:
    """rclone takes the key from its own variables and needs no configuration file."""
    login = 'RCLONE_S3_ACCESS_KEY_ID="$CANSWARM_S3__ACCESS_KEY" RCLONE_S3_SECRET_ACCESS_KEY="$CANSWARM_S3__SECRET_KEY"'
    options = ["--s3-provider=Minio", f"--s3-endpoint={without_secrets(s3.endpoint)}", f"--s3-region={s3.region}"]
    options += [f"--ca-cert={s3.ca}"] if s3.ca else []
    return f"{login} {join(['rclone', *words, f':s3:{s3.bucket}', *options])}"


def plain(*words: str) -> str:
    """Quoted where needed."""
    return join(words)


def python(program: str, *words: str) -> str:
    """With this program's own Python, which has the libraries."""
    return join([sys.executable, "-c", program, *words])


def both(first: str, second: str) -> str:
    """One line that asks the second only where the first was answered."""
    return f"{first} && {second}"


def ourselves(settings: Settings, *words: str) -> str:
    """For what no other tool can do."""
    site = [] if settings.site.root is None else ["--site", str(settings.site.root)]
    return join(["canswarm-tui", *words, *site])


def _files(**paths: Path | None) -> list[str]:
    return [f"--{name}={path}" for name, path in paths.items() if path is not None]


def _curl_ca(ca: Path | None) -> list[str]:
    return [] if ca is None else ["--cacert", str(ca)]


def _database(path: str) -> str:
    return path.strip("/") or "0"


def _multiaddr(api: str) -> str:
    parts = urlsplit(api)
    host = parts.hostname or ""
    kind = "ip6" if ":" in host else "ip4" if host.replace(".", "").isdigit() else "dns"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"/{kind}/{host}/tcp/{port}/{parts.scheme}"
