"""One whole pass over v1's audit log, kept in the run's folder: whoever needs it again need not check every signature.

It counts as long as the log is the same file of the same size and time, and what is kept is as it was written; else
the pass is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.file_meter import FileMeter
from canswarm_tui.engine.spool import Spool
from canswarm_tui.engine.v1 import site
from canswarm_tui.engine.v1.audit_line import AuditLine, LineForm
from canswarm_tui.engine.v1.audit_log import read_log
from canswarm_tui.engine.v1.policy import POLICIES, Reason
from canswarm_tui.engine.v1.replay import History

KEPT_AT_MOST = 10_000
"""Of each list; the counts are of all."""
NEEDS_AT_ONCE = 1000
_ODD_FORMS = (LineForm.NOT_A_LINE, LineForm.NOT_JSON, LineForm.TRUNCATED, LineForm.TOO_LONG, LineForm.RAW)
_FORMAT = 3


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not sound. `faults` are names of `LineFault`, or the line's form."""

    number: int
    offset: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogGap:
    fault: str
    line: int
    subject: str
    happened: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why v1 would refuse a piece of its history today; `artifact_gone` where a named blob is no more."""

    fault: str
    thread_id: str
    envelope_id: str
    happened: str
    artifact_gone: bool


@dataclass
class AuditPass:
    """What the pass found. `stand` is the log's (inode, size, mtime_ns) and the policy used for replaying."""

    stand: list[object]
    lines: int = 0
    bad_count: int = 0
    gap_count: int = 0
    threads: int = 0
    threads_refused: int = 0
    envelopes_by_kind: dict[str, int] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    gaps: list[LogGap] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    decided_sha256: str = ""
    """Of the file of need ids that was written with it."""
    reused: bool = False


def audit_pass(ctx: StepContext) -> AuditPass | None:
    """The pass over the log as it is now, read from the run's folder or made; None where there is no log."""
    path = site.log_file(ctx.settings.site)
    if not path.exists():
        return None
    stand = _stand(ctx, path)
    kept = _read(_file(ctx))
    if kept is not None and kept.stand == stand and kept.decided_sha256 == _sha256(_needs_file(ctx)):
        kept.reused = True
        return kept
    made = _make(ctx, path, stand)
    if _stand(ctx, path) == stand:
        text = json.dumps(asdict(made))
        _write(_file(ctx), [text, hashlib.sha256(text.encode()).hexdigest()])
    return made


def decided_needs(ctx: StepContext) -> Iterator[bytes]:
    """Need ids, in UTF-8, that a DECIDE with a sound signature names; sorted, of the pass that was made last."""
    with suppress(FileNotFoundError), _needs_file(ctx).open("rb") as file:
        for line in file:
            yield json.loads(line).encode("utf-8", "surrogatepass")


def _make(ctx: StepContext, path: Path, stand: list[object]) -> AuditPass:
    policy = POLICIES[ctx.settings.policy.version]
    found = AuditPass(stand)
    kinds: Counter[str] = Counter()
    decided: set[bytes] = set()
    meter = FileMeter("checking signatures", path.stat().st_size)
    with History(ctx.scratch) as history, Spool(ctx.scratch) as needs:
        for line in read_log(path, ctx.settings.site.cas_folder, policy.current_hashes):
            found.lines += 1
            if found.lines % 256 == 0:
                ctx.stop.check()
                ctx.progress(meter.at(found.lines, line.offset))
            history.add(line)
            if line.carried is not None:
                kinds[line.carried.facts.kind or "without a kind"] += 1
                if line.carried.need_id is not None and line.carried.facts.signature_valid:
                    decided.add(line.carried.need_id.encode("utf-8", "surrogatepass"))
            if len(decided) >= NEEDS_AT_ONCE:
                needs.put_many((need, b"") for need in decided)
                decided.clear()
            _add_bad(found, line)
        found.envelopes_by_kind = dict(sorted(kinds.items()))
        needs.put_many((need, b"") for need in decided)
        _add_history(ctx, found, history)
        _write(_needs_file(ctx), (json.dumps(need.decode("utf-8", "surrogatepass")) for need, _ in needs.items()))
        found.decided_sha256 = _sha256(_needs_file(ctx))
    return found


def _add_bad(found: AuditPass, line: AuditLine) -> None:
    if line.form not in _ODD_FORMS and not line.faults:
        return
    found.bad_count += 1
    if len(found.bad) < KEPT_AT_MOST:
        found.bad.append(BadLine(line.number, line.offset, tuple(f.value for f in line.faults) or (line.form.value,)))


def _add_history(ctx: StepContext, found: AuditPass, history: History) -> None:
    for thread in history.replays(POLICIES[ctx.settings.policy.version]):
        ctx.stop.check()
        found.threads += 1
        found.threads_refused += not thread.holds
        for flaw in thread.flaws[: KEPT_AT_MOST - len(found.refusals)]:
            gone = Reason.ARTIFACT_NOT_FOUND.value in flaw.happened
            found.refusals.append(Refusal(flaw.fault.value, thread.thread_id, flaw.envelope_id, flaw.happened, gone))
    for gap in history.gaps():
        found.gap_count += 1
        if len(found.gaps) < KEPT_AT_MOST:
            found.gaps.append(LogGap(gap.fault.value, gap.line, gap.subject, gap.happened))


def _stand(ctx: StepContext, path: Path) -> list[object]:
    found = path.stat()
    return [
        _FORMAT,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        ctx.settings.policy.version,
        str(ctx.settings.site.cas_folder),
    ]


def _file(ctx: StepContext) -> Path:
    return ctx.folder / "audit-pass.json"


def _needs_file(ctx: StepContext) -> Path:
    return ctx.folder / "audit-decided.jsonl"


def _read(file: Path) -> AuditPass | None:
    try:
        text, digest = file.read_text().splitlines()
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            return None
        data = json.loads(text)
    except (OSError, ValueError):
        return None
    data["bad"] = [BadLine(one["number"], one["offset"], tuple(one["faults"])) for one in data["bad"]]
    data["gaps"] = [LogGap(**one) for one in data["gaps"]]
    data["refusals"] = [Refusal(**one) for one in data["refusals"]]
    return AuditPass(**data)


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def _write(file: Path, lines: Iterable[str]) -> None:
    partial = file.with_suffix(".partial")
    partial.touch(mode=0o600)
    with partial.open("w") as out:
        out.writelines(f"{line}\n" for line in lines)
    partial.replace(file)
