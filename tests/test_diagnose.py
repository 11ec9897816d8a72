from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from canswarm_tui import cli
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.health.guided.registry import GUIDED
from canswarm_tui.engine.records import Record
from canswarm_tui.engine.settings import EtcdSettings, IpfsSettings, Settings
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.sandbox.servers import Server


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = cli.run([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_server_that_answers_ends_with_0_and_one_that_is_away_with_3(
    etcd_endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = answer(capsys, "diagnose", "etcd", "--set", f"etcd.endpoints={etcd_endpoint}")
    assert code == ExitCode.DONE
    assert told["servers"]["etcd"]["condition"] == "answers"
    assert told["servers"]["etcd"]["sections"][0]["facts"]["latency ms"] > 0
    code, told = answer(capsys, "diagnose", "etcd", "redis", "--set", f"etcd.endpoints={etcd_endpoint}",
                        "--set", "site.redis_url=redis://127.0.0.1:1/0")  # fmt: skip
    assert code == ExitCode.UNREACHABLE
    assert told["servers"]["redis"]["condition"] == "down"
    assert told["servers"]["redis"]["error"]["remedy"]


def test_decisions_in_etcd_are_listed_and_one_is_opened(
    etcd_endpoint: str, clean_redis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(EtcdClient(EtcdSettings(endpoints=(etcd_endpoint,)))) as client:
        for n in range(3):
            client.write("Put", rpc.PutRequest(key=f"/told/need-{n}".encode(), value=b"\x1b[31mred"))
    here = ("--set", f"etcd.endpoints={etcd_endpoint}", "--set", "etcd.prefix=/told/",
            "--set", f"site.redis_url={clean_redis}")  # fmt: skip
    code, told = answer(capsys, "diagnose", "etcd", "--keys", "--prefix", "need-", *here)
    assert code == ExitCode.DONE
    assert [entry["key"] for entry in told["entries"]] == ["need-0", "need-1", "need-2"]
    assert cli.run(["diagnose", "etcd", "--key", "need-1", *here]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "it has no string under this key" in text


def test_ipfs_is_listed_verified_and_a_wrong_cid_is_a_mistake(
    ipfs_api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--set", f"ipfs.api={ipfs_api}")
    assert answer(capsys, "diagnose", "ipfs", "--pins", *here)[0] == ExitCode.DONE
    body = b"a pin of the shell's test"
    digest = hashlib.sha256(body).digest()
    with KuboApi(IpfsSettings(api=ipfs_api)) as api:
        IpfsSink(api).write([Record(digest.hex().encode(), digest, len(body), body)], "shell-pins")
    mine = str(Cid.raw(digest))
    for kind, there in (("indirect", [mine]), ("recursive", [])):
        _, told = answer(capsys, "diagnose", "ipfs", "--pins", "--type", kind, "--prefix", mine, *here)
        assert [entry["key"] for entry in told["entries"]] == there
    code, told = answer(capsys, "diagnose", "ipfs", "--verify", *here)
    assert (code, told["problems"]) == (ExitCode.DONE, [])
    assert cli.run(["diagnose", "ipfs", "--cid", "nonsense", *here]) == ExitCode.SETTINGS
    assert cli.run(["diagnose", "redis", "--pins", *here]) == ExitCode.SETTINGS


def test_the_round_is_one_versioned_object_with_every_guided_check(
    etcd_endpoint: str, clean_redis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--set", f"etcd.endpoints={etcd_endpoint}", "--set", f"site.redis_url={clean_redis}")
    code, told = answer(capsys, "diagnose", "etcd", *here)
    assert (code, told["diagnose_format"]) == (ExitCode.DONE, 1)
    checks = {check["id"]: check for check in told["checks"]}
    assert set(checks) == {"etcd.health", "etcd.consensus", "etcd.space", "etcd.keys"}
    assert checks["etcd.health"]["verdict"] == "fine"
    assert checks["etcd.health"]["looked_at"]
    assert checks["etcd.health"]["command"].startswith("etcdctl ")
    assert cli.run(["diagnose", "etcd", *here]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert "writes fail: mvcc: database space exceeded\n      fine: no alarm" in text
    assert "      $ etcdctl " in text


def test_a_bad_check_of_a_server_that_answers_ends_with_10(
    private_server: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server = private_server("redis")
    with closing(redis.Redis.from_url(server.endpoint)) as client:
        client.replicaof("127.0.0.1", "1")
    code, told = answer(capsys, "diagnose", "redis", "--set", f"site.redis_url={server.endpoint}")
    assert code == ExitCode.ATTENTION
    assert told["servers"]["redis"]["condition"] == "answers"


def test_without_a_site_every_server_is_looked_at_all_the_same(
    etcd_endpoint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, told = answer(capsys, "diagnose", "--set", f"etcd.endpoints={etcd_endpoint}", "--state-dir", str(tmp_path))
    assert code == ExitCode.UNREACHABLE
    assert told["servers"]["etcd"]["condition"] == "answers"
    assert told["servers"]["automerge"]["condition"] == "missing"


def test_the_page_about_diagnostics_names_every_check_and_its_symptom(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "diagnose.md").read_text()
    settings = Settings(state_dir=tmp_path)
    for name in GUIDED:
        for check in GUIDED[name](settings):
            assert f"| `{check.id}` | {check.symptom} |" in page


def run_until(signal_at: Callable[[str], bool], *words: str) -> tuple[int, list[str]]:
    """The program itself, ended by SIGINT once a line of its answer is the one waited for."""
    program = [sys.executable, "-m", "canswarm_tui", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line)
            if signal_at(line):
                running.send_signal(signal.SIGINT)
                break
        return running.wait(30), lines


def test_a_watch_gives_an_object_a_line_until_ctrl_c(etcd_endpoint: str, clean_redis: str) -> None:
    code, lines = run_until(
        lambda _line: True, "diagnose", "etcd", "--watch", "--json", "--set", f"etcd.endpoints={etcd_endpoint}",
        "--set", f"site.redis_url={clean_redis}",
    )  # fmt: skip
    assert code == ExitCode.DONE
    told = json.loads(lines[0])
    assert told["at"]
    assert told["servers"]["etcd"]["condition"] == "answers"


def test_decisions_are_watched_live_until_ctrl_c(etcd_endpoint: str) -> None:
    writing = threading.Event()

    def write() -> None:
        with closing(EtcdClient(EtcdSettings(endpoints=(etcd_endpoint,)))) as client:
            for n in range(200):
                client.write("Put", rpc.PutRequest(key=b"/live/need-1", value=str(n).encode()))
                if writing.wait(0.1):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    code, lines = run_until(
        lambda line: "need-1" in line, "diagnose", "etcd", "--keys", "--watch", "--json", "--prefix", "need",
        "--set", f"etcd.endpoints={etcd_endpoint}", "--set", "etcd.prefix=/live/",
    )  # fmt: skip
    writing.set()
    thread.join()
    assert code == ExitCode.DONE
    change = json.loads(lines[0])["change"]
    assert (change["key"], change["what"] in ("created", "changed")) == ("need-1", True)
