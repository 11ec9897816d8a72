"""What is peculiar to each phase, as text: size classes, CIDs and pins, the document, exported files, v1's tests.

Each part also names the figures that it has shown, so that the general list leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from canswarm_tui.engine.journal import StepRecord
from canswarm_tui.engine.step import Figure, Outcome
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.v1.blobs import LARGER, SIZE_CLASSES
from canswarm_tui.engine.v1.policy import Reason
from canswarm_tui.phase_reading import Reading
from canswarm_tui.theme import SIGNS, style_of
from canswarm_tui.widgets.step_facts import held_word

CLASSES = (*(name for name, _ in SIZE_CLASSES), LARGER)
ENGINES = {"policy-opa": "OPA", "policy-wasm": "WASM"}
RULES = ("allow", *(reason.value for reason in Reason))


@dataclass
class Part:
    """A section as it grows."""

    theme: str
    text: Text = field(default_factory=Text)
    shown: set[str] = field(default_factory=set)

    def title(self, title: str, aside: str = "") -> None:
        if self.text:
            self.text.append("\n\n")
        self.text.append(title, style_of("title", self.theme))
        self.text.append(f"   {aside}" if aside else "", style_of("muted", self.theme))

    def row(self, name: str, value: str, width: int = 34) -> None:
        self.text.append(f"\n  {name:<{width}}  {value}")

    def note(self, words: str) -> None:
        self.text.append(f"\n{words}", style_of("muted", self.theme))

    def proof(self, words: str, word: str) -> None:
        self.text.append(f"\n  {SIGNS[word]} ", style_of(word, self.theme))
        self.text.append(words)


def peculiar_part(step: str, record: StepRecord, reading: Reading, theme: str) -> Part:
    """The section of a step; empty for a step without anything of its own, or before anything is known."""
    part = Part(theme)
    write = _PARTS.get(step)
    if write is not None:
        write(part, step, record, reading)
    return part


def _blobs_minio(part: Part, _step: str, record: StepRecord, reading: Reading) -> None:
    arrived = _outcome(record).figures
    rows = [
        (name, reading.inventory.get(f"blobs {name}"), arrived.get(f"blobs {name}"),
         arrived.get(f"blobs {name}, bytes"))
        for name in CLASSES
    ]  # fmt: skip
    part.shown |= {f"blobs {name}{suffix}" for name in CLASSES for suffix in ("", ", bytes")}
    rows = [row for row in rows if row[1] or row[2]]
    if not rows:
        return
    part.title("Blobs by size")
    part.note(f"  {'':<16}{'in the site':>14}{'in MinIO':>14}{'bytes there':>14}")
    for name, site, there, size in rows:
        size_text = bytes_text(float(size)) if isinstance(size, int | float) else "–"
        part.text.append(f"\n  {name:<16}{_count(site):>14}{_count(there):>14}{size_text:>14}")


def _blobs_ipfs(part: Part, _step: str, record: StepRecord, _reading: Reading) -> None:
    ran, proved = _outcome(record).figures, _proved(record)
    if not ran and not proved:
        return
    part.title("CIDs and pins")
    names = ("CIDs predicted", "taken in and pinned by the node", "CIDs exported")
    _rows(part, ran, names)
    returned, predicted = proved.get("CIDs returned"), proved.get("CIDs as predicted")
    part.shown |= {"CIDs returned", "CIDs as predicted"}
    if returned is not None:
        part.proof(f"{_count(predicted)} of {_count(returned)} CIDs returned are as predicted",
                   held_word(record, holds=predicted == returned))  # fmt: skip
    _rows(part, proved, ("pinned archives",))
    read, size = ran.get("read from MinIO and hashed equal"), ran.get("read from MinIO, bytes")
    part.shown |= {"read from MinIO and hashed equal", "read from MinIO, bytes"}
    if isinstance(read, int) and read:
        part.title("MinIO, proved by this read")
        part.proof(f"{read:,} blobs ({bytes_text(float(size or 0))}) came back and hash to their names", "proved")


def _decisions(part: Part, _step: str, record: StepRecord, _reading: Reading) -> None:
    outcome = record.outcome
    if outcome is None:
        return
    part.title("Decisions", "where each of them stands")
    if outcome.removed:
        part.row("removed from etcd again", f"{outcome.removed:,}")
        return
    for name, count in (
        ("created in etcd", outcome.created), ("already there and equal", outcome.present),
        ("had arrived before", outcome.unchanged), ("in conflict", outcome.conflicts),
        ("quarantined", outcome.quarantined),
    ):  # fmt: skip
        part.row(name, f"{count:,}")


def _plan_store(part: Part, _step: str, record: StepRecord, _reading: Reading) -> None:
    ran, proved = _outcome(record).figures, _proved(record)
    figures = {**ran, **proved}
    if not figures:
        return
    part.title("Plan document")
    _rows(part, ran, ("ops a second",))
    _rows(part, figures, ("document bytes", "documents", "ops", "tasks", "edges", "heads of all documents"))
    heads = str(figures.get("heads", ""))
    part.shown.add("heads")
    if heads:
        part.text.append("".join(f"\n  head {shown(head, 80)}" for head in heads.split()[:8]))
    for comparison in record.verdict.comparisons if record.verdict else ():
        if comparison.name.startswith(("tasks", "edges")):
            part.proof(f"derived {shown(comparison.name)}: {comparison.equal:,} of {comparison.compared:,} equal",
                       held_word(record, holds=comparison.different == 0))  # fmt: skip


def _policy(part: Part, step: str, record: StepRecord, _reading: Reading) -> None:
    engine, figures = ENGINES[step], _proved(record)
    part.shown |= {f"{rule}, {who}" for rule in RULES for who in ("v1", engine, "both")}
    if f"allow, {engine}" not in figures:
        return
    part.title("Parity, rule by rule", "how often each gives this answer")
    part.note(f"  {'':<28}{'v1':>9}{engine:>9}{'both':>9}")
    for rule in RULES:
        told = [figures.get(f"{rule}, {who}", 0) for who in ("v1", engine, "both")]
        word = held_word(record, holds=len(set(told)) == 1)
        part.text.append(f"\n{SIGNS[word]} ", style_of(word, part.theme))
        part.text.append(f"{rule:<28}" + "".join(f"{_count(n):>9}" for n in told))
    part.note("g shows the Rego beside v1's rules")


def _documentation(part: Part, _step: str, record: StepRecord, reading: Reading) -> None:
    folder = str(_outcome(record).figures.get("folder", ""))
    part.shown.add("folder")
    if not reading.exported:
        return
    part.title("Exported files", shown(folder, 200))
    for name, size in reading.exported:
        part.row(shown(name, 60), "gone" if size is None else bytes_text(size))


def _v1_tests(part: Part, _step: str, record: StepRecord, reading: Reading) -> None:
    figures = _outcome(record).figures
    part.shown |= {"command", "folder", "exit code", "seconds", "lines of output", "output"}
    if figures:
        part.title("The operator's command")
        for name in ("command", "folder", "exit code", "seconds", "lines of output"):
            if name in figures:
                part.row(name, shown(str(figures[name]), 300), 16)
    if reading.output is None and "output" in figures:
        part.row("output, gone", shown(str(figures["output"]), 300), 16)
    if reading.output is not None:
        part.title("Its output ends with", f"kept in {shown(str(reading.output), 300)}")
        for line in reading.tail or ("(nothing)",):
            part.text.append(f"\n  {shown(line, 300)}")


def _rows(part: Part, figures: Mapping[str, Figure], names: Sequence[str]) -> None:
    for name in names:
        part.shown.add(name)
        value = figures.get(name)
        if value is not None:
            text = bytes_text(float(value)) if name.endswith("bytes") else _count(value)
            part.row(name, text)


def _count(value: Figure | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int | float) else shown(value, 60)


def _outcome(record: StepRecord) -> Outcome:
    return record.outcome or Outcome()


def _proved(record: StepRecord) -> Mapping[str, Figure]:
    return record.verdict.figures if record.verdict else {}


_PARTS: Mapping[str, Callable[[Part, str, StepRecord, Reading], None]] = {
    "blobs-minio": _blobs_minio, "blobs-ipfs": _blobs_ipfs, "decisions": _decisions, "plan-store": _plan_store,
    "policy-opa": _policy, "policy-wasm": _policy, "documentation": _documentation, "v1-tests": _v1_tests,
}  # fmt: skip
