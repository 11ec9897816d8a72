"""The plan document: the guide's "Automerge sync issues", document size and CRDT merge.

The guide loads the file with functions that the binding doesn't have, and its one-liner merges nothing: here two
copies are changed apart, merged and synced by messages. All of it in memory; no file of the site is written.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.automerge import reading_of
from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import (
    BAD,
    FINE,
    UNKNOWN,
    WORRY,
    Answer,
    Question,
    ask,
    not_yet,
    tried,
    untold,
)
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import bytes_text, counted
from canswarm_tui.engine.v1.plan_db import PlanDb
from canswarm_tui.engine.v2.plan_document import store
from canswarm_tui.engine.v2.plan_document.jobs import MergeResult, ReadResult

_MERGE_AT_MOST_BYTES = 8 * 1024**2
"""A larger document takes a person's patience and a machine's memory to load five times."""
_COUNT = (
    "import sys; from automerge.core import ROOT, Document; "
    'docs = [Document.load(open(name, "rb").read()) for name in sys.argv[1:]]; '
    'print(sum(d.length(d.get(ROOT, "ops")[1]) for d in docs), "ops; heads", '
    "[h.hex() for d in docs for h in d.get_heads()])"
)


@dataclass(frozen=True, slots=True)
class _Seen:
    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    copied: bool
    budget_bytes: int
    documents: tuple[ReadResult, ...] | EngineError
    peak_memory_bytes: int
    in_v1: int | EngineError


def checks(settings: Settings) -> tuple[Check, ...]:
    paths = _paths(settings)
    names = tuple(map(str, paths))
    questions = (
        Question("automerge.file", "the plan document is missing, empty, damaged or too large",
                 shell.plain("ls", "-lh", *names), _file),
        Question("automerge.ops", "ops are missing in v2",
                 shell.python(_COUNT, *names), _ops),
        Question("automerge.merge", "two coordinators differ: sync stalls, or a merge fails",
                 shell.ourselves(settings, "diagnose", "automerge", "--merge", "PEER_FILE"), _merge),
    )  # fmt: skip
    return ask("automerge", (), lambda: _read(settings, paths), questions)


def _paths(settings: Settings) -> tuple[Path, ...]:
    """The documents that are there; where none is, the one that a run would write."""
    if settings.site.root is None:
        return (Path(".state/plan_automerge.bin"),)
    parts = sorted(settings.site.plan_partitions.glob("[0-9]*.bin"))
    return tuple(parts) if parts else (settings.site.plan_document,)


def _read(settings: Settings, paths: tuple[Path, ...]) -> _Seen:
    settings.site.require_root()
    sizes = tuple(path.stat().st_size for path in paths if path.is_file())
    documents: tuple[ReadResult, ...] | EngineError = ()
    peak = 0
    if sizes:
        try:
            with reading_of(settings) as reading:
                documents, peak = reading.documents, reading.peak_memory_bytes
        except EngineError as exc:
            documents = exc
    budget = settings.engine.memory_budget_mib * 2**20
    return _Seen(
        paths, sizes, not not_yet(settings, "plan-store"), budget, documents, peak, tried(lambda: _in_v1(settings))
    )


def _in_v1(settings: Settings) -> int:
    with tempfile.TemporaryDirectory(prefix="canswarm-guided-") as scratch:
        return PlanDb.open(settings.site.plan_db, Path(scratch)).counts().ops


def _file(seen: _Seen) -> Answer:
    lines = tuple(f"{path}: {bytes_text(size)}" for path, size in zip(seen.paths, seen.sizes, strict=False))
    if not seen.sizes:
        return _missing(seen)
    if isinstance(seen.documents, EngineError):
        return Answer(BAD, seen.documents.happened, (*lines, seen.documents.subject), seen.documents.remedy)
    lines += (
        f"loading took {bytes_text(seen.peak_memory_bytes)} of memory, of {bytes_text(seen.budget_bytes)} allowed",
    )
    if seen.peak_memory_bytes > seen.budget_bytes:
        remedy = "give v2's coordinators the memory, or undo plan-store and migrate in partitions (a lower budget)"
        return Answer(WORRY, "loading takes more memory than engine.memory_budget_mib", lines, remedy)
    return Answer(FINE, "it loads, and is of the shape that v2 expects", lines)


def _missing(seen: _Seen) -> Answer:
    lines = (f"{seen.paths[0]}: not there",)
    if seen.copied:
        return Answer(BAD, "a run has written it, and it is gone", lines, "run the step plan-store again")
    return Answer(UNKNOWN, "no run of this site has written it yet", lines, "run the step plan-store")


def _ops(seen: _Seen) -> Answer:
    if not seen.sizes:
        return _missing(seen)
    if isinstance(seen.documents, EngineError):
        return untold(seen.documents)
    ops, heads = sum(one.ops for one in seen.documents), [head for one in seen.documents for head in one.heads]
    lines: tuple[str, ...] = (
        f"v2: {counted(ops, 'op')}, {counted(len(heads), 'head')} in {counted(len(seen.documents), 'document')}",
    )
    if isinstance(seen.in_v1, EngineError):
        return untold(seen.in_v1, lines)
    lines += (f"v1's plan.db: {seen.in_v1:,} ops",)
    if ops < seen.in_v1:
        remedy = "verify the step plan-store: it names each; what was set aside there is in `findings list`"
        return Answer(WORRY, f"{seen.in_v1 - ops:,} fewer than in v1", lines, remedy)
    if len(heads) > len(seen.documents):
        said = "changes were made apart and nobody has merged them by a later one"
        return Answer(WORRY, said, lines, "it is no loss: the next change of any coordinator joins them")
    more = ops - seen.in_v1
    return Answer(FINE, f"as many as in v1, and {more:,} more" if more else "as many as in v1", lines)


def _merge(seen: _Seen) -> Answer:
    if not seen.sizes:
        return _missing(seen)
    if isinstance(seen.documents, EngineError):
        return untold(seen.documents)
    size, path = min(zip(seen.sizes, seen.paths, strict=False))
    if size > _MERGE_AT_MOST_BYTES:
        said = f"{path.name} has {bytes_text(size)}: too large to be tried in passing"
        return Answer(UNKNOWN, said, (str(path),), "give it time: the command below, with a peer's copy")
    with tempfile.TemporaryDirectory(prefix="canswarm-guided-") as scratch:
        proof = store.prove_merge(path, path, store.Tools(Path(scratch), 1))
    return Answer(
        FINE, "two copies changed apart end with the same heads, by merge and by messages", _proof(path, proof)
    )


def _proof(path: Path, proof: MergeResult) -> tuple[str, ...]:
    lost = (
        "stalls silently: compare heads, then begin with fresh sync states"
        if proof.lost_message_stalls
        else "did no harm"
    )
    return (
        f"{path.name}: forked, both changed, merged: heads {', '.join(head[:12] for head in proof.merged_heads)}",
        f"synced in {proof.rounds} messages each way, the largest {bytes_text(proof.message_bytes)}",
        f"a lost message {lost}",
    )
