from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.health import ipfs
from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.engine.health.ipfs import Pins, look, look_up, repo_verify
from canswarm_tui.engine.journal import Batch, ClosedBatch, Journal, Receipt, ReceiptFate
from canswarm_tui.engine.place import place_of, site_identity
from canswarm_tui.engine.records import Record, Wanted
from canswarm_tui.engine.settings import IpfsSettings, Settings, SiteSettings
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink, pinned_batches
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.kubo import KuboApi
from canswarm_tui.sandbox import process
from canswarm_tui.sandbox.servers import Server
from tests.frozen import wait_frozen

Start = Callable[..., Server]


def of(api: str) -> Settings:
    return Settings(ipfs=IpfsSettings(api=api))


def record(body: bytes) -> Record:
    digest = hashlib.sha256(body).digest()
    return Record(digest.hex().encode(), digest, len(body), body)


def test_a_healthy_node_tells_version_repo_and_pins(ipfs_api: str) -> None:
    found = look(of(ipfs_api))
    assert found.condition is Condition.ANSWERS
    assert str(dict(found.sections[0].facts)["version"]).startswith("0.")
    assert int(dict(found.sections[1].facts)["StorageMax bytes"]) > 0
    assert dict(found.sections[3].facts)["known"] == "no: there is no journal of this site, so nothing is known as ours"


def test_a_frozen_node_is_slow_and_a_stopped_one_down(private_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipfs, "LOOK_TIMEOUT_S", 0.7)
    server = private_server("kubo")
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        wait_frozen(server.running.pid)
        assert look(of(server.endpoint)).condition is Condition.SLOW
    finally:
        os.kill(server.running.pid, signal.SIGCONT)
    process.stop(server.running)
    assert look(of(server.endpoint)).condition is Condition.DOWN


def test_a_server_that_is_no_kubo_is_told_as_such(opa_url: str) -> None:
    assert look(of(opa_url)).condition is Condition.OTHER_VERSION


def test_pins_come_sorted_by_page_and_a_blob_is_found_by_its_v1_hash(ipfs_api: str) -> None:
    bodies = [f"blob of the health test {n}".encode() for n in range(12)]
    with KuboApi(of(ipfs_api).ipfs) as api:
        IpfsSink(api).write([record(body) for body in bodies], "health-1")
    pins, seen, after = Pins(of(ipfs_api), "indirect"), list[str](), None
    while True:
        page = pins.page(after=after, limit=5)
        seen += [entry.key for entry in page.entries]
        if (after := page.after) is None:
            break
    assert page.total == len(seen)
    assert seen == sorted(seen)
    cid = str(Cid.raw(hashlib.sha256(bodies[0]).digest()))
    assert cid in seen
    head, content = look_up(of(ipfs_api), hashlib.sha256(bodies[0]).hexdigest())
    facts = dict(head.facts)
    assert facts["CID"] == cid
    assert facts["all blocks here"] == "yes"
    assert str(facts["pinned"]).startswith("indirect")
    assert dict(content.facts)["bytes match"] == "yes"
    assert look_up(of(ipfs_api), cid) == (head, content)


def test_what_is_not_there_is_said_and_what_is_no_cid_is_a_mistake(ipfs_api: str) -> None:
    head, content = look_up(of(ipfs_api), "0" * 64)
    assert str(dict(head.facts)["all blocks here"]).startswith("no")
    assert str(dict(content.facts)["bytes match"]).startswith("no")
    with pytest.raises(SettingsError, match="neither"):
        look_up(of(ipfs_api), "[bold]no")


def test_blobs_of_ours_whose_batch_lost_its_pin_are_told_before_a_collection_takes_them(
    ipfs_api: str, v1_site: Path, tmp_path: Path
) -> None:
    site = SiteSettings(root=v1_site)
    settings = Settings(ipfs=IpfsSettings(api=ipfs_api), site=site, state_dir=tmp_path / "state")
    place = place_of(settings)
    place.make()
    blob = record(b"may be collected")
    with closing(Journal.open(place.journal, site_identity(settings))) as journal, KuboApi(settings.ipfs) as api:
        step, tag = journal.step("blobs-ipfs"), f"{journal.run_id}-1"
        wanted = (Wanted(blob.key, blob.digest, blob.size),)
        IpfsSink(api).write([blob], tag)
        receipt = Receipt(blob.key, blob.digest, blob.size, ReceiptFate.CREATED, str(Cid.raw(blob.digest)), 1)
        step.commit([Batch(1, tag, wanted)])
        step.commit(closed=[ClosedBatch(1, (receipt,))])
        assert look(settings).worries == ()
        api.unpin(next(pinned_batches(api, tag)).root)
    (worry,) = look(settings).worries
    assert worry.code == "ipfs.unpinned"
    assert blob.key.decode() in worry.happened
    assert str(dict(look_up(settings, blob.key.decode())[0].facts)["pinned"]).startswith("not pinned")


def test_a_verification_counts_blocks_and_names_a_damaged_one(private_server: Start) -> None:
    server = private_server("kubo")
    with KuboApi(of(server.endpoint).ipfs) as api:
        IpfsSink(api).write([record(f"verified {n}".encode() * 50) for n in range(20)], "verify-1")
    progress = list(repo_verify(of(server.endpoint), StopSignal()))
    assert progress[-1].blocks >= 21
    assert not any(step.problem for step in progress)
    victim = next(p for p in server.folder.rglob("blocks/*/*.data") if b"verified" in p.read_bytes())
    victim.chmod(0o600)
    victim.write_bytes(b"damaged")
    problems = [step.problem for step in repo_verify(of(server.endpoint), StopSignal()) if step.problem]
    assert problems


def test_the_empty_blob_is_looked_up_like_any_other(ipfs_api: str) -> None:
    empty = record(b"")
    with KuboApi(IpfsSettings(api=ipfs_api)) as api:
        IpfsSink(api).write([empty], "run-empty")
    cid, content = look_up(of(ipfs_api), empty.key.decode())
    assert dict(cid.facts)["all blocks here"] == "yes"
    assert dict(cid.facts)["size bytes"] == 0
    assert dict(content.facts)["bytes match"] == "yes"
