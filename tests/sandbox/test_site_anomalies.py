"""Planted damage: the list says truly what is there, the readers find all of it, and a clean site has none of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from canswarm_tui.engine.errors import Blocked, ExitCode
from canswarm_tui.engine.settings import SiteSettings
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.v1 import blobs, decisions
from canswarm_tui.engine.v1.audit_line import AuditLine, Judge
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v1.plan_open import HOT_JOURNAL
from canswarm_tui.engine.v1.plan_projection import Projection, compare_tables
from canswarm_tui.engine.v1.plan_rows import BadRow
from canswarm_tui.engine.v1.policy import V1, decide
from canswarm_tui.engine.v1.redis_client import connect_redis
from canswarm_tui.sandbox import site_anomalies, site_redis
from canswarm_tui.sandbox.site import write_site
from canswarm_tui.sandbox.site_anomalies import Planted
from canswarm_tui.sandbox.site_command import site as command

Site = tuple[Path, list[Planted]]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("damaged") / "site"
    write_site(folder, 16, seed=5)
    return folder, site_anomalies.plant(folder, seed=5)


def _in(planted: list[Planted], where: str) -> set[tuple[str, str]]:
    return {(one.kind, one.subject) for one in planted if one.where == where}


def test_the_list_lies_beside_the_site_and_says_what_was_planted(damaged: Site) -> None:
    folder, planted = damaged
    listed = json.loads(site_anomalies.list_file(folder).read_text())
    assert [Planted(**one) for one in listed] == planted
    assert site_anomalies.list_file(folder).parent == folder.parent


def test_every_odd_thing_in_the_content_store_is_listed_and_every_listed_one_is_found(damaged: Site) -> None:
    folder, planted = damaged
    found = {
        (one.fault.value, one.path)
        for one in blobs.inventory(folder / ".cas", processes=1)
        if isinstance(one, blobs.Oddity)
    }
    unreadable = {one for one in _in(planted, ".cas") if one[0] == "unreadable"}
    assert found | unreadable == _in(planted, ".cas")  # root reads what nobody else can
    assert [one for one in unreadable if (folder / ".cas" / one[1]).stat().st_mode & 0o777 == 0]


def test_every_odd_op_and_every_wrong_table_row_is_found(damaged: Site, tmp_path: Path) -> None:
    folder, planted = damaged
    plan = PlanDb.open(folder / ".state" / "plan.db", tmp_path)
    ops = list(plan.ops())
    found = {("bad_row", op.name.partition("(")[2].rstrip(")")) for op in ops if isinstance(op, BadRow)}
    with Projection(tmp_path) as projection:
        found |= {(odd.fault.value, odd.op_id) for odd in projection.feed(ops)}
        differences = compare_tables(projection, plan.tasks(), plan.edges())
        found |= {("table_differs", difference.name) for difference in differences}
    assert found == _in(planted, ".state/plan.db")
    assert plan.integrity_faults() == ()


def _judged(folder: Path) -> dict[str, AuditLine]:
    judge = Judge(lambda name: blobs.blob_exists(folder / ".cas", name), V1.current_hashes)
    with (folder / "logs" / "swarm.jsonl").open("rb") as log:
        return {f"line {number}": judge.line(number, 0, text) for number, text in enumerate(log, 1)}


def test_every_bad_line_is_found_under_its_number(damaged: Site) -> None:
    folder, planted = damaged
    lines = _judged(folder)
    listed = _in(planted, "logs/swarm.jsonl")
    for kind, name in listed - {("duplicate_line", name) for name in lines}:
        line = lines[name]
        reasons = decide(line.carried.facts).reasons if line.carried is not None else ()
        assert kind in {line.form, *line.faults, *reasons}, (kind, name, line)
    unsound = {name for name, line in lines.items() if not line.sound}
    assert unsound <= {name for _, name in listed}


def test_a_doubled_line_is_the_line_before_it_again(damaged: Site) -> None:
    folder, planted = damaged
    (name,) = (name for kind, name in _in(planted, "logs/swarm.jsonl") if kind == "duplicate_line")
    lines = (folder / "logs" / "swarm.jsonl").read_bytes().split(b"\n")
    number = int(name.removeprefix("line "))
    assert lines[number - 1] == lines[number - 2]


def test_every_bad_key_in_redis_is_found_beside_all_sound_decisions(
    damaged: Site, clean_redis: str, tmp_path: Path
) -> None:
    folder, planted = damaged
    where = SiteSettings(redis_url=clean_redis)
    keys = site_redis.load(folder / "redis.jsonl", where)
    assert keys == connect_redis(where).dbsize()
    with Spool(tmp_path) as spool:
        decisions.scan(connect_redis(where), "Redis", spool)
        found = list(decisions.read(spool))
    bad = {(one.fault.value, one.name) for one in found if isinstance(one, decisions.BadDecision)}
    sound = [one for one in found if isinstance(one, decisions.Decision)]
    expiring = {("expires", f"decide:{one.need_id}") for one in sound if one.ttl_ms is not None}
    lost = {(kind, key) for kind, key in _in(planted, "redis") if kind == "lost"}
    assert lost
    assert not lost & {("lost", f"decide:{one.need_id}") for one in sound}
    assert bad | expiring == _in(planted, "redis") - lost
    assert len(bad) + len(sound) == keys - len(site_redis.FOREIGN)


def test_loading_twice_is_the_same_and_a_database_of_somebody_else_is_refused(damaged: Site, clean_redis: str) -> None:
    file, where = damaged[0] / "redis.jsonl", SiteSettings(redis_url=clean_redis)
    assert site_redis.load(file, where) == site_redis.load(file, where)
    client = redis.Redis.from_url(clean_redis)
    client.set("theirs", "1")
    with pytest.raises(Blocked, match="something else"):
        site_redis.load(file, where)
    client.close()


def test_a_killed_writer_leaves_a_journal_and_the_rows_of_before(tmp_path: Path) -> None:
    write_site(tmp_path / "site", 30, seed=2)
    path = tmp_path / "site" / ".state" / "plan.db"
    before = list(PlanDb.open(path, tmp_path).ops())
    site_anomalies.leave_hot_journal(path)
    plan = PlanDb.open(path, tmp_path / "scratch")
    assert plan.recovered_from == HOT_JOURNAL
    assert list(plan.ops()) == before


def test_the_command_writes_a_site_fills_redis_and_says_so_as_json(
    clean_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANSWARM_SITE__REDIS_URL", clean_redis)
    out = tmp_path / "demo"
    result = CliRunner().invoke(command, ["--out", str(out), "--threads", "3", "--json"], standalone_mode=False)
    assert result.return_value == ExitCode.DONE
    data = json.loads(result.stdout)["site"]
    assert (data["threads"], data["ops"], data["anomalies"]) == (3, 33, [])
    client = redis.Redis.from_url(clean_redis)
    assert data["redis_keys"] == client.dbsize() == data["decisions"] + len(site_redis.FOREIGN)
    client.close()
    assert not site_anomalies.list_file(out).exists()
