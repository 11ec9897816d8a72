"""`canswarm-tui init` asks in a terminal: a wrong answer is asked again, secrets aren't shown, the file is whole."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
