"""A close look at IPFS: the node, its repo and pins, blobs of ours that a garbage collection would take, one CID.

Reads only, and offline: what isn't in this node's own store is missing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, Reading, looked, section, worry
from canswarm_tui.engine.health.facts import Entry, Look, Page, Section
from canswarm_tui.engine.health.ipfs_lookup import look_up
from canswarm_tui.engine.health.ipfs_safety import SAFETY_REMEDY, Safety, safety_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Finding, Level
from canswarm_tui.engine.stop import StopSignal
from canswarm_tui.engine.v2.kubo import KuboApi, NodeFacts

__all__ = ["DirectPins", "IndirectPins", "Pins", "RecursivePins", "Verified", "look", "look_up", "repo_verify"]

NEAR = 0.9
"""Of StorageMax: where Kubo's own garbage collection begins by default."""


def look(settings: Settings) -> Look:
    """Identity, version, peers, repo and pins of the node, and what of ours isn't safe there."""
    return looked("ipfs", settings.ipfs.api, (settings.ipfs.api,), lambda: _read(settings))


def quick(settings: Settings) -> KuboApi:
    """A client that a person can wait for."""
    return KuboApi(settings.ipfs.model_copy(update={"timeout_s": min(settings.ipfs.timeout_s, LOOK_TIMEOUT_S)}))


def _read(settings: Settings) -> Reading:
    with quick(settings) as api:
        facts = api.facts()
        counts = api.count_pins()
        safety = safety_of(settings, api)
    node = section(
        "node", version=facts.version, agent=facts.agent, id=facts.peer_id,
        peers=facts.peers if facts.peers is not None else "offline",
    )  # fmt: skip
    repo = section(
        "repo", path=facts.repo_path, size_bytes=facts.repo_bytes, objects=facts.objects,
        StorageMax_bytes=facts.storage_max_bytes,
        of_StorageMax=f"{100 * facts.repo_bytes / max(1, facts.storage_max_bytes):.1f} %",
    )  # fmt: skip
    pins = Section("pins", tuple(counts.items()))
    return [node, repo, pins, _safety(safety)], [*_node_worries(settings, facts), *_safety_worries(settings, safety)]


def _safety(safety: Safety) -> Section:
    title = "safe from garbage collection"
    if safety.unknown:
        return section(title, known=f"no: {safety.unknown}")
    return section(
        title, blobs_of_ours=safety.blobs, in_unpinned_batches=safety.loose, pinned_batches=safety.pinned_batches
    )


def _safety_worries(settings: Settings, safety: Safety) -> Iterator[Finding]:
    if safety.loose:
        yield worry("ipfs.unpinned", settings.ipfs.api, safety.happened, SAFETY_REMEDY, Level.BLOCKER)


def _node_worries(settings: Settings, facts: NodeFacts) -> Iterator[Finding]:
    if facts.too_old:
        remedy = "upgrade Kubo: pins with names come with 0.26"
        yield worry("ipfs.version", settings.ipfs.api, f"Kubo {facts.version} is too old", remedy, Level.BLOCKER)
    if facts.repo_bytes >= NEAR * facts.storage_max_bytes:
        happened = "the repo is near StorageMax, where a daemon with --enable-gc begins to collect what is not pinned"
        yield worry("ipfs.storage", settings.ipfs.api, happened, "raise Datastore.StorageMax")


class Pins:
    """The pins of one kind, sorted by CID.

    Kubo only streams them all in an order of its own, so each page is one pass that keeps no more than the page.
    """

    def __init__(self, settings: Settings, kind: str = "recursive") -> None:
        self.title = f"{kind} pins"
        self._settings = settings
        self._kind = kind
        self._total = 0

    def page(self, *, after: str | None = None, limit: int = 200, prefix: str = "") -> Page:
        self._total = 0
        with quick(self._settings) as api:
            found = heapq.nsmallest(limit + 1, self._matching(api, after or "", prefix))
        entries = tuple(Entry(cid, (kind, name)) for cid, kind, name in found[:limit])
        return Page(("kind", "name"), entries, entries[-1].key if len(found) > limit else None, self._total)

    def open(self, key: str) -> tuple[Section, ...]:
        return look_up(self._settings, key)

    def _matching(self, api: KuboApi, after: str, prefix: str) -> Iterator[tuple[str, str, str]]:
        for pin in api.pins(self._kind):
            if pin.cid.startswith(prefix):
                self._total += 1
                if pin.cid > after:
                    yield pin.cid, pin.kind, pin.name


class RecursivePins(Pins):
    """Roots that hold everything under them."""


class DirectPins(Pins):
    """Single blocks."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "direct")


class IndirectPins(Pins):
    """Blocks that are held by a root above them, as our blobs are."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "indirect")


@dataclass(frozen=True, slots=True)
class Verified:
    """Where a verification of the repo is: blocks read so far, and a block that is wrong, in Kubo's words."""

    blocks: int
    problem: str = ""


def repo_verify(settings: Settings, stop: StopSignal) -> Iterator[Verified]:
    """Let the node read and hash every block that it has, as `ipfs repo verify`; ends early when `stop` is set.

    Raises `EngineError`; a damaged block is a `problem`, not an error.
    """
    blocks = 0
    with KuboApi(settings.ipfs) as api:
        for blocks, problem in api.verify_repo():
            if stop.is_set():
                return
            yield Verified(blocks, problem)
    if blocks == 0:
        yield Verified(0)
