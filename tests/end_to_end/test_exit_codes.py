"""Every exit code from outside, with an error that says what to do and never a traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from canswarm_tui.engine.lock import hold_run, is_held
from canswarm_tui.sandbox import process
from tests.end_to_end.places import Place


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def place(new_place: Callable[..., Place]) -> Place:
    return new_place("codes")


def test_2_an_unknown_setting_names_the_nearest_and_a_secret_is_no_flag(place: Place) -> None:
    for arguments, hint in (
        (("status", "--set", "s3.buket=x"), "Did you mean s3.bucket?"),
        (("status", "--set", "s3.secret_key=x"), "a secret is never a flag"),
        (("run", "decision", "--yes"), "Did you mean decisions?"),
        (("run", "decisions"), "Add --yes"),
        (("rate", "fast"), "records a second"),
        (("rate", "50"), "nothing runs for this site"),
        (("run", "--yes", "--rate", "-1"), "records a second"),
        (("nonsense",), "No such command"),
    ):
        done = place.program(*arguments)
        assert done.returncode == 2, done.stderr
        assert hint in told(done)


def test_2_as_json_is_one_object_with_the_error_in_it(place: Place) -> None:
    done = place.program("status", "--json", "--set", "nonsense")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["exit_code"], answer["format"]) == (2, 2, "canswarm-tui/1")
    assert set(answer["error"]) == {"subject", "happened", "remedy"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CANSWARM_ETCD__ENDPOINTS", "http://127.0.0.1:{free}"),
        ("CANSWARM_S3__SECRET_KEY", "not-the-secret"),
        ("CANSWARM_SITE__REDIS_URL", "redis://no-such-host.invalid:6379/0"),
        ("CANSWARM_SITE__ROOT", "/no/such/site"),
    ],
)
def test_3_what_cannot_be_reached_or_refuses_us_is_named(place: Place, name: str, value: str) -> None:
    place.environment[name] = value.format(free=process.free_port())
    place.environment["CANSWARM_ETCD__TIMEOUT_S"] = "2"
    done = place.program("preflight", "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["error"]["remedy"]
    assert "not-the-secret" not in told(done) + done.stdout


def test_a_status_tells_of_a_site_that_is_not_there_and_counts_in_words(place: Place) -> None:
    assert "site:" not in told(place.program("status"))
    place.environment["CANSWARM_ETCD__ENDPOINTS"] = f"http://127.0.0.1:{process.free_port()}"
    place.environment["CANSWARM_ETCD__TIMEOUT_S"] = "2"
    assert place.program("preflight").returncode == 3
    assert "1 blocker\n" in place.program("status").stdout
    place.environment["CANSWARM_SITE__ROOT"] = "/no/such/site"
    done = place.program("status")
    assert done.returncode == 0
    assert "there is no .state folder in /no/such/site now. Check site.root" in told(done)


@pytest.mark.parametrize(
    ("name", "value"),
    [("CANSWARM_ETCD__ENDPOINTS", "http://127.0.0.1:{free}"), ("CANSWARM_S3__SECRET_KEY", "not-the-secret")],
)
def test_what_blocked_is_looked_at_anew_once_it_is_mended(place: Place, name: str, value: str) -> None:
    good = place.environment[name]
    place.environment[name] = value.format(free=process.free_port())
    place.environment["CANSWARM_ETCD__TIMEOUT_S"] = "2"
    assert place.program("run", "preflight", "backup", "--yes").returncode == 3
    place.environment[name] = good
    done = place.program("run", "preflight", "backup", "--yes")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stop"])
def test_4_a_stop_leaves_a_run_that_goes_on(place: Place, how: str) -> None:
    running = place.start("run", "--yes")
    state = place.folder / "site" / ".state"
    deadline = time.monotonic() + 30
    while not is_held(state) and time.monotonic() < deadline:
        time.sleep(0.05)
    if how == "stop":
        stopped = place.program("stop")
        assert stopped.returncode == 0, stopped.stderr
    else:
        running.send_signal(signal.Signals[how])
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 4, errors
    assert "Traceback" not in errors
    assert place.program("run", "--yes").returncode == 0


def test_a_step_that_was_killed_is_called_stopped_and_not_running(place: Place, tmp_path: Path) -> None:
    def state() -> tuple[str, str | None]:
        (step,) = [s for s in json.loads(place.program("status", "--json").stdout)["steps"] if s["step"] == "decisions"]
        return step["state"], step["error"]

    assert place.program("run", "preflight", "backup", "--yes").returncode == 0
    running = place.start("run", "decisions", "--yes", "--set", "engine.rate_limit_records_s=5")
    deadline = time.monotonic() + 30
    while state() != ("running", None):
        assert time.monotonic() < deadline
    running.kill()
    running.communicate()
    assert state() == ("stopped", "it was interrupted; run it again to go on")
    assert place.program("report").returncode == 0
    assert "| Consensus: Redis → etcd | stopped |" in next(tmp_path.rglob("report.md")).read_text()
    with hold_run(place.folder / "site" / ".state", ()):  # another run, of another step
        assert state()[0] == "running"
    assert place.program("verify", "backup").returncode == 0
    with hold_run(place.folder / "site" / ".state", ()):
        assert state()[0] == "stopped"
    assert place.program("run", "decisions", "--yes").returncode == 0
    assert state() == ("proved", None)


def test_5_a_second_run_is_refused_while_one_lives(place: Place) -> None:
    with hold_run(place.folder / "site" / ".state", ()):
        done = place.program("run", "--yes", "--json")
        assert done.returncode == 5, done.stderr
        assert "another run" in told(done)
    assert place.program("run", "documentation", "--yes").returncode == 6


def test_5_what_does_not_stop_in_time_is_told(place: Place) -> None:
    assert place.program("preflight").returncode == 0
    with hold_run(place.folder / "site" / ".state", ()):
        done = place.program("stop", "--timeout", "0.5")
    assert done.returncode == 5, done.stderr
    assert "next safe point" in told(done)


def test_6_a_step_before_its_needs_and_another_plan_are_refused(place: Place) -> None:
    done = place.program("run", "decisions", "--yes")
    assert done.returncode == 6
    assert "canswarm-tui run backup" in told(done)
    done = place.program("run", "--yes", "--plan", "0123456789abcdef")
    assert done.returncode == 6
    assert "canswarm-tui plan" in told(done)


def test_10_damage_waits_for_a_person_until_it_is_accepted_with_a_reason(place: Place) -> None:
    client = redis.Redis.from_url(place.environment["CANSWARM_SITE__REDIS_URL"])
    client.set("decide:damaged", b"{")
    client.close()
    steps = ("preflight", "backup", "decisions")
    done = place.program("run", *steps, "--yes", "--json")
    assert done.returncode == 10, done.stderr
    (waiting,) = [f for f in json.loads(done.stdout)["findings"] if f["wants_decision"]]
    assert (waiting["kind"], waiting["subject"]) == ("quarantine", "decide:damaged")
    assert "1 waiting for a person\n1 finding waits for a person" in place.program("status").stdout
    assert place.program("findings", "list", "--waiting").returncode == 10
    assert place.program("findings", "accept", waiting["id"], "--reason", " ").returncode == 2
    assert place.program("findings", "accept", waiting["id"], "--reason", "known").returncode == 0
    assert place.program("findings", "list").returncode == 0
    assert place.program("run", *steps, "--yes").returncode == 0


def test_the_version_loads_neither_the_interface_nor_a_client() -> None:
    code = (
        "import sys; sys.argv = ['canswarm-tui', '--version']\n"
        "from canswarm_tui.__main__ import main; main()\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("canswarm-tui ")
    assert not {"textual", "rich", "grpc", "redis", "minio", "httpx", "automerge"} & set(done.stdout.split())


def test_the_whole_engine_loads_without_the_interface() -> None:
    """Deferred imports within functions apart: those the import contracts see."""
    code = (
        "import importlib, pkgutil, sys, canswarm_tui.engine as engine\n"
        "for one in pkgutil.walk_packages(engine.__path__, engine.__name__ + '.'): importlib.import_module(one.name)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "canswarm_tui.engine.runner" in loaded
    ours = {name for name in loaded if name.startswith("canswarm_tui.") and ".engine" not in name}
    assert not ours
    assert "textual" not in loaded  # rich comes with httpx, for a command line of its own


def test_the_run_keeps_a_report_in_three_forms(place: Place, tmp_path: Path) -> None:
    assert place.program("run", "preflight", "documentation", "--yes").returncode == 0
    done = place.program("report", "--json")
    assert done.returncode == 0, done.stderr
    paths = json.loads(done.stdout)
    assert all(Path(paths[form]).stat().st_size > 500 for form in ("json", "markdown", "html"))
