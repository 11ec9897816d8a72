"""One record three ways, on real servers: equal, changed at the target, lost there, unknown, damaged at the site."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis
from automerge.core import ROOT, Document, ObjType, ScalarType
from pydantic import SecretStr

from canswarm_tui.engine.errors import Blocked, SettingsError, Unreachable
from canswarm_tui.engine.settings import (
    EngineSettings,
    EtcdSettings,
    IpfsSettings,
    OpaSettings,
    PolicySettings,
    S3Settings,
    Settings,
    SiteSettings,
)
from canswarm_tui.engine.step import Finding, Kind, Level
from canswarm_tui.engine.three_ways import HINTS, Likeness, ThreeWays, compare_three_ways, key_of, keys_from
from canswarm_tui.engine.three_ways.values import excerpt
from canswarm_tui.engine.v1.blobs import blob_path
from canswarm_tui.engine.v2.blobs_ipfs import pinned_batches
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.decisions import cas_map_sink
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.engine.v2.plan_document.rows import OP_COLUMNS
from canswarm_tui.engine.v2.policy.opa_client import OpaClient
from canswarm_tui.engine.v2.s3_client import S3Client
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.binaries import ensure
from canswarm_tui.sandbox.servers import Server
from tests.engine.steps.running import Bench, without_needs
from tests.engine.steps.test_blobs import put_blob
from tests.engine.steps.test_decisions import decision

EQUAL, DIFFERENT, MISSING, ABSENT, APART = Likeness


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    without_needs(monkeypatch)


@pytest.fixture
def settings(v1_site: Path, tmp_path: Path) -> Settings:
    return Settings(site=SiteSettings(root=v1_site), state_dir=tmp_path / "state")


def compared(bench: Bench, step: str, key: str | bytes) -> ThreeWays:
    return compare_three_ways(bench.settings, step, key.encode() if isinstance(key, str) else key)


def likenesses(found: ThreeWays) -> tuple[Likeness, ...]:
    assert [(p.first, p.second) for p in found.pairs] == [
        ("site", "target"),
        ("site", "receipt"),
        ("target", "receipt"),
    ]
    return tuple(pair.likeness for pair in found.pairs)


class TestDecisions:
    @pytest.fixture
    def bench(self, settings: Settings, clean_redis: str, etcd_endpoint: str, tmp_path: Path) -> Bench:
        etcd = EtcdSettings(endpoints=(etcd_endpoint,), prefix=f"/test/{tmp_path.name}/three/")
        site = settings.site.model_copy(update={"redis_url": clean_redis})
        return Bench(settings.model_copy(update={"site": site, "etcd": etcd}))

    @pytest.fixture
    def client(self, clean_redis: str) -> redis.Redis:
        client = redis.Redis.from_url(clean_redis)
        client.set("decide:ünï/c:ode", decision("ünï/c:ode"))
        client.set("decide:other", decision("other"))
        return client

    def test_all_three_agree_after_a_run(self, bench: Bench, client: redis.Redis) -> None:
        bench.run("decisions")
        found = compared(bench, "decisions", "ünï/c:ode")
        assert found.equal
        assert likenesses(found) == (EQUAL, EQUAL, EQUAL)
        value = decision("ünï/c:ode")
        assert found.site.digest == found.target.digest == found.receipt.digest == hashlib.sha256(value).digest()
        assert found.site.size_bytes == len(value)
        assert found.site.excerpt == (value.decode(),)
        assert "written once" in found.target.facts[0]
        assert found.receipt.facts == ("this run made it",)

    def test_a_value_that_somebody_changed_in_etcd_differs_from_site_and_receipt(
        self, bench: Bench, client: redis.Redis
    ) -> None:
        bench.run("decisions")
        with closing(EtcdClient(bench.settings.etcd)) as etcd:
            key = (bench.settings.etcd.prefix + "other").encode()
            etcd.write("Put", rpc.PutRequest(key=key, value=decision("other", "q")))
        found = compared(bench, "decisions", "other")
        assert not found.equal
        assert likenesses(found) == (DIFFERENT, EQUAL, DIFFERENT)
        at = next(n for n, (a, b) in enumerate(zip(decision("other"), decision("other", "q"), strict=True)) if a != b)
        assert found.notes == (f"site and target differ from byte {at + 1} on",)
        assert "written 2 times" in found.target.facts[0]

    def test_what_is_lost_at_the_target_or_new_in_the_site_is_missing_there(
        self, bench: Bench, client: redis.Redis
    ) -> None:
        bench.run("decisions")
        client.set("decide:new", decision("new"))
        assert likenesses(compared(bench, "decisions", "new")) == (MISSING, MISSING, ABSENT)
        client.delete("decide:other")
        found = compared(bench, "decisions", "other")
        assert likenesses(found) == (MISSING, MISSING, EQUAL)
        assert not found.equal

    def test_a_key_that_nobody_knows_and_a_value_of_another_type_are_told(
        self, bench: Bench, client: redis.Redis
    ) -> None:
        bench.run("decisions")
        nowhere = compared(bench, "decisions", b"\xff\x00no")
        assert not nowhere.known
        assert not nowhere.equal
        assert "neither the site" in nowhere.summary
        client.lpush("decide:list", "x")
        client.set("decide:short", decision("short"), ex=600)
        assert compared(bench, "decisions", "list").site.problem == "it is a list and not a string"
        assert "Redis forgets it in" in compared(bench, "decisions", "short").site.facts[0]

    def test_neither_side_is_written_to(self, bench: Bench, client: redis.Redis) -> None:
        bench.run("decisions")
        with closing(EtcdClient(bench.settings.etcd)) as etcd:
            before = list(etcd.scan(bench.settings.etcd.prefix.encode()))
            journal = bench.journal_path.read_bytes()
            compared(bench, "decisions", "other")
            assert list(etcd.scan(bench.settings.etcd.prefix.encode())) == before
        assert bench.journal_path.read_bytes() == journal

    def test_a_server_that_is_away_is_an_error_with_its_name(self, bench: Bench, client: redis.Redis) -> None:
        bench.run("decisions")
        away = EtcdSettings(endpoints=(f"http://127.0.0.1:{process.free_port()}",), timeout_s=1)
        with pytest.raises(Unreachable, match="etcd"):
            compare_three_ways(bench.settings.model_copy(update={"etcd": away}), "decisions", b"other")

    def test_keys_are_offered_by_their_beginning(self, bench: Bench, client: redis.Redis) -> None:
        assert keys_from(bench.settings, "decisions", b"", 10) == []
        bench.run("decisions")
        assert keys_from(bench.settings, "decisions", b"", 10) == [b"other", "ünï/c:ode".encode()]
        assert keys_from(bench.settings, "decisions", b"oth", 10) == [b"other"]
        assert keys_from(bench.settings, "decisions", b"other", 10) == [b"other"]
        assert keys_from(bench.settings, "decisions", b"zzz", 10) == []
        assert len(keys_from(bench.settings, "decisions", b"", 1)) == 1


class TestBlobs:
    @pytest.fixture
    def bench(self, settings: Settings, minio: Server, ipfs_api: str, etcd_endpoint: str, unique_bucket: str) -> Bench:
        s3 = S3Settings(
            endpoint=minio.endpoint, access_key=SecretStr(minio.access_key), secret_key=SecretStr(minio.secret_key),
            bucket=unique_bucket,
        )  # fmt: skip
        etcd = EtcdSettings(endpoints=(etcd_endpoint,))
        return Bench(settings.model_copy(update={"s3": s3, "ipfs": IpfsSettings(api=ipfs_api), "etcd": etcd}))

    @pytest.fixture
    def small(self, v1_site: Path) -> str:
        return put_blob(v1_site, os.urandom(20) + b"a small blob \x1b[31m")

    def test_a_blob_is_equal_in_minio_and_in_ipfs_small_and_large(
        self, bench: Bench, v1_site: Path, small: str
    ) -> None:
        large = put_blob(v1_site, os.urandom(5_000_000))
        for step in ("blobs-minio", "blobs-ipfs"):
            bench.run(step)
            for name in (small, large):
                found = compared(bench, step, name)
                assert found.equal, found
                assert likenesses(found) == (EQUAL, EQUAL, EQUAL)
                assert found.target.digest is not None
                assert found.target.digest.hex() == name
                assert found.target.excerpt == found.site.excerpt
                assert "\x1b" not in "".join(found.site.excerpt)
        assert found.target.size_bytes == 5_000_000
        assert "of more than one block" in found.target.facts
        assert found.notes[0].startswith("the pin ")

    def test_an_object_that_was_changed_or_removed_in_minio_is_told(self, bench: Bench, small: str) -> None:
        bench.run("blobs-minio")
        with S3Client(bench.settings.s3) as client:
            client.api.put_object(client.bucket, small, data=io.BytesIO(b"evil"), length=4)
            changed = compared(bench, "blobs-minio", small)
            client.api.remove_object(client.bucket, small)
        assert likenesses(changed) == (DIFFERENT, EQUAL, DIFFERENT)
        assert hashlib.sha256(b"evil").hexdigest() in changed.target.problem
        assert likenesses(compared(bench, "blobs-minio", small)) == (MISSING, EQUAL, MISSING)

    def test_bit_rot_in_the_site_is_told_although_the_target_is_sound(
        self, bench: Bench, v1_site: Path, small: str
    ) -> None:
        bench.run("blobs-minio")
        path = blob_path(v1_site / ".cas", small)
        path.chmod(0o600)
        path.write_bytes(b"rotten")
        found = compared(bench, "blobs-minio", small)
        assert likenesses(found) == (DIFFERENT, DIFFERENT, EQUAL)
        assert "is not its name" in found.site.problem
        path.unlink()
        path.symlink_to("/etc/hostname")
        assert "no regular file" in compared(bench, "blobs-minio", small).site.problem

    def test_a_block_lost_in_ipfs_and_a_cid_lost_in_etcd_are_told(
        self, bench: Bench, v1_site: Path, small: str, private_server: Callable[..., Server]
    ) -> None:
        node = private_server("kubo")
        bench = Bench(bench.settings.model_copy(update={"ipfs": IpfsSettings(api=node.endpoint)}))
        large = put_blob(v1_site, os.urandom(3_000_000))
        for step in ("blobs-minio", "blobs-ipfs"):
            bench.run(step)
        with closing(EtcdClient(bench.settings.etcd)) as etcd:
            entry = cas_map_sink(etcd).get(large.encode())
            assert entry is not None
            etcd.write("DeleteRange", rpc.DeleteRangeRequest(key=b"/swarm/cas/" + large.encode()))
        unmapped = compared(bench, "blobs-ipfs", large)
        assert likenesses(unmapped) == (EQUAL, EQUAL, EQUAL)
        assert "v2 does not find it" in unmapped.target.problem
        assert not unmapped.equal
        with KuboApi(bench.settings.ipfs) as api:
            for batch in list(pinned_batches(api, bench.runner_run_id())):
                api.unpin(batch.root)
            api.remove_block(Cid.raw(bytes.fromhex(small)))
        lost = compared(bench, "blobs-ipfs", small)
        assert likenesses(lost) == (MISSING, EQUAL, MISSING)
        assert "no pin of this run holds it" in lost.notes[0]

    def test_what_is_no_hash_is_refused(self, bench: Bench, small: str) -> None:
        bench.run("blobs-minio")
        with pytest.raises(SettingsError, match="64 lower-case hex"):
            compared(bench, "blobs-minio", "../../etc/passwd")


class TestPlan:
    @pytest.fixture
    def bench(self, settings: Settings) -> Bench:
        return Bench(settings)

    def ids(self, site: Path) -> tuple[str, str, str]:
        """An op of a task, its task and its thread."""
        with closing(sqlite3.connect(site / ".state" / "plan.db")) as db:
            row: tuple[str, str, str] = db.execute(
                "SELECT op_id, task_id, thread_id FROM ops WHERE op_type = 'ADD_TASK' LIMIT 1"
            ).fetchone()
        return row

    def test_an_op_a_task_and_a_thread_are_found_by_their_ids_and_equal(self, bench: Bench, v1_site: Path) -> None:
        bench.run("plan-store")
        for noun, key in zip(("op", "task", "thread"), self.ids(v1_site), strict=True):
            found = compared(bench, "plan-store", key)
            assert (found.noun, found.equal) == (noun, True), found
            assert likenesses(found) == (EQUAL, APART, EQUAL)
            assert found.site.excerpt == found.target.excerpt
            assert found.notes == ()
        assert list(bench.runner().place.folder.glob("compare-*")) == []

    def test_a_column_changed_in_the_site_is_named(self, bench: Bench, v1_site: Path) -> None:
        bench.run("plan-store")
        op, task, thread = self.ids(v1_site)
        with closing(sqlite3.connect(v1_site / ".state" / "plan.db")) as db, db:
            db.execute("UPDATE ops SET lamport = lamport + 1, actor_id = 'x' WHERE op_id = ?", (op,))
        for key in (op, task, thread):
            found = compared(bench, "plan-store", key)
            assert likenesses(found)[0] is DIFFERENT
            assert found.notes == (f"op {op} differs in lamport, actor_id",)
            assert not found.equal

    def test_an_op_that_v2_wrote_and_one_that_the_site_alone_has(self, bench: Bench, v1_site: Path) -> None:
        bench.run("plan-store")
        op, task, _ = self.ids(v1_site)
        path = v1_site / ".state" / "plan_automerge.bin"
        _append_op(path, "v2-op")
        found = compared(bench, "plan-store", "v2-op")
        assert (found.noun, likenesses(found)) == ("op", (MISSING, APART, APART))
        assert "written again since" in found.pairs[2].why
        assert compared(bench, "plan-store", op).equal
        with closing(sqlite3.connect(v1_site / ".state" / "plan.db")) as db, db:
            db.execute("INSERT INTO ops SELECT 'new', thread_id, lamport, actor_id, op_type, task_id, payload_json,"
                       " timestamp_ns FROM ops WHERE op_id = ?", (op,))  # fmt: skip
        assert likenesses(compared(bench, "plan-store", "new"))[0] is MISSING
        assert compared(bench, "plan-store", task).notes == ("only the site has op new here",)

    def test_a_row_of_the_wrong_types_is_shown_with_its_faults(self, bench: Bench, v1_site: Path) -> None:
        bench.run("plan-store")
        with closing(sqlite3.connect(v1_site / ".state" / "plan.db")) as db, db:
            db.execute("INSERT INTO ops VALUES ('bad', 't', ?, 'a', 'STATE', 'k', '{}', 1)", (b"\xff\x1b",))
        found = compared(bench, "plan-store", "bad")
        assert "lamport is blob" in found.site.problem
        assert found.target.digest is None
        assert "\x1b" not in "".join(found.site.excerpt)

    def test_a_damaged_document_is_a_fact_and_a_missing_one_holds_nothing(self, bench: Bench, v1_site: Path) -> None:
        bench.run("plan-store")
        op, _, _ = self.ids(v1_site)
        path = v1_site / ".state" / "plan_automerge.bin"
        path.write_bytes(path.read_bytes()[:100])
        assert str(path) in compared(bench, "plan-store", op).target.problem
        path.unlink()
        assert likenesses(compared(bench, "plan-store", op)) == (MISSING, APART, MISSING)

    def test_of_many_documents_the_right_one_is_read(self, bench: Bench, v1_site: Path) -> None:
        engine = EngineSettings().model_copy(update={"memory_budget_mib": 1})
        bench = Bench(bench.settings.model_copy(update={"engine": engine}))
        with closing(sqlite3.connect(v1_site / ".state" / "plan.db")) as db, db:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO ops"
                " SELECT 'many-' || i, 'thread-' || (i % 7), 1, 'a', 'ANNOTATE', 'k', '{}', i FROM n"
            )
        bench.run("plan-store")
        assert (v1_site / ".state" / "plan_automerge" / "index.json").exists()
        op, task, _ = self.ids(v1_site)
        for noun, key in (("op", "many-17"), ("thread", "thread-3"), ("op", op), ("task", task)):
            found = compared(bench, "plan-store", key)
            assert (found.noun, found.equal) == (noun, True), found
            assert likenesses(found)[2] is EQUAL

    def test_op_ids_are_offered_by_their_beginning(self, bench: Bench, v1_site: Path) -> None:
        bench.run("plan-store")
        op, _, _ = self.ids(v1_site)
        assert keys_from(bench.settings, "plan-store", op[:6].encode(), 5)[0].decode().startswith(op[:6])
        assert len(keys_from(bench.settings, "plan-store", b"", 3)) == 3


class TestPolicy:
    @pytest.fixture
    def bench(self, settings: Settings, private_server: Callable[..., Server]) -> Bench:
        opa = OpaSettings(url=private_server("opa").endpoint)
        return Bench(settings.model_copy(update={"opa": opa, "policy": PolicySettings(opa_binary=ensure("opa"))}))

    def envelope(self, bench: Bench) -> str:
        log = bench.settings.site.log_folder / "swarm.jsonl"
        lines = (json.loads(line) for line in log.read_text().splitlines())
        return str(next(line["payload"]["id"] for line in lines if "sig_b64" in line.get("payload", {})))

    def test_documents_files_and_envelopes_are_equal_after_a_run(self, bench: Bench) -> None:
        for step, keys in (
            ("policy-opa", ("data/swarm/policy", "policies/swarm/envelope.rego")),
            ("policy-wasm", ("policy.wasm", "data.json", "manifest.json")),
        ):
            bench.run(step)
            for key in keys:
                found = compared(bench, step, key)
                assert likenesses(found) == (EQUAL, EQUAL, EQUAL), found
            asked = compared(bench, step, self.envelope(bench))
            assert (asked.noun, asked.equal) == ("envelope", True), asked
            assert likenesses(asked) == (EQUAL, APART, APART)
            assert asked.site.excerpt == asked.target.excerpt == ("deny: policy_hash_not_current",)
            line = asked.site.where.rpartition(" ")[2]
            assert compared(bench, step, f"line {line}").target == asked.target
            assert not compared(bench, step, "no-such-envelope").known

    def test_rules_that_were_changed_give_another_answer_and_another_document(self, bench: Bench) -> None:
        bench.run("policy-opa")
        with OpaClient(bench.settings.opa) as client:
            module = next(m for m in client.modules() if m.id == "swarm/envelope.rego")
            client.put_module(module.id, module.raw + b"\n# somebody was here\n")
            client.replace_data(("swarm", "policy"), b'{"allowed_kinds": []}')
        found = compared(bench, "policy-opa", "policies/swarm/envelope.rego")
        assert likenesses(found) == (DIFFERENT, EQUAL, DIFFERENT)
        assert found.notes[0].startswith("site and target differ from byte ")
        asked = compared(bench, "policy-opa", self.envelope(bench))
        assert likenesses(asked)[0] is DIFFERENT
        assert asked.target.excerpt[0].startswith("deny: ")

    def test_a_damaged_file_is_told_and_a_missing_one_holds_nothing(self, bench: Bench) -> None:
        bench.run("policy-wasm")
        folder = bench.runner().place.folder / "policy"
        (folder / "policy.wasm").unlink()
        assert likenesses(compared(bench, "policy-wasm", "policy.wasm")) == (MISSING, EQUAL, MISSING)
        assert compared(bench, "policy-wasm", self.envelope(bench)).target.digest is None


def test_before_anything_has_run_and_for_a_step_without_records_it_says_so(settings: Settings) -> None:
    with pytest.raises(Blocked, match="nothing has run"):
        compare_three_ways(settings, "decisions", b"x")
    with pytest.raises(SettingsError, match="Name one of blobs-minio"):
        compare_three_ways(settings, "backup", b"x")
    assert "backup" not in HINTS


@pytest.mark.parametrize(
    ("step", "code", "subject", "details", "key"),
    [
        ("decisions", "decision.differs", "n…", {"key": b"need\xff".hex()}, b"need\xff"),
        ("decisions", "decision.bad_json", "decide:need-1", {}, b"need-1"),
        ("blobs-minio", "blob.wrong_hash", "sha256/ab/cd/abcd", {}, b"abcd"),
        ("blobs-minio", "blob.leftover", "sha256/ab/cd/tmp1", {}, None),
        ("plan-store", "plan.op_differs", "op-1", {}, b"op-1"),
        ("plan-store", "plan.edge_missing", "a → b", {}, b"a"),
        ("plan-store", "plan.missing", "/site/plan_automerge.bin", {}, None),
        ("policy-opa", "policy.opa_differs", "env-1", {}, b"env-1"),
        ("backup", "backup.differs", "x", {}, None),
    ],
)
def test_a_finding_leads_to_its_record(
    step: str, code: str, subject: str, details: dict[str, str], key: bytes | None
) -> None:
    assert key_of(step, Finding(code, Level.WARNING, Kind.DIFFERENCE, subject, "h", "r", details)) == key


def test_an_excerpt_is_printable_whatever_the_content() -> None:
    assert excerpt(b"", 0) == ("(empty)",)
    assert excerpt("a\nü\u202eb".encode(), 6) == ("a", "ü\\u202eb")
    assert excerpt("ü".encode()[:1], 100)[-1].endswith("more bytes")
    assert excerpt(b"\x00\x1b\xff", 3) == ("bytes: 00 1b ff",)
    assert excerpt(b"a" * 10, 30) == ("a" * 10, "… 20 more bytes")


def _append_op(path: Path, op_id: str) -> None:
    """Append an op, as a v2 process would, by an actor of its own."""
    doc = Document.load(path.read_bytes())
    found = doc.get(ROOT, "ops")
    assert found is not None
    cells: tuple[str | int, ...] = (op_id, "t", 1, "k", "ANNOTATE", "x", "{}", 1)
    with doc.transaction() as tx:
        made = tx.insert_object(found[1], doc.length(found[1]), ObjType.Map)
        for column, value in zip(OP_COLUMNS, cells, strict=True):
            tx.put(made, column, ScalarType.Int if isinstance(value, int) else ScalarType.Str, value)
    path.write_bytes(doc.save())
