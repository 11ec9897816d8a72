"""IPFS: the guide's "IPFS pinning", pinned CIDs and storage usage, and a blob that can't be read.

The guide's plain `pin ls` walks every block under every root; the roots alone tell what is pinned.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import BAD, FINE, UNKNOWN, WORRY, Answer, Question, ask
from canswarm_tui.engine.health.ipfs import NEAR, quick
from canswarm_tui.engine.health.ipfs_safety import SAFETY_REMEDY, Safety, safety_of
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import bytes_text
from canswarm_tui.engine.v2.cid import Cid
from canswarm_tui.engine.v2.kubo import KuboApi, NodeFacts
from canswarm_tui.engine.v2.kubo_errors import BlockDamaged, BlockMissing

SAMPLE = 20


@dataclass(frozen=True, slots=True)
class _Seen:
    facts: NodeFacts
    roots: int
    safety: Safety
    whole: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]
    """CID, and why."""


def checks(settings: Settings) -> tuple[Check, ...]:
    ipfs, sample = settings.ipfs, _sample(settings)
    cid = str(sample[0]) if sample else "CID"
    questions = (
        Question("ipfs.answers", "IPFS does not answer, or is too old", shell.ipfs(ipfs, "id"), _answers),
        Question("ipfs.pins", "blobs are gone after a garbage collection",
                 shell.ipfs(ipfs, "pin", "ls", "--type=recursive", "--names"), _pins),
        Question("ipfs.storage", "the repo is full, or collects garbage by itself",
                 shell.ipfs(ipfs, "repo", "stat", "--human"), _storage),
        Question("ipfs.blobs", "a blob can't be read, or `ipfs cat` hangs",
                 shell.ipfs(ipfs, "block" if cid.startswith("bafkrei") else "dag", "stat", cid), _blobs),
    )  # fmt: skip
    return ask("ipfs", (ipfs.api,), lambda: _read(settings, sample), questions)


def _sample(settings: Settings) -> tuple[Cid, ...]:
    """CIDs of some blobs that a run has put there, by the journal."""
    if settings.site.root is None or not place_of(settings).journal.is_file():
        return ()
    try:
        with closing(Journal.observe(place_of(settings).journal)) as journal:
            receipts = islice(journal.step("blobs-ipfs").receipts(), SAMPLE)
            return tuple(Cid.parse(one.place) if one.place else Cid.raw(bytes.fromhex(one.key.decode()))
                         for one in receipts)  # fmt: skip
    except (EngineError, ValueError):
        return ()


def _read(settings: Settings, sample: tuple[Cid, ...]) -> _Seen:
    with quick(settings) as api:
        facts = api.facts()
        roots = sum(1 for _ in api.pins("recursive"))
        found = [(str(cid), _fault(api, cid)) for cid in sample]
        return _Seen(
            facts, roots, safety_of(settings, api), tuple(cid for cid, fault in found if not fault),
            tuple((cid, fault) for cid, fault in found if fault),
        )  # fmt: skip


def _fault(api: KuboApi, cid: Cid) -> str:
    try:
        api.dag_stat(cid)
    except (BlockMissing, BlockDamaged) as exc:
        return exc.happened
    return ""


def _answers(seen: _Seen) -> Answer:
    peers = f"{seen.facts.peers:,} peers" if seen.facts.online else "it runs offline, without peers"
    lines = (f"Kubo {seen.facts.version}, {peers}", f"id {seen.facts.peer_id}")
    if seen.facts.too_old:
        return Answer(BAD, f"Kubo {seen.facts.version} is too old", lines, "upgrade Kubo: pins with names need 0.26")
    return Answer(FINE, "it answers, and is of a version that we know", lines)


def _pins(seen: _Seen) -> Answer:
    safety = seen.safety
    lines: tuple[str, ...] = (f"{seen.roots:,} roots are pinned", f"{safety.pinned_batches:,} of them by this run")
    if safety.unknown:
        return Answer(UNKNOWN, safety.unknown, lines, "name the site whose run has put blobs there")
    lines += (f"{safety.blobs:,} blobs of ours, {safety.loose:,} of them in batches that are not pinned",)
    if safety.loose:
        return Answer(BAD, safety.happened, lines, SAFETY_REMEDY)
    if not safety.blobs:
        return Answer(UNKNOWN, "no run of this site has put blobs there yet", lines, "run the step blobs-ipfs")
    return Answer(FINE, "every batch of ours is pinned: a garbage collection takes none of it", lines)


def _storage(seen: _Seen) -> Answer:
    facts = seen.facts
    lines = (
        f"repo {bytes_text(facts.repo_bytes)} in {facts.objects:,} objects, at {facts.repo_path}",
        f"StorageMax {bytes_text(facts.storage_max_bytes)}: {100 * facts.repo_bytes / max(1, facts.storage_max_bytes):.1f} %"  # noqa: E501
        " of it used; no hard limit, but where --enable-gc begins to collect",
    )
    if facts.repo_bytes >= NEAR * facts.storage_max_bytes:
        remedy = "`ipfs config Datastore.StorageMax SIZE`, restart; and run the daemon without --enable-gc"
        return Answer(WORRY, "the repo is near StorageMax: a daemon with --enable-gc collects now", lines, remedy)
    return Answer(FINE, "far from StorageMax", lines)


def _blobs(seen: _Seen) -> Answer:
    if not seen.whole and not seen.broken:
        said = "no blob of ours is known: no run of this site has put any there"
        return Answer(UNKNOWN, said, (), "run the step blobs-ipfs, or look one up: canswarm-tui diagnose ipfs --cid X")
    lines: tuple[str, ...] = (
        f"{len(seen.whole)} of {len(seen.whole) + len(seen.broken)} blobs looked at have all their blocks here",
    )
    lines += tuple(f"{cid}: {fault}" for cid, fault in seen.broken)
    if seen.broken:
        remedy = "an online node waits for a missing block for ever; verify blobs-ipfs, then run it again"
        return Answer(BAD, f"{len(seen.broken)} of them are not whole in this node's own store", lines, remedy)
    return Answer(FINE, "all blocks of the ones looked at are in this node's own store", lines)
