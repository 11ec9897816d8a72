"""Preflight on the real v1 site and real servers: what it counts, what it names, what blocks which step."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from canswarm_tui.engine.errors import Blocked, Unreachable
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings import (
    EtcdSettings,
    IpfsSettings,
    OpaSettings,
    PolicySettings,
    S3Settings,
    Settings,
    SiteSettings,
)
from canswarm_tui.engine.step import Level
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.end_to_end.places import load_redis
from tests.engine.steps.running import Bench


@pytest.fixture
def settings(
    v1_site: Path,
    clean_redis: str,
    nats_url: str,
    etcd_endpoint: str,
    minio: Server,
    ipfs_api: str,
    opa_url: str,
    unique_bucket: str,
    tmp_path: Path,
) -> Settings:
    load_redis(v1_site, clean_redis)
    return Settings(
        site=SiteSettings(root=v1_site, redis_url=clean_redis, nats_url=nats_url),
        etcd=EtcdSettings(endpoints=(etcd_endpoint,), prefix=f"/test/{tmp_path.name}/"),
        s3=S3Settings(
            endpoint=minio.endpoint,
            access_key=SecretStr(minio.access_key),
            secret_key=SecretStr(minio.secret_key),
            bucket=unique_bucket,
        ),
        ipfs=IpfsSettings(api=ipfs_api),
        opa=OpaSettings(url=opa_url),
        state_dir=tmp_path / "state",
    )


def inventory(bench: Bench) -> dict[str, object]:
    journal = Journal.observe(bench.journal_path)
    try:
        found = journal.step("preflight").fact("inventory")
    finally:
        journal.close()
    assert isinstance(found, dict)
    return dict(found)


def test_the_real_site_is_counted_and_nothing_in_it_blocks(settings: Settings) -> None:
    bench = Bench(settings)
    bench.run("preflight")
    counted = inventory(bench)
    expected = {"threads": 53, "tasks": 79, "edges": 12, "ops": 578, "decisions": 37, "blobs": 57, "audit lines": 1801}
    assert {name: counted[name] for name in expected} == expected
    assert counted["derived rows that differ from a replay"] == 0
    assert sum(int(str(n)) for name, n in counted.items() if name.startswith("ops ")) == 578
    assert not [f for f in bench.findings("preflight") if f.finding.level is Level.BLOCKER]


def test_history_that_v1_would_refuse_today_is_a_warning_by_name_and_needs_nobody(settings: Settings) -> None:
    bench = Bench(settings)
    result = bench.runner().run(["preflight"])
    codes = {f.finding.code for f in bench.findings("preflight")}
    assert {"history.artifact_gone", "history.denied_by_policy"} <= codes
    assert result.waiting == 0


def test_a_derived_table_that_was_changed_by_hand_is_named(settings: Settings) -> None:
    db = sqlite3.connect(settings.site.plan_db)
    task = db.execute("SELECT task_id FROM tasks WHERE state = 'FINAL' LIMIT 1").fetchone()[0]
    db.execute("UPDATE tasks SET state = 'DRAFT' WHERE task_id = ?", (task,))
    db.commit()
    db.close()
    bench = Bench(settings)
    bench.run("preflight")
    (found,) = [f.finding for f in bench.findings("preflight") if f.finding.code == "plan.derived_tasks"]
    assert found.subject == task
    assert "'DRAFT'" in found.happened
    assert "'FINAL'" in found.happened


def test_a_clock_behind_the_ops_is_told(settings: Settings) -> None:
    clock = settings.site.state_folder / "lamport.json"
    clock.write_text('{"counter": 922}')
    bench = Bench(settings)
    bench.run("preflight")
    (found,) = [f.finding for f in bench.findings("preflight") if f.finding.code == "site.clock_behind"]
    assert (found.subject, found.level) == (str(clock), Level.WARNING)
    assert "923" in found.happened


def test_a_damaged_plan_store_blocks(settings: Settings) -> None:
    with settings.site.plan_db.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises((Blocked, Unreachable)):
        Bench(settings).run("preflight")


def test_a_missing_site_is_told_as_such(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"site": settings.site.model_copy(update={"root": tmp_path / "nowhere"})})
    with pytest.raises(Unreachable.__mro__[1], match="nowhere"):
        Bench(away).run("preflight")


@pytest.mark.parametrize(
    ("key", "code", "blocks"),
    [
        ("policy.rego_dir", "target.settings", "policy-opa,policy-wasm"),
        ("policy.opa_binary", "target.settings", "policy-opa,policy-wasm"),
        ("site.cas_dir", "site.no_folder", ""),
        ("site.log_dir", "site.no_folder", ""),
        ("backup.dir", "disk.no_folder", ""),
    ],
)
def test_a_folder_or_program_of_the_settings_that_is_none_blocks_before_anything_is_done(
    settings: Settings, tmp_path: Path, key: str, code: str, blocks: str
) -> None:
    group, name = key.split(".")
    (tmp_path / "file").touch()
    wrong = getattr(settings, group).model_copy(update={name: tmp_path / "file"})
    bench = Bench(settings.model_copy(update={group: wrong}))
    with pytest.raises((Blocked, Unreachable)):
        bench.run("preflight")
    (found,) = [f.finding for f in bench.findings("preflight") if f.finding.level is Level.BLOCKER]
    assert (found.code, found.details.get("blocks", "")) == (code, blocks)


def test_rego_of_ones_own_that_opa_refuses_blocks_before_anything_is_done(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "own.rego").write_text("package swarm.envelope\n\n%% no rego\n")
    own = PolicySettings(rego_dir=tmp_path, opa_binary=ensure("opa"))
    bench = Bench(settings.model_copy(update={"policy": own}))
    with pytest.raises(Blocked, match=r"own\.rego:3"):
        bench.run("preflight")
    (found,) = [f.finding for f in bench.findings("preflight") if f.finding.level is Level.BLOCKER]
    assert (found.code, found.details["blocks"]) == ("policy.unsound", "policy-opa,policy-wasm")


def test_an_unreachable_target_blocks_its_own_steps_only(settings: Settings) -> None:
    away = settings.model_copy(
        update={"ipfs": IpfsSettings(api=f"http://127.0.0.1:{process.free_port()}", timeout_s=2)}
    )
    bench = Bench(away)
    with pytest.raises(Unreachable, match="IPFS"):
        bench.run("preflight")
    (found,) = [f.finding for f in bench.findings("preflight") if f.finding.level is Level.BLOCKER]
    assert found.details["blocks"] == "blobs-ipfs"
    runner = Runner(away, lambda _event: None)
    runner.run(["documentation"])
    with pytest.raises(Blocked, match="Backup"):
        runner.run(["decisions"])


def test_a_wrong_secret_key_is_a_refusal_and_the_key_is_nowhere_told(settings: Settings) -> None:
    wrong = settings.s3.model_copy(update={"secret_key": SecretStr("not-the-secret-key")})
    bench = Bench(settings.model_copy(update={"s3": wrong}))
    with pytest.raises(Unreachable, match="refuses us"):
        bench.run("preflight")
    told = "".join(f"{f.finding.happened}{f.finding.remedy}{f.finding.details}" for f in bench.findings("preflight"))
    assert "not-the-secret-key" not in told
    assert b"not-the-secret-key" not in bench.journal_path.read_bytes()


def test_other_clients_of_redis_are_told(settings: Settings, clean_redis: str) -> None:
    other = redis.Redis.from_url(clean_redis, client_name="a-coordinator")
    other.get("x")
    bench = Bench(settings)
    bench.run("preflight")
    other.close()
    assert [
        f
        for f in bench.findings("preflight")
        if f.finding.code == "writer.redis" and "a-coordinator" in f.finding.happened
    ]


def test_keys_of_others_in_etcd_are_told_before_anything_is_written(settings: Settings) -> None:
    from canswarm_tui.engine.v2.etcd_client import EtcdClient
    from canswarm_tui.engine.v2.etcd_stubs import rpc

    client = EtcdClient(settings.etcd)
    client.write("Put", rpc.PutRequest(key=settings.etcd.prefix.encode() + b"theirs", value=b"x"))
    client.close()
    bench = Bench(settings)
    bench.run("preflight")
    assert [f for f in bench.findings("preflight") if f.finding.code == "target.not_empty"]


def test_a_decision_that_the_audit_log_names_and_redis_lost_is_a_warning_by_name(settings: Settings) -> None:
    client = redis.Redis.from_url(settings.site.redis_url)
    need = "221c4e00-3f99-41ee-baf2-7f802dc5fd3d"
    assert client.delete(f"decide:{need}") == 1
    client.close()
    bench = Bench(settings)
    bench.run("preflight")
    lost = [f.finding for f in bench.findings("preflight") if f.finding.code.startswith("decision.")]
    assert [(f.code, f.subject, f.level, f.needs_person) for f in lost] == [
        ("decision.lost", need, Level.WARNING, False)
    ]
    counted = inventory(bench)
    assert counted["needs decided by the audit log"] == 36
    assert counted["of them without a decision in Redis"] == 1


def audited(bench: Bench) -> dict[str, object]:
    """What the inventory says of the audit log."""
    names = ("audit", "needs", "of them without", "envelopes", "threads")
    return {name: value for name, value in inventory(bench).items() if name.startswith(names)}


@pytest.mark.parametrize("file", ["audit-decided.jsonl", "audit-pass.json"])
@pytest.mark.parametrize("how", ["empty", "rubbish", "cut", "other"])
def test_what_is_kept_of_the_audit_log_is_made_anew_where_it_is_damaged(
    settings: Settings, file: str, how: str
) -> None:
    client = redis.Redis.from_url(settings.site.redis_url)
    client.delete("decide:221c4e00-3f99-41ee-baf2-7f802dc5fd3d")
    client.close()
    bench = Bench(settings)
    bench.run("preflight")
    path, said = place_of(settings).folder / file, audited(bench)
    whole = path.read_bytes()
    cut = whole[: len(whole) * 2 // 3]
    path.write_bytes({"empty": b"", "rubbish": b"\xff\x00" * 99, "cut": cut}.get(how, whole.replace(b"1", b"2")))
    bench.run("preflight")
    assert audited(bench) == said
    assert path.read_bytes() == whole


def test_another_database_than_the_sites_is_not_taken_for_a_site_without_decisions(settings: Settings) -> None:
    client = redis.Redis.from_url(settings.site.redis_url)
    client.flushdb()
    client.set("session:1", "somebody else's")
    client.close()
    bench = Bench(settings)
    bench.run("preflight")
    (found,) = [f.finding for f in bench.findings("preflight") if f.finding.code.startswith("decision.")]
    assert found.code == "decision.most_lost"
    assert found.needs_person
    assert "36 decided needs" in found.happened
