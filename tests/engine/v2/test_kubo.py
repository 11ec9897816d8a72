"""One node, as it is when all is well and when it refuses, hangs, dies or is not Kubo at all."""

from __future__ import annotations

import base64
import hashlib
import inspect
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ipfshttpclient import exceptions as old
from pydantic import SecretStr

from canswarm_tui.engine.errors import EngineError, NoSpace, Refused, SettingsError, Unreachable, Unready, WrongAnswer
from canswarm_tui.engine.records import Fate, Record, Removal, Wanted
from canswarm_tui.engine.settings import IpfsSettings
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink, pinned_batches
from canswarm_tui.engine.v2.car import header, section_head
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.ipfs_manifest import Manifest
from canswarm_tui.engine.v2.ipfs_reader import read_back, read_blob
from canswarm_tui.engine.v2.kubo import KuboApi, NodeFacts, authorization
from canswarm_tui.engine.v2.kubo_errors import (
    BlockDamaged,
    BlockMissing,
    NotPinned,
    complaint,
    kubo_errors,
    missing_block,
)
from tests.certificates import certificate
from tests.engine.v2.kubo_process import KuboProcess, running_kubo

NOWHERE = Cid.raw(hashlib.sha256(b"nobody has this block").digest())


def blobs(count: int, size: int = 100) -> list[Record]:
    contents = [os.urandom(size) for _ in range(count)]
    digests = [hashlib.sha256(content).digest() for content in contents]
    return [Record(d.hex().encode(), d, size, c) for c, d in zip(contents, digests, strict=True)]


def wanted(records: list[Record]) -> list[Wanted]:
    return [Wanted(r.key, r.digest, r.size) for r in records]


def opened(url: str, token: str | None = None, timeout_s: float = 10) -> KuboApi:
    return KuboApi(IpfsSettings(api=url, token=None if token is None else SecretStr(token), timeout_s=timeout_s))


@pytest.fixture
def kubo(tmp_path: Path) -> Iterator[KuboProcess]:
    with running_kubo(tmp_path / "ipfs") as process:
        yield process


def test_facts_of_an_offline_node_are_read(ipfs_api: str) -> None:
    with opened(ipfs_api) as api:
        facts = api.facts()
    assert facts.peer_id.startswith("12D3")
    assert facts.agent == f"kubo/{facts.version}"
    assert facts.storage_max_bytes > facts.repo_bytes > 0
    assert not facts.online
    assert not facts.too_old


def test_pins_are_counted_by_kind(kubo: KuboProcess) -> None:
    with opened(kubo.api) as api:
        before = api.count_pins()
        IpfsSink(api).write(blobs(7), "run-1")
        after = api.count_pins()
    assert {kind: after[kind] - before[kind] for kind in after} == {"recursive": 1, "direct": 0, "indirect": 7}


@pytest.mark.parametrize(
    ("version", "too_old"), [("0.43.0", False), ("0.26.0-rc1", False), ("0.25.9", True), ("1.0", False), ("dev", True)]
)
def test_a_version_without_named_pins_is_too_old(version: str, too_old: bool) -> None:
    assert NodeFacts("", version, "", "", 0, 0, 0, None).too_old is too_old


def test_a_block_that_is_not_here_is_named(ipfs_api: str) -> None:
    with opened(ipfs_api) as api:
        for ask in (api.block, api.dag_stat, lambda cid: list(api.cat(cid))):
            with pytest.raises(BlockMissing) as caught:
                ask(NOWHERE)
            assert missing_block(caught.value) == str(NOWHERE)


def test_taking_away_a_pin_that_is_not_there_is_told(ipfs_api: str) -> None:
    with opened(ipfs_api) as api:
        assert api.unpin(NOWHERE) is False


@pytest.mark.parametrize("token", ["bearer:s3cret", "s3cret", "basic:ann:s3cret"])
def test_every_form_of_token_is_accepted_by_a_node_that_asks_for_it(guarded: str, token: str) -> None:
    with opened(guarded, token) as api:
        assert api.facts().version
        assert IpfsSink(api).write(blobs(2), "run-1")[0].fate is Fate.CREATED


@pytest.mark.parametrize("token", [None, "wr0ng", "basic:ann:wr0ng"])
def test_a_missing_or_wrong_token_is_refused_and_never_shown(guarded: str, token: str | None) -> None:
    calls: list[Callable[[KuboApi], object]] = [KuboApi.facts, KuboApi.count_pins, lambda api: api.block(NOWHERE)]
    for call in calls:
        with opened(guarded, token) as api, pytest.raises(Refused) as caught:
            call(api)
        assert "wr0ng" not in str(caught.value)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tokens = {"tool": "bearer:s3cret", "ann": "basic:ann:s3cret"}
    with running_kubo(tmp_path_factory.mktemp("guarded"), tokens) as process:
        yield process.api


def test_a_basic_token_is_encoded_and_a_bare_one_is_a_bearer() -> None:
    basic, bare = authorization(SecretStr("basic:ann:pass:word")), authorization(SecretStr("abc"))
    assert basic is not None
    assert basic.get_secret_value() == "Basic " + base64.b64encode(b"ann:pass:word").decode()
    assert bare is not None
    assert bare.get_secret_value() == "Bearer abc"
    assert authorization(None) is None


@pytest.mark.parametrize("call", [KuboApi.facts, KuboApi.count_pins])
def test_a_node_that_is_down_is_unreachable(kubo: KuboProcess, call: Callable[[KuboApi], object]) -> None:
    kubo.kill()
    with opened(kubo.api) as api, pytest.raises(Unreachable) as told:
        call(api)
    assert told.value.subject == f"IPFS (Kubo) {kubo.api}"


def test_a_frozen_node_is_given_up_after_the_time_out_whatever_is_asked(kubo: KuboProcess) -> None:
    batch = blobs(3)
    with opened(kubo.api, timeout_s=0.3) as api:
        sink = IpfsSink(api)
        kubo.freeze()
        calls: list[Callable[[], object]] = [
            api.facts,
            api.count_pins,
            lambda: sink.write(batch, "run-1"),
            lambda: sink.settle(wanted(batch), "run-1"),
            lambda: sink.remove(wanted(batch), "run-1"),
            lambda: read_blob(api, batch[0].digest),
            lambda: list(read_back(api, NOWHERE)),
        ]
        for call in calls:
            began = time.monotonic()
            with pytest.raises(Unreachable):
                call()
            assert time.monotonic() - began < 3
        kubo.thaw()
    with opened(kubo.api) as api:
        sink = IpfsSink(api)
        sink.settle(wanted(batch), "run-1")
        assert [one.fate for one in sink.write(batch, "run-1")] == [Fate.CREATED] * 3


def test_an_acknowledged_batch_survives_a_kill_of_the_node(kubo: KuboProcess) -> None:
    batch = blobs(50)
    with opened(kubo.api) as api:
        landed = IpfsSink(api).write(batch, "run-1")
    kubo.kill()
    kubo.start()
    with opened(kubo.api) as api:
        assert IpfsSink(api).settle(wanted(batch), "run-1") == landed
        (pinned,) = pinned_batches(api, "run")
        assert sorted(b.digest for b in read_back(api, pinned.root) if b.intact) == sorted(r.digest for r in batch)


def test_garbage_collection_takes_what_was_undone_and_leaves_what_is_ours(kubo: KuboProcess) -> None:
    kept, undone = blobs(20), blobs(20)
    with opened(kubo.api) as api:
        sink = IpfsSink(api)
        sink.write(kept, "run-1")
        sink.write(undone, "run-2")
        assert sink.remove(wanted(undone), "run-2") == [Removal.REMOVED] * 20
        assert all(read_blob(api, r.digest).intact for r in undone)
        kubo.collect_garbage()
        assert all(read_blob(api, r.digest).intact for r in kept)
        assert all("missing" in read_blob(api, r.digest).problem for r in undone)


def test_an_online_node_tells_an_incomplete_graph_instead_of_searching_the_world_for_it(tmp_path: Path) -> None:
    manifest = Manifest("run-1", (NOWHERE,), (), 2, 21)
    root, block = manifest.encode()
    with running_kubo(tmp_path / "ipfs", online=True) as process, opened(process.api, timeout_s=1) as api:
        assert api.facts().online
        archive = header([root]) + section_head(len(block)) + bytes(root) + block
        assert api.import_car([archive], len(archive)).count == 1
        with pytest.raises(BlockMissing):
            api.dag_stat(root)
        (blob,) = read_back(api, root)
        assert blob.problem == f"block {NOWHERE} is missing"
        began = time.monotonic()
        with pytest.raises(Unreachable):
            api.pin(root, "run-1")
        assert time.monotonic() - began < 5


class Stranger(BaseHTTPRequestHandler):
    """Some other program's web server."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Welcome</h1>")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def stranger(status: int, context: ssl.SSLContext | None = None) -> Iterator[str]:
    handler = type("Handler", (Stranger,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="stranger")
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "error"), [(200, WrongAnswer), (404, WrongAnswer), (500, WrongAnswer), (503, Unreachable)]
)
def test_a_server_that_is_not_kubo_is_told(status: int, error: type[EngineError]) -> None:
    batch = blobs(1)
    with stranger(status) as url, opened(url) as api:
        for call in (api.count_pins, lambda: api.dag_stat(NOWHERE), lambda: IpfsSink(api).write(batch, "run-1")):
            with pytest.raises(error):
                call()
        with pytest.raises((WrongAnswer, Unreachable)):
            api.facts()


def test_a_certificate_is_checked_against_the_ca_of_the_settings_by_both_clients(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    calls: list[Callable[[KuboApi], object]] = [KuboApi.facts, KuboApi.count_pins]
    with stranger(200, context) as url:
        for call in calls:
            with KuboApi(IpfsSettings(api=url)) as api, pytest.raises(Refused, match="certificate"):
                call(api)
            with KuboApi(IpfsSettings(api=url, ca=cert)) as api, pytest.raises(WrongAnswer):
                call(api)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("block was not found locally (offline): ipld: could not find bafk", BlockMissing),
        ("not pinned or pinned indirectly", NotPinned),
        ("write /ipfs/blocks/X/put-1: no space left on device", NoSpace),
        ("write /ipfs/blocks/X/put-1: disk quota exceeded", NoSpace),
        ("maximum storage limit exceeded. Try to unpin some files", NoSpace),
        ("import failed: mismatch in content integrity, expected: bafk", WrongAnswer),
        ("produced block is over 2MiB: big blocks can't be exchanged with other peers", WrongAnswer),
        ("import failed after block: unexpected EOF", Unreachable),
        ("open /ipfs/blocks: too many open files", Unready),
        ("context deadline exceeded", Unready),
        ("open /ipfs/blocks/X: permission denied", Refused),
        ("open /ipfs/blocks/X: read-only file system", Refused),
        ("proto: cannot parse invalid wire-format data", BlockDamaged),
        ("something nobody has seen yet", WrongAnswer),
    ],
)
def test_words_of_kubo_become_the_error_with_the_right_remedy(words: str, error: type[EngineError]) -> None:
    assert type(complaint(words)) is error
    assert words in str(complaint(words))


OLD_ERRORS: dict[str, type[EngineError]] = {
    "Error": WrongAnswer,
    "AddressError": SettingsError,
    "EncoderError": WrongAnswer,
    "EncoderMissingError": WrongAnswer,
    "EncodingError": WrongAnswer,
    "DecodingError": WrongAnswer,
    "MatcherSpecInvalidError": WrongAnswer,
    "CommunicationError": WrongAnswer,
    "ProtocolError": Unreachable,
    "StatusError": WrongAnswer,
    "ErrorResponse": WrongAnswer,
    "PartialErrorResponse": WrongAnswer,
    "ConnectionError": Unreachable,
    "TimeoutError": Unreachable,
}


def test_every_exception_class_of_the_old_client_is_expected_here() -> None:
    classes = {name for name, value in vars(old).items() if inspect.isclass(value) and issubclass(value, old.Error)}
    assert classes == set(OLD_ERRORS)


@pytest.mark.parametrize("name", sorted(OLD_ERRORS))
def test_each_exception_of_the_old_client_becomes_ours(name: str) -> None:
    raised = getattr(old, name)
    count = sum(p.default is p.empty for p in list(inspect.signature(raised.__init__).parameters.values())[1:])
    texts = ["text"] * (0 if name == "Error" else count)
    with pytest.raises(EngineError) as caught, kubo_errors():
        raise raised(*texts)
    assert type(caught.value) is OLD_ERRORS[name]


def test_a_manifest_that_is_not_ours_is_refused() -> None:
    _, block = Manifest("run-1", (NOWHERE,), (), 2, 21).encode()
    assert Manifest.decode(block).tag == "run-1"
    for bad in (b"", b"\xa0", block.replace(b"canswarm-blobs-1", b"canswarm-blobs-9"), block[:-1]):
        with pytest.raises(ValueError, match=r"CBOR|manifest"):
            Manifest.decode(bad)
    other = Manifest("run-1", (Cid(Codec.DAG_PB, NOWHERE.digest),), (), 2, 21).encode()[1]
    with pytest.raises(ValueError, match="raw blocks"):
        Manifest.decode(other)
