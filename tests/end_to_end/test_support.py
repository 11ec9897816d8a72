"""The archive for somebody who helps holds what they need and no secret, wherever one was planted."""

from __future__ import annotations

import json
import tarfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from canswarm_tui.engine.report_text import literal
from canswarm_tui.engine.support import known_secrets, redacted
from tests.end_to_end.places import Place

TOKEN = "planted/token+2718"


def test_it_holds_report_journal_log_and_looks_and_no_secret(new_place: Callable[..., Place], tmp_path: Path) -> None:
    place = new_place("support")
    assert place.program("run", "preflight", "backup", "--yes").returncode == 0
    assert place.program("report").returncode in (0, 10)
    (site_folder,) = (place.folder / "state" / "sites").iterdir()
    env_file = place.folder / "site" / ".env"
    key = next(line.partition("=")[2].strip() for line in env_file.read_text().splitlines() if "=" in line)
    secret = place.environment["CANSWARM_S3__SECRET_KEY"]
    planted = (secret, TOKEN, "url-password-31", key)
    with (site_folder / "canswarm-tui.log").open("a") as log:
        log.write("a line that should not be: " + " ".join(planted) + "\n" + json.dumps(planted) + "\n")
    place.environment["CANSWARM_OPA__TOKEN"] = TOKEN
    place.environment["CANSWARM_SITE__REDIS_URL"] = place.environment["CANSWARM_SITE__REDIS_URL"].replace(
        "redis://", "redis://:url-password-31@"
    )
    out = tmp_path / "bundle.tar.gz"
    refused = place.program("support-bundle", "--out", str(out))
    assert refused.returncode == 2
    assert not out.exists()
    done = place.program("support-bundle", "--out", str(out), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    with tarfile.open(out) as archive:
        files = {Path(one.name).name: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr]
    assert set(files) == set(json.loads(done.stdout)["files"])
    assert {"versions.json", "settings.json", "servers.json", "journal.json", "report.md", "log-end.txt"} <= set(files)
    assert json.loads(files["journal.json"])["steps"]["backup"]["state"] == "proved"
    assert json.loads(files["servers.json"])["etcd"]["condition"] == "answers"
    checks = {check["id"]: check["verdict"] for check in json.loads(files["checks.json"])}
    assert checks["etcd.health"] == "fine"
    assert json.loads(files["settings.json"])["s3.secret_key"] == "set, not shown"
    everything = "\n".join(files.values()) + done.stdout + done.stderr
    for one in planted:
        assert one not in everything


def test_secrets_are_known_in_every_form_in_which_they_may_be_written(tmp_path: Path) -> None:
    from pydantic import SecretStr

    from canswarm_tui.engine.settings import EtcdSettings, IpfsSettings, Settings, SiteSettings

    (tmp_path / ".env").write_text("A='quoted secret'  # a note\nB=bare-secret # note\n")
    settings = Settings(
        site=SiteSettings(
            root=tmp_path, redis_url="redis://:hunt%40er22@one:1/0", nats_url="nats://lone-token@one:4222",
            test_command="run --token=in-a-command",
        ),
        etcd=EtcdSettings(password=SecretStr('pä"ss9876')),
        ipfs=IpfsSettings(token=SecretStr("basic:me:words-words")),
    )  # fmt: skip
    hidden = known_secrets(settings)
    for written in (
        "hunt@er22", "hunt%40er22", "lone-token", "words-words", b64encode(b"me:words-words").decode(), "quoted secret",
        "bare-secret", "run --token=in-a-command", 'pä"ss9876', 'pä\\"ss9876', 'p\\u00e4\\"ss9876',
    ):  # fmt: skip
        assert redacted(f"<{written}>", hidden) == "<[redacted]>", written


def test_a_secret_is_taken_out_as_it_is_and_as_urls_and_json_write_it() -> None:
    from pydantic import SecretStr

    from canswarm_tui.engine.settings import OpaSettings, Settings

    hidden = known_secrets(Settings(opa=OpaSettings(token=SecretStr('a"b/c d'))))
    assert redacted('x a"b/c d y a%22b%2Fc%20d z a\\"b/c d', hidden) == "x [redacted] y [redacted] z [redacted]"
    hidden = known_secrets(Settings(opa=OpaSettings(token=SecretStr("Sup3r_S3cret!"))))
    assert redacted(f"as {literal('Sup3r_S3cret!')} in a report", hidden) == "as [redacted] in a report"
