from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from canswarm_tui import cli
from canswarm_tui.engine.errors import ExitCode
from canswarm_tui.engine.settings import EtcdSettings
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc


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
    code, told = answer(capsys, "diagnose", "ipfs", "--verify", *here)
    assert (code, told["problems"]) == (ExitCode.DONE, [])
    assert cli.run(["diagnose", "ipfs", "--cid", "nonsense", *here]) == ExitCode.SETTINGS
    assert cli.run(["diagnose", "redis", "--pins", *here]) == ExitCode.SETTINGS
