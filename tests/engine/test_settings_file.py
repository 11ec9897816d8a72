"""Flags win over the environment, the environment over the file; a mistake is named with its remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.settings import reveal
from canswarm_tui.engine.settings_file import load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("CANSWARM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("canswarm.toml").write_text(text)


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[etcd]\nendpoints = ["http://file:1"]\nuser = "from-file"\n[s3]\nbucket = "file"\nregion = "file"\n')
    monkeypatch.setenv("CANSWARM_ETCD__ENDPOINTS", "http://env:1, http://env:2")
    monkeypatch.setenv("CANSWARM_S3__BUCKET", "env")
    settings = load_settings(flags={"s3.bucket": "flag"}).settings
    assert settings.etcd.endpoints == ("http://env:1", "http://env:2")
    assert (settings.etcd.user, settings.s3.bucket, settings.s3.region) == ("from-file", "flag", "file")


def test_the_file_in_the_working_folder_comes_before_the_one_in_the_config_folder(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "canswarm-tui"
    folder.mkdir(parents=True)
    (folder / "canswarm.toml").write_text('[s3]\nbucket = "config"\n')
    assert load_settings().settings.s3.bucket == "config"
    write('[s3]\nbucket = "here"\n')
    assert load_settings().settings.s3.bucket == "here"


@pytest.mark.parametrize("name", ["CANSWARM_ETCD__ENDPOINT", "CANSWARM_S3__BUKET"])
def test_an_unknown_environment_setting_names_the_nearest(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=r"CANSWARM_(ETCD__ENDPOINTS|S3__BUCKET)\?"):
        load_settings()


def test_an_unknown_key_in_the_file_names_the_nearest_and_the_file() -> None:
    write('[ipfs]\napy = "http://x:1"\n')
    with pytest.raises(SettingsError, match=r"canswarm\.toml.*Did you mean ipfs\.api"):
        load_settings()


def test_a_secret_may_be_in_a_file_or_the_environment_but_never_a_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    monkeypatch.setenv("MY_KEY", "other")
    write('[s3]\nsecret_key = "file:key"\naccess_key = "env:MY_KEY"\n')
    settings = load_settings().settings
    assert (reveal(settings.s3.secret_key), reveal(settings.s3.access_key)) == ("s3cret", "other")
    assert "s3cret" not in repr(settings)
    with pytest.raises(SettingsError, match="never a flag"):
        load_settings(flags={"s3.secret_key": "s3cret"})


@pytest.mark.parametrize(
    ("content", "told"), [(None, "No such file"), (b" \n", "is empty"), (b"\xff\x00", "no text in UTF-8")]
)
def test_a_file_that_holds_no_secret_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    write('[opa]\ntoken = "file:token"\n')
    with pytest.raises(SettingsError, match=rf"opa\.token.*file:token.*{told}"):
        load_settings()


def test_a_wrong_value_is_explained_without_showing_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANSWARM_S3__SECRET_KEY", "env:NOT_THERE_AT_ALL")
    with pytest.raises(SettingsError, match=r"s3\.secret_key.*NOT_THERE_AT_ALL.*CANSWARM_S3__SECRET_KEY"):
        load_settings()


def test_endpoints_need_their_scheme_and_the_ipfs_api_may_be_a_multiaddr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANSWARM_IPFS__API", "/ip4/127.0.0.1/tcp/5001")
    assert load_settings().settings.ipfs.api == "http://127.0.0.1:5001"
    monkeypatch.setenv("CANSWARM_S3__ENDPOINT", "localhost:9000")
    with pytest.raises(SettingsError, match=r"http://HOST:PORT"):
        load_settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("etcd.endpoints", "http://one:1,two:2379"), ("etcd.endpoints", "http://one:99999"), ("opa.url", "http://"),
        ("s3.bucket", "b0"), ("s3.bucket", "Swarm"), ("s3.bucket", "10.0.0.1"), ("s3.bucket", "a..b"),
        ("site.redis_url", "http://one:6379"), ("site.nats_url", "one:4222"), ("site.redis_url", "redis://one:1/zero"),
        ("ipfs.api", "/ip4/127.0.0.1/tcp/99999"), ("site.stream", ""), ("site.stream", "a.b"),
    ],
)  # fmt: skip
def test_an_address_or_a_bucket_that_can_be_none_is_refused_by_its_key(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(key)}: .*flag"):
        load_settings(flags={key: value})


def test_a_wrong_url_is_not_repeated_where_it_may_hold_a_password() -> None:
    with pytest.raises(SettingsError) as told:
        load_settings(flags={"site.redis_url": "http://:hunter2@one:6379"})
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("key", ["etcd.endpoints", "s3.endpoint", "ipfs.api", "opa.url", "site.nats_monitor"])
def test_an_address_that_is_shown_everywhere_may_hold_no_password(key: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(key)}: it holds a user or a password") as told:
        load_settings(flags={key: "http://ann:hunter2@one:2379"})
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ('[s3]\nsecret_key = "hunter2"\n', 0o644, True), ('[s3]\nsecret_key = "hunter2"\n', 0o640, True),
        ('[s3]\nsecret_key = "hunter2"\n', 0o600, False), ('[s3]\nsecret_key = "env:HOME"\n', 0o644, False),
        ('[s3]\nbucket = "blobs"\n', 0o644, False),
    ],
)  # fmt: skip
def test_a_file_with_a_secret_that_others_may_read_is_told(text: str, mode: int, told: bool) -> None:
    write(text)
    Path("canswarm.toml").chmod(mode)
    exposed = load_settings().exposed
    assert ("s3.secret_key" in exposed and "chmod 600" in exposed) == bool(exposed) == told
    assert "hunter2" not in exposed


def test_a_scheme_that_contradicts_secure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANSWARM_S3__ENDPOINT", "https://s3.example")
    monkeypatch.setenv("CANSWARM_S3__SECURE", "false")
    with pytest.raises(SettingsError, match="contradicts"):
        load_settings()


def test_a_file_that_is_no_toml_is_told_with_its_line() -> None:
    write("[s3\nbucket")
    with pytest.raises(SettingsError, match=r"not TOML.*line 1"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[etcd]\nendpoints = []\n", "etcd.endpoints: it is empty"),
        ("[engine]\nworkers = 'many'\n", "engine.workers: it is no whole number"),
        ("[engine]\nworkers = 65\n", "engine.workers: it must be at most 64"),
        ("[engine]\nrate_limit_mib_s = inf\n", "engine.rate_limit_mib_s: it is no number"),
        ("[s3]\nsecure = 'perhaps'\n", "s3.secure: write true or false"),
        ("[policy]\nversion = 'v2'\n", "policy.version: write 'v1' or 'guide'"),
        ("[site]\nroot = 5\n", "site.root: it is no path"),
        ("[site]\nroot = ''\n", "site.root: it is empty"),
        ("etcd = 'one:2379'\n", "etcd: there is no such setting .* It is a group; its settings are etcd.endpoints"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(text: str, told: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=f"^{told}"):
        load_settings()


@pytest.mark.parametrize("name", ["canswarm_etcd__endpoint", "CANSWARM_STATEDIR", "CANSWARM_S3"])
def test_an_environment_setting_is_looked_at_whatever_its_case(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=r"CANSWARM_(ETCD__ENDPOINTS|STATE_DIR\?|S3__ENDPOINT)"):
        load_settings()


def test_a_settings_file_that_is_a_folder_or_no_text_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(SettingsError, match="no text in UTF-8"):
        load_settings(tmp_path / "latin.toml")
    with pytest.raises(SettingsError, match="Is a directory"):
        load_settings(tmp_path)
    (tmp_path / "canswarm.toml").mkdir()
    with pytest.raises(SettingsError, match="Is a directory"):
        load_settings()
    with pytest.raises(SettingsError, match="there is no such settings file"):
        load_settings(tmp_path / "absent.toml")


def test_a_home_in_a_path_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write('[site]\nroot = "~/swarm"\n[backup]\ndir = "~/kept"\n')
    settings = load_settings().settings
    assert (settings.site.root, settings.backup_folder) == (tmp_path / "swarm", tmp_path / "kept")
