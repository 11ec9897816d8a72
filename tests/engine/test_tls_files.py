"""A file that a setting names and that is none is told before anything is begun, by setting, file and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings import (
    EtcdSettings,
    IpfsSettings,
    OpaSettings,
    S3Settings,
    Settings,
    SiteSettings,
)
from canswarm_tui.engine.tls_files import require_files
from tests.certificates import certificate

CREDS = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n"
HALF = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def settings(**files: Path) -> Settings:
    """Settings that name these files, `site_redis_ca` for `site.redis_ca`."""
    groups: dict[str, dict[str, Path]] = {}
    for name, path in files.items():
        group, _, field = name.partition("_")
        groups.setdefault(group, {})[field] = path
    return Settings(
        site=SiteSettings(**groups.get("site", {})), etcd=EtcdSettings(**groups.get("etcd", {})),
        s3=S3Settings(**groups.get("s3", {})), ipfs=IpfsSettings(**groups.get("ipfs", {})),
        opa=OpaSettings(**groups.get("opa", {})),
    )  # fmt: skip


ONES = (
    "site_redis_ca", "site_nats_ca", "etcd_ca", "s3_ca", "ipfs_ca", "opa_ca", "site_redis_cert", "site_nats_cert",
    "etcd_cert", "site_nats_creds",
)  # fmt: skip


@pytest.mark.parametrize("content", [None, b"", b"rubbish", HALF, b"\xff\x00" * 99], ids=lambda c: str(c)[:8])
@pytest.mark.parametrize("name", ONES)
def test_a_file_that_is_away_or_something_else_is_named_with_its_setting(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        require_files(settings(**{name: path}))
    told = str(caught.value)
    assert name.replace("_", ".", 1) in told
    assert str(path) in told
    assert "Name the" in told
    assert ".c:" not in told


def test_sound_files_pass_and_a_folder_does_not(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    creds = tmp_path / "creds"
    creds.write_text(CREDS)
    authorities = {name: cert for name in ONES if name.endswith("_ca")}
    pairs = {name: cert for name in ONES if name.endswith("_cert")}
    keys = {name.replace("_cert", "_key"): key for name in pairs}
    require_files(settings(**authorities, **pairs, **keys, site_nats_creds=creds))
    with pytest.raises(SettingsError, match="directory"):
        require_files(settings(etcd_ca=tmp_path))


def test_a_key_that_wants_a_password_or_belongs_to_another_certificate_is_refused_and_nothing_is_asked(
    tmp_path: Path,
) -> None:
    cert, key = certificate(tmp_path / "one")
    _, other = certificate(tmp_path / "two")
    with pytest.raises(SettingsError, match=r"etcd\.cert"):
        require_files(settings(etcd_cert=cert, etcd_key=other))
    locked = tmp_path / "locked.pem"
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(SettingsError, match="unencrypted"):
        require_files(settings(etcd_cert=cert, etcd_key=locked))
    with pytest.raises(SettingsError, match=r"etcd\.key"):
        require_files(settings(etcd_cert=cert, etcd_key=tmp_path / "away"))
