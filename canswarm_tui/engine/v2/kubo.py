"""Kubo's RPC API as this migration needs it: archives in and out, blocks, pins by name, and facts about the node.

httpx carries everything that streams; ipfshttpclient, which knows only older daemons, what it still does well. Reads
ask for `offline=true`: a block that is not in this node's own store is missing, never fetched from elsewhere.
Reference: https://docs.ipfs.tech/reference/kubo/rpc/
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import secrets
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
import ipfshttpclient
from pydantic import SecretStr

from canswarm_tui.engine.changes import tell_change
from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.http import bearer, http_client
from canswarm_tui.engine.settings import IpfsSettings
from canswarm_tui.engine.v2.cid import Cid, Codec
from canswarm_tui.engine.v2.kubo_errors import (
    SUBJECT,
    NotPinned,
    complaint,
    complaint_of,
    kubo_errors,
    message_in,
)

# What we use of ipfshttpclient was tried on the versions that it warns about.
warnings.filterwarnings("ignore", category=ipfshttpclient.exceptions.VersionMismatch)
warnings.filterwarnings("ignore", message="The 'strict' parameter is no longer needed", category=FutureWarning)

PIECE_BYTES = 256 * 1024
SLOWEST_BYTES_S = 8 * 1024 * 1024
"""A disk slower than this is taken for a hang when Kubo says nothing while it works."""


OLDEST_VERSION = (0, 26)
"""The first Kubo whose pins have names; what is written here was tried on 0.43."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the node says of itself; sizes in bytes."""

    peer_id: str
    version: str
    agent: str
    repo_path: str
    repo_bytes: int
    objects: int
    storage_max_bytes: int
    """Datastore.StorageMax: where garbage collection begins, where it is enabled; not a hard limit."""
    peers: int | None
    """Connected peers; None where the daemon runs offline."""

    @property
    def online(self) -> bool:
        return self.peers is not None

    @property
    def too_old(self) -> bool:
        """True: this version lacks what a migration needs, or its number can't be read."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return found is None or (int(found[1]), int(found[2])) < OLDEST_VERSION


@dataclass(frozen=True, slots=True)
class Pin:
    cid: str
    """As text, because other people's pins may have other versions of CIDs."""
    kind: str
    """`recursive`, `direct` or `indirect`."""
    name: str


@dataclass(frozen=True, slots=True)
class Blocks:
    """How many blocks and how many bytes in them."""

    count: int
    size_bytes: int


def authorization(token: SecretStr | None) -> SecretStr | None:
    """The Authorization header for a token as Kubo's API.Authorizations writes them; bare means bearer."""
    if token is None:
        return None
    kind, _, rest = token.get_secret_value().partition(":")
    if kind == "basic":
        return SecretStr("Basic " + base64.b64encode(rest.encode()).decode("ascii"))
    return bearer(SecretStr(rest) if kind == "bearer" else token)


class KuboApi:
    """One node. May be used from several threads; raises `EngineError`s; every call has a time-out."""

    def __init__(self, settings: IpfsSettings) -> None:
        self._settings = settings
        self._subject = f"{SUBJECT} {settings.api}"
        self._http = http_client(
            f"{settings.api}/api/v0/",
            timeout_s=settings.timeout_s,
            ca=settings.ca,
            authorization=authorization(settings.token),
        )

    def __enter__(self) -> KuboApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def facts(self) -> NodeFacts:
        """Identity, version and repository of the node."""
        with kubo_errors(self._subject), self._old_client() as client:
            identity, version, repo = client.id(), client.version(), client.repo.stat()
        peers = self._peers()
        with _expected_fields():
            return NodeFacts(
                peer_id=str(identity["ID"]),
                version=str(version["Version"]),
                agent=str(identity["AgentVersion"]),
                repo_path=str(repo["RepoPath"]),
                repo_bytes=int(repo["RepoSize"]),
                objects=int(repo["NumObjects"]),
                storage_max_bytes=int(repo["StorageMax"]),
                peers=peers,
            )

    def pins(self, kind: str = "recursive", name: str = "") -> Iterator[Pin]:
        """The pins of this kind (or `all`) whose name contains `name`, as they come; one request."""
        query = {"type": kind, "names": "true", "stream": "true", "name": name}
        for answer in self._lines("pin/ls", query):
            with _expected_fields():
                pin = Pin(answer["Cid"], answer["Type"], answer.get("Name", ""))
            yield pin

    def count_pins(self) -> Mapping[str, int]:
        """How many pins there are of each kind; walks the whole pinned store once."""
        counts = {"recursive": 0, "direct": 0, "indirect": 0}
        for pin in self.pins("all"):
            counts[pin.kind.split(" ")[0]] += 1
        return counts

    def pin_of(self, cid: Cid) -> str | None:
        """How a CID is pinned: `recursive`, `direct`, or `indirect through ROOT`; None if not. Up to a second."""
        query = {"arg": str(cid), "type": "all", "names": "true"}
        try:
            with _expected_fields():
                found = self._json("pin/ls", query)["Keys"][str(cid)]
                return " ".join(str(found[part]) for part in ("Type", "Name") if found.get(part))
        except NotPinned:
            return None

    def verify_repo(self) -> Iterator[tuple[int, str]]:
        """(blocks read so far, what Kubo says of a wrong one or nothing), as the node reads all that it has."""
        blocks = 0
        try:
            for answer in self._lines("repo/verify", {}):
                blocks = int(answer.get("Progress") or blocks)
                said = str(answer.get("Msg") or "")
                yield blocks, said if "corrupt" in said or "was" in said else ""
        except WrongAnswer as exc:
            if "verify" not in exc.happened:
                raise
            yield blocks, exc.happened

    def import_car(self, pieces: Iterable[bytes], size_bytes: int) -> Blocks:
        """Send an archive of exactly `size_bytes` without pinning; returns what the node says it took in.

        The blocks of a failed import may stay, unpinned. A complete answer is no proof of a complete graph: ask
        `dag_stat`.
        """
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="blobs.car"\r\n'
        opening = f"{head}Content-Type: application/vnd.ipld.car\r\n\r\n".encode()
        closing = f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield opening
            yield from pieces
            yield closing

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(opening) + size_bytes + len(closing)),
        }
        query = {"pin-roots": "false", "stats": "true"}
        blocks = Blocks(0, 0)
        for answer in self._lines("dag/import", query, body=body(), headers=headers, work_bytes=size_bytes):
            if "Stats" in answer:
                with _expected_fields():
                    blocks = Blocks(answer["Stats"]["BlockCount"], answer["Stats"]["BlockBytesCount"])
            elif problem := answer.get("Root", {}).get("PinErrorMsg"):
                raise complaint(str(problem))
        tell_change(SUBJECT, f"dag/import of {size_bytes:,} bytes: {blocks.count:,} blocks")
        return blocks

    def dag_stat(self, root: Cid, size_bytes: int = 0) -> Blocks:
        """Walk the graph under `root` in the node's own store; raises BlockMissing where it is not complete.

        `size_bytes` is what is expected there: it stretches the time-out.
        """
        query = {"arg": str(root), "offline": "true", "progress": "false"}
        if root.codec is Codec.RAW:
            return self._raw_stat(root)
        with _expected_fields():
            (only,) = self._json("dag/stat", query, size_bytes)["DagStats"]
            return Blocks(only["NumBlocks"], only["Size"])

    def _raw_stat(self, cid: Cid) -> Blocks:
        """A raw block is its whole graph. Kubo's `dag stat` fails on the empty one: it divides by its size."""
        with _expected_fields():
            return Blocks(1, int(self._json("block/stat", {"arg": str(cid), "offline": "true"})["Size"]))

    def pin(self, root: Cid, name: str, size_bytes: int = 0) -> None:
        """Keep the graph under `root` for good. Ask `dag_stat` before: an online node waits for missing blocks."""
        query = {"arg": str(root), "name": name, "recursive": "true", "progress": "false"}
        with _expected_fields():
            if self._json("pin/add", query, size_bytes)["Pins"] != [str(root)]:
                raise KeyError("Pins")
        tell_change(SUBJECT, f"pin/add {root}, named {name}")

    def unpin(self, root: Cid) -> bool:
        """Take a recursive pin away; False if there was none. Removes no block: that is left to garbage collection."""
        try:
            self._json("pin/rm", {"arg": str(root), "recursive": "true"})
        except NotPinned:
            return False
        tell_change(SUBJECT, f"pin/rm {root}")
        return True

    def block(self, cid: Cid) -> bytes:
        """One block's bytes, not checked; raises BlockMissing."""
        with kubo_errors(self._subject), self._stream("block/get", {"arg": str(cid), "offline": "true"}) as response:
            return response.read()

    def remove_block(self, cid: Cid) -> None:
        """Delete one block that no pin holds from the node's store; raises where it is pinned."""
        answer = self._json("block/rm", {"arg": str(cid)})
        if problem := answer.get("Error"):
            raise complaint(str(problem))
        tell_change(SUBJECT, f"block/rm {cid}")

    def cat(self, cid: Cid) -> Iterator[bytes]:
        """A blob's content in pieces, not checked; raises BlockMissing, but a gap further in may only shorten it."""
        with kubo_errors(self._subject), self._stream("cat", {"arg": str(cid), "offline": "true"}) as response:
            yield from response.iter_bytes(PIECE_BYTES)

    def export(self, root: Cid) -> Iterator[bytes]:
        """An archive of the graph under `root` in pieces. Where a block is missing it just ends early, cleanly."""
        query = {"arg": str(root), "offline": "true", "progress": "false"}
        with kubo_errors(self._subject), self._stream("dag/export", query) as response:
            yield from response.iter_bytes(PIECE_BYTES)

    def _peers(self) -> int | None:
        try:
            return len(self._json("swarm/peers", {}).get("Peers") or ())
        except WrongAnswer as exc:
            if "online mode" in exc.happened:
                return None
            raise

    def _json(self, command: str, query: Mapping[str, str], work_bytes: int = 0) -> _Answer:
        """The last object of an answer; empty if there was none."""
        answer: _Answer = {}
        for answer in self._lines(command, query, work_bytes=work_bytes):  # noqa: B007
            pass
        return answer

    def _lines(
        self,
        command: str,
        query: Mapping[str, str],
        *,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        work_bytes: int = 0,
    ) -> Iterator[_Answer]:
        """The objects of an answer, one a line; an error that comes after the first ones is raised too."""
        with kubo_errors(self._subject), self._stream(command, query, body, headers, work_bytes) as response:
            for line in response.iter_lines():
                if (message := message_in(line.encode())) is not None:
                    raise complaint(message, self._subject)
                if line:
                    with _expected_fields():
                        answer = dict(json.loads(line))
                    yield answer

    @contextmanager
    def _stream(
        self,
        command: str,
        query: Mapping[str, str],
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        work_bytes: int = 0,
    ) -> Iterator[httpx.Response]:
        base_s = self._settings.timeout_s
        timeout = httpx.Timeout(base_s, connect=min(base_s, 10.0), read=base_s + work_bytes / SLOWEST_BYTES_S)
        with self._http.stream(
            "POST", command, params=query, content=body, headers=headers, timeout=timeout
        ) as response:
            if not response.is_success:
                response.read()
                raise complaint_of(response, self._subject)
            yield response

    def _old_client(self) -> ipfshttpclient.Client:
        """A client of its own for each call, because they are not to be shared between threads."""
        url = urlsplit(self._settings.api)
        secret = authorization(self._settings.token)
        client = ipfshttpclient.Client(
            _multiaddr(self._settings.api),
            f"{url.path.strip('/')}/api/v0".strip("/"),
            headers={} if secret is None else {"Authorization": secret.get_secret_value()},
            timeout=self._settings.timeout_s,
            username=None,
            password=None,
        )
        # It has no argument for these two; the version of the package is pinned.
        client._client._session_props |= {
            "trust_env": False,
            "verify": True if self._settings.ca is None else str(self._settings.ca),
        }
        return client


_Answer = dict[str, Any]


def _multiaddr(api: str) -> str:
    """The address in the one form that ipfshttpclient takes."""
    url = urlsplit(api)
    host = url.hostname or ""
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    port = url.port or (443 if url.scheme == "https" else 80)
    return f"/{kind}/{host}/tcp/{port}/{url.scheme}"


@contextmanager
def _expected_fields() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as exc:
        raise WrongAnswer(
            SUBJECT, f"an answer without the expected fields ({exc})", "check the version of the daemon"
        ) from exc
