"""`canswarm-tui init` asks in a terminal: a wrong answer is asked again, secrets aren't shown, the file is whole."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canswarm_tui.sandbox import process
from tests.end_to_end.places import Place
from tests.end_to_end.terminal import Terminal

TYPED = "typed-secret-2718"


@pytest.fixture
def place(new_place: Callable[..., Place]) -> Place:
    return new_place("init")


@pytest.fixture
def asked(place: Place) -> Iterator[Callable[..., Terminal]]:
    """`init` with the file named and nothing of the site in the environment."""
    opened: list[Terminal] = []

    def ask(file: Path, **environment: str) -> Terminal:
        terminal = Terminal({"XDG_CONFIG_HOME": place.environment["XDG_CONFIG_HOME"], **environment}, 160, 50,
                            "init", "--out", str(file))  # fmt: skip
        opened.append(terminal)
        return terminal

    yield ask
    for terminal in opened:
        terminal.close()


def answer(terminal: Terminal, key: str, text: str) -> None:
    """Wait for the question about a setting and answer it."""
    terminal.until(lambda shown: _last_line(shown).startswith(f"{key} —"))
    terminal.press(text + "\r")
    terminal.settle(0.1)


def _last_line(shown: str) -> str:
    lines = [line for line in shown.splitlines() if line.strip()]
    # A question longer than the screen goes on in the next line.
    return next((line for line in reversed(lines) if " — " in line), "")


def answers_of(place: Place) -> dict[str, str]:
    e = place.environment
    return {
        "site.root": e["CANSWARM_SITE__ROOT"], "site.redis_url": e["CANSWARM_SITE__REDIS_URL"],
        "site.redis_password": "", "site.nats_url": e["CANSWARM_SITE__NATS_URL"],
        "etcd.endpoints": e["CANSWARM_ETCD__ENDPOINTS"], "etcd.user": "",
        "etcd.password": "", "s3.endpoint": e["CANSWARM_S3__ENDPOINT"], "s3.access_key": "env:MY_ACCESS",
        "s3.secret_key": e["CANSWARM_S3__SECRET_KEY"], "s3.bucket": e["CANSWARM_S3__BUCKET"],
        "ipfs.api": e["CANSWARM_IPFS__API"], "ipfs.token": "", "opa.url": e["CANSWARM_OPA__URL"], "opa.token": "",
        "backup.dir": "",
    }  # fmt: skip


def test_every_question_answered_writes_a_private_file_and_tests_each_server(
    place: Place, asked: Callable[..., Terminal], tmp_path: Path
) -> None:
    file = tmp_path / "canswarm.toml"
    terminal = asked(file, MY_ACCESS=place.environment["CANSWARM_S3__ACCESS_KEY"])
    for key, text in answers_of(place).items():
        answer(terminal, key, text)
    assert terminal.wait() == 0, terminal.text()
    assert file.stat().st_mode & 0o777 == 0o600
    table = tomllib.loads(file.read_text())
    assert table["s3"]["access_key"] == "env:MY_ACCESS"
    for server in ("redis", "nats", "etcd", "minio", "ipfs", "opa"):
        assert f"✓ {server}" in terminal.text()
    assert place.environment["CANSWARM_S3__SECRET_KEY"].encode() not in terminal.raw


def test_a_wrong_answer_is_asked_again_and_what_is_not_asked_is_kept(
    place: Place, asked: Callable[..., Terminal], tmp_path: Path
) -> None:
    file = tmp_path / "canswarm.toml"
    file.write_text(f'[etcd]\nprefix = "/kept/"\n[s3]\nsecret_key = "{TYPED}"\n')
    terminal = asked(file, MY_ACCESS=place.environment["CANSWARM_S3__ACCESS_KEY"])
    given = answers_of(place)
    for key, text in given.items():
        if key == "etcd.endpoints":
            answer(terminal, key, "localhost")
            terminal.until(lambda shown: "not a URL with its scheme" in shown)
        if key == "s3.access_key":
            answer(terminal, key, "env:NOT_THERE")
            terminal.until(lambda shown: "the environment has no NOT_THERE" in shown)
        answer(terminal, key, "" if key == "s3.secret_key" else text)
    terminal.until(lambda shown: "Replace" in shown)
    terminal.press("y\r")
    assert terminal.wait() == 3, terminal.text()
    table = tomllib.loads(file.read_text())
    assert table["etcd"]["prefix"] == "/kept/"
    assert table["s3"]["secret_key"] == TYPED
    assert "✗ minio" in terminal.text()
    assert TYPED.encode() not in terminal.raw


def test_ctrl_c_leaves_nothing_half_written(place: Place, asked: Callable[..., Terminal], tmp_path: Path) -> None:
    file = tmp_path / "canswarm.toml"
    terminal = asked(file)
    answer(terminal, "site.root", place.environment["CANSWARM_SITE__ROOT"])
    terminal.until(lambda shown: "site.redis_url" in shown)
    terminal.press("\x03")
    assert terminal.wait() == 4, terminal.text()
    assert "Traceback" not in terminal.text()
    assert [*tmp_path.glob("canswarm.toml*")] == []


def test_what_was_given_is_tested_also_where_the_environment_says_something_else(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "canswarm.toml"
    nobody = f"redis://127.0.0.1:{process.free_port()}/0"
    (tmp_path / "wrong").write_text("not-the-secret\n")
    where = os.path.relpath(tmp_path / "wrong")
    done = place.program("init", "--yes", "--out", str(file), "--set", f"site.redis_url={nobody}",
                         "--secret", f"s3.secret_key=file:{where}", "--json")  # fmt: skip
    assert done.returncode == 3, done.stderr
    connections = json.loads(done.stdout)["connections"]
    assert {name for name, wrong in connections.items() if wrong} == {"redis", "minio"}
    assert "CANSWARM_SITE__REDIS_URL is set" in done.stderr
    table = tomllib.loads(file.read_text())
    secret = Path(table["s3"]["secret_key"].removeprefix("file:"))
    assert (table["site"]["redis_url"], secret.is_absolute()) == (nobody, True)
    assert secret.samefile(tmp_path / "wrong")


def test_paths_are_written_whole_and_a_site_that_is_none_is_told(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "canswarm.toml"
    done = place.program("init", "--yes", "--out", str(file), "--set", "site.root=no-site")
    assert done.returncode == 3, done.stderr
    assert "✗ site: there is no .state folder" in done.stdout
    assert tomllib.loads(file.read_text())["site"]["root"] == str(Path("no-site").absolute())


def test_a_file_that_a_setting_names_and_that_is_no_certificate_is_a_wrong_setting(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    file = tmp_path / "canswarm.toml"
    done = place.program("init", "--yes", "--out", str(file), "--set", f"etcd.ca={tmp_path / 'ca.pem'}")
    assert done.returncode == 2, done.stderr
    assert "✗ files: etcd.ca" in done.stdout
    assert tomllib.loads(file.read_text())["etcd"]["ca"] == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--set", "s3.secret_key=hunter2"), "a secret is never a flag"),
        (("--secret", "s3.secret_key=hunter2"), "a secret is never a flag"),
        (("--secret", "s3.secret_key=env:NOT_THERE"), "the environment has no NOT_THERE"),
        (("--set", "s3.bukket=x"), "Did you mean s3.bucket?"),
    ],
)
def test_a_wrong_flag_writes_nothing(place: Place, tmp_path: Path, arguments: tuple[str, ...], hint: str) -> None:
    done = place.program("init", "--yes", "--out", str(tmp_path / "canswarm.toml"), *arguments)
    assert done.returncode == 2, done.stderr
    assert hint in done.stderr
    assert "hunter2" not in done.stderr
    assert [*tmp_path.glob("canswarm.toml*")] == []
