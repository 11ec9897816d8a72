"""Every envelope of v1's audit log as a question to a policy engine, kept in a file that both policy steps share.

Reading the log costs most of the time (each envelope's signature is checked, by several processes), so what it gives
is kept in the run's folder: distinct inputs, and which envelopes have them. It is used again only while the log (size,
time and SHA-256), the policy and every artifact that an envelope names are as they were.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import tee
from pathlib import Path
from typing import BinaryIO, Final, Self

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import SiteUnreadable
from canswarm_tui.engine.file_meter import FileMeter
from canswarm_tui.engine.sqlite import sqlite_errors
from canswarm_tui.engine.steps.policy_input import decision_input, first_reason, from_mask, to_mask
from canswarm_tui.engine.steps.policy_parity import Question
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.engine.v1.audit_log import MAX_LINE_BYTES, LogRange, cut
from canswarm_tui.engine.v1.blobs import blob_exists
from canswarm_tui.engine.v1.envelope import Json, claims_envelope, facts, parse_json, signature_holds, signed_form
from canswarm_tui.engine.v1.policy import POLICIES, Policy, Reason, decide
from canswarm_tui.engine.v1.site import log_file
from canswarm_tui.engine.v1.workers import default_processes, ordered_map, stop_if_unwanted

FILE: Final = "policy-envelopes.db"
FORMAT: Final = 1
_NAME_CHARS: Final = 200
_PAGE: Final = 2000
_SMALL_LOG_BYTES: Final = 8 << 20
_HASHED_AT_ONCE_BYTES: Final = 4 << 20
_ONLY_ARTIFACT: Final = to_mask((Reason.ARTIFACT_NOT_FOUND,))

_SCHEMA: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE input (digest BLOB PRIMARY KEY, body BLOB NOT NULL, reasons INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE envelope (identity BLOB PRIMARY KEY, input BLOB NOT NULL, reasons INTEGER NOT NULL, name TEXT NOT NULL,
    line INTEGER NOT NULL, artifact TEXT, present INTEGER NOT NULL) WITHOUT ROWID;
"""
_INDEXES: Final = """
CREATE INDEX envelope_input ON envelope (input);
CREATE INDEX envelope_refused ON envelope (reasons, line) WHERE reasons <> 0;
CREATE INDEX envelope_artifact ON envelope (artifact, present, line) WHERE artifact IS NOT NULL;
"""

Row = tuple[bytes, bytes, bytes, int, str, int, str | None, bool]
"""identity, input digest, input, reasons as bits, name, line, artifact, whether that is there."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An envelope that v1's rules deny today."""

    name: str
    line: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LostArtifact:
    """An artifact that envelopes name and v1's content store does not have."""

    artifact: str
    envelope: str
    """The first that names it."""
    line: int
    times: int


class Envelopes:
    """The kept questions, opened read-only; close it, or use `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with sqlite_errors(str(path)):
            self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @property
    def count(self) -> int:
        """Distinct envelopes."""
        return self._number("SELECT count(*) FROM envelope")

    @property
    def inputs(self) -> int:
        """Distinct inputs."""
        return self._number("SELECT count(*) FROM input")

    @property
    def lines(self) -> int:
        """Lines of the log that carry an envelope, repetitions included."""
        return int(self.about("lines"))

    def about(self, name: str) -> str:
        """What was noted about the file; empty where nothing was."""
        with sqlite_errors(str(self._path)):
            row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def questions(self) -> Iterator[Question]:
        """Each distinct input once, in the order of their digests; `name` is the digest in hex."""
        sql = (
            "SELECT digest, body, reasons, (SELECT count(*) FROM envelope WHERE input = digest) FROM input"
            " WHERE digest > ? ORDER BY digest LIMIT ?"
        )
        after = b""
        while rows := self._rows(sql, after, _PAGE):
            for digest, body, reasons, times in rows:
                yield Question(digest.hex(), body, from_mask(reasons), times)
            after = rows[-1][0]

    def named(self, question: Question) -> Iterator[tuple[str, int]]:
        """(name, line) of the envelopes that have this input, in the log's order."""
        sql = "SELECT name, line FROM envelope WHERE input = ? ORDER BY line"
        yield from self._rows(sql, bytes.fromhex(question.name))

    def refused(self, limit: int) -> list[Refused]:
        """The first envelopes that v1 would refuse for more than a lost artifact."""
        sql = "SELECT name, line, reasons FROM envelope WHERE reasons <> 0 AND reasons <> ? ORDER BY line LIMIT ?"
        return [Refused(n, line, from_mask(bits).reasons) for n, line, bits in self._rows(sql, _ONLY_ARTIFACT, limit)]

    def reasons(self) -> tuple[int, dict[str, int], dict[str, int]]:
        """How many v1 would refuse; per reason, how many it applies to; per reason, how many it is the first for."""
        applies = dict.fromkeys((reason.value for reason in Reason), 0)
        first = dict(applies)
        refused = 0
        for bits, times in self._rows("SELECT reasons, count(*) FROM envelope WHERE reasons <> 0 GROUP BY reasons"):
            answer = from_mask(bits)
            refused += times
            first[first_reason(answer)] += times
            for reason in answer.reasons:
                applies[reason] += times
        return refused, applies, first

    def lost_artifacts(self) -> Iterator[LostArtifact]:
        """Sorted by hash."""
        sql = (
            "SELECT artifact, name, min(line), count(*) FROM envelope"
            " WHERE artifact IS NOT NULL AND NOT present GROUP BY artifact ORDER BY artifact"
        )
        for artifact, name, line, times in self._rows(sql):
            yield LostArtifact(artifact, name, line, times)

    def artifacts(self) -> Iterator[tuple[str, bool]]:
        """Every artifact named, and whether it was there when the log was read."""
        sql = "SELECT DISTINCT artifact, present FROM envelope WHERE artifact IS NOT NULL"
        yield from ((name, bool(present)) for name, present in self._rows(sql))

    def _rows(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with sqlite_errors(str(self._path)):
            return self._db.execute(sql, values).fetchall()

    def _number(self, sql: str) -> int:
        return int(self._rows(sql)[0][0])


def open_envelopes(ctx: StepContext) -> Envelopes:
    """The kept questions where they still hold, else read from the log now. Raises `SiteUnreadable`, `Stopped`."""
    policy = POLICIES[ctx.settings.policy.version]
    log, cas, path = log_file(ctx.settings.site), ctx.settings.site.cas_folder, ctx.folder / FILE
    stand = _stand(ctx, log, cas, policy)
    if (kept := _kept(path, stand, cas)) is not None:
        ctx.say(f"{counted(kept.count, 'envelope')} read before, and neither log nor artifacts have moved")
        return kept
    partial_path = ctx.scratch / FILE
    partial_path.unlink(missing_ok=True)
    _build(ctx, log, cas, policy, partial_path, stand)
    partial_path.replace(path)
    return Envelopes(path)


def rows_of_range(path: Path, cas: Path, policy_name: str, part: LogRange) -> tuple[list[Row], int]:
    """The distinct envelopes of one range, and how many lines carry one; what a child process does.

    The signatures of the lines themselves are no fact that a policy looks at, so only those of envelopes are checked.
    """
    policy = POLICIES[policy_name]
    exists = partial(blob_exists, cas)
    rows: dict[bytes, Row] = {}
    lines, seen = 0, set[bytes]()
    for number, envelope in _carried(path, part):
        lines += 1
        # The same value, written the same: a PUBLISH and its DELIVERs. Cheaper than the canonical form of each.
        text = hashlib.blake2b(repr(envelope).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if text not in seen:
            seen.add(text)
            row = _row(number, envelope, exists, policy)
            rows.setdefault(row[0], row)
    return list(rows.values()), lines


def _carried(path: Path, part: LogRange) -> Iterator[tuple[int, dict[str, Json]]]:
    """Line number and envelope of each line that carries one, or what claims to be one."""
    number, left = part.first_line - 1, part.end - part.start
    with path.open("rb") as file:
        file.seek(part.start)
        while left > 0 and (text := file.readline(min(MAX_LINE_BYTES, left))):
            stop_if_unwanted()
            left -= len(text)
            number += 1
            if len(text) == MAX_LINE_BYTES and not text.endswith(b"\n"):
                left -= _skip_line(file, left)  # too long to be v1's; the documentation step names it
                continue
            try:
                line = parse_json(text)
            except ValueError:
                continue
            payload = line.get("payload") if isinstance(line, dict) else None
            if isinstance(payload, dict) and claims_envelope(payload):
                yield number, payload


def _skip_line(file: BinaryIO, limit: int) -> int:
    """Reads on to the newline, at most `limit` bytes; returns how many."""
    skipped = 0
    while skipped < limit and (text := file.readline(min(MAX_LINE_BYTES, limit - skipped))):
        skipped += len(text)
        if text.endswith(b"\n"):
            break
    return skipped


def _row(number: int, envelope: dict[str, Json], exists: Callable[[str], bool], policy: Policy) -> Row:
    signed = signed_form(envelope)
    found = facts(envelope, exists, policy.current_hashes, signed is not None and signature_holds(*signed))
    body = decision_input(envelope, found)
    message = b"".join(signed) if signed is not None else repr(envelope).encode("utf-8", "surrogatepass")
    identity = envelope.get("id")
    name = shown(identity if isinstance(identity, str) and identity else f"line {number}", _NAME_CHARS)
    return (
        hashlib.blake2b(message, digest_size=16).digest(), hashlib.blake2b(body, digest_size=16).digest(), body,
        to_mask(decide(found, policy).reasons), name, number,
        _artifact(envelope) if found.artifact_named else None, found.artifact_present,
    )  # fmt: skip


def _artifact(envelope: dict[str, Json]) -> str:
    payload = envelope.get("payload")
    artifact = payload.get("artifact_hash") if isinstance(payload, dict) else None
    return shown(artifact if isinstance(artifact, str) else json.dumps(artifact), _NAME_CHARS)


def _build(ctx: StepContext, log: Path, cas: Path, policy: Policy, path: Path, stand: str) -> None:
    size = log.stat().st_size
    work = partial(rows_of_range, log, cas, policy.name)
    processes = 1 if size <= _SMALL_LOG_BYTES else default_processes()
    lines, meter = 0, FileMeter("reading the audit log", size)
    with sqlite_errors(str(path)), closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.executescript(_SCHEMA)
        ranges, tasks = tee(cut(log))
        with closing(ordered_map(work, tasks, processes)) as parts:
            for (rows, carried), part in zip(parts, ranges, strict=True):
                ctx.stop.check()
                _insert(db, rows)
                lines += carried
                ctx.progress(meter.at(lines, part.end))
        db.executescript(_INDEXES)
        db.executemany("INSERT INTO about VALUES (?, ?)", [("stand", stand), ("lines", str(lines))])


def _insert(db: sqlite3.Connection, rows: list[Row]) -> None:
    db.execute("BEGIN")
    db.executemany("INSERT OR IGNORE INTO input VALUES (?, ?, ?)", [(row[1], row[2], row[3]) for row in rows])
    db.executemany(
        "INSERT OR IGNORE INTO envelope VALUES (?, ?, ?, ?, ?, ?, ?)", [(row[0], row[1], *row[3:]) for row in rows]
    )
    db.execute("COMMIT")


def _stand(ctx: StepContext, log: Path, cas: Path, policy: Policy) -> str:
    """All that the questions depend on, but for the artifacts."""
    try:
        before = log.stat()
        digest = _sha256(ctx, log, before.st_size)
    except OSError as exc:
        raise SiteUnreadable(str(log), exc.strerror or str(exc), "check site.log_dir and its rights") from exc
    about: dict[str, object] = {
        "format": FORMAT, "log": str(log), "size": before.st_size, "mtime_ns": before.st_mtime_ns, "sha256": digest,
        "cas": str(cas), "policy": policy.name, "current": sorted(policy.current_hashes),
    }  # fmt: skip
    return json.dumps(about, sort_keys=True)


def _sha256(ctx: StepContext, log: Path, size: int) -> str:
    digest, done = hashlib.sha256(), 0
    meter = FileMeter("hashing the audit log", size)
    with log.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE_BYTES):
            ctx.stop.check()
            digest.update(chunk)
            done += len(chunk)
            ctx.progress(meter.at(0, done))
    return digest.hexdigest()


def _kept(path: Path, stand: str, cas: Path) -> Envelopes | None:
    if not path.exists():
        return None
    kept = Envelopes(path)
    try:
        if kept.about("stand") == stand and all(blob_exists(cas, a) == there for a, there in kept.artifacts()):
            return kept
    except SiteUnreadable:
        pass  # damaged, so it is read from the log again
    kept.close()
    return None
