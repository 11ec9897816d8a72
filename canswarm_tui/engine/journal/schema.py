"""The journal's tables and how its file is opened: WAL, synchronous=FULL, one writer.

A schema of another version is refused, never altered: a migration runs once, with one version of the tool.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from canswarm_tui.engine.errors import NoSpace, SettingsError, SiteUnreadable, Unreachable

SCHEMA_VERSION = 3
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
_CHECKPOINT_PAGES = 8000
"""32 MB of log between checkpoints: receipts come in key order, so a page is brought over once and not eight times."""

_KEEP = (
    "check the folder's rights; put a copy of the file back if there is one, else move it away and run again: what the"
    " targets hold already is found equal and not copied twice"
)

_TABLES = """
-- what this journal is about; `pin:` rows hold what a target was when it was first used, without secrets
CREATE TABLE setup (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- append-only: everything that was started, ended, decided
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,           -- seconds since 1970
    step TEXT NOT NULL,
    verb TEXT NOT NULL,
    what TEXT NOT NULL,
    data TEXT NOT NULL          -- JSON
);

-- a row for each step: where it stands now
CREATE TABLE steps (
    step TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    changed_at REAL NOT NULL,
    outcome TEXT,               -- JSON of the last run
    outcome_at REAL,
    verdict TEXT,               -- JSON of the last verify
    verdict_at REAL,
    wrote_at REAL,              -- last write to the target
    error TEXT                  -- why it stopped
) WITHOUT ROWID;

-- a row for each batch; open until its records are accounted for
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    step TEXT NOT NULL,
    tag TEXT NOT NULL,
    opened_at REAL NOT NULL,
    closed_at REAL,
    first BLOB,                 -- of a closed batch: the first and last key that has a receipt of it
    last BLOB,
    whole INTEGER               -- how many receipts its intent stands for; none: they are in `receipts`
);
CREATE INDEX open_batches ON batches (step) WHERE closed_at IS NULL;
CREATE INDEX whole_batches ON batches (step, first) WHERE whole IS NOT NULL;

-- packed keys, digests, sizes: of an open batch what it wants, of a whole one what arrived
CREATE TABLE intents (batch INTEGER PRIMARY KEY, wanted BLOB NOT NULL);

CREATE TABLE receipts (
    step TEXT NOT NULL,
    key BLOB NOT NULL,
    digest BLOB NOT NULL,       -- SHA-256 of the content
    size INTEGER NOT NULL,
    fate INTEGER NOT NULL,      -- ReceiptFate
    place TEXT NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (step, key)
) WITHOUT ROWID;

CREATE TABLE findings (
    id TEXT PRIMARY KEY,
    step TEXT NOT NULL,
    verb TEXT NOT NULL,
    code TEXT NOT NULL,
    level TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    happened TEXT NOT NULL,
    remedy TEXT NOT NULL,
    details TEXT NOT NULL,      -- JSON
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL,
    sweep INTEGER NOT NULL,     -- history.id of the verb that saw it last
    status TEXT NOT NULL,       -- FindingStatus
    decided_by TEXT,
    decided_at REAL,
    reason TEXT
) WITHOUT ROWID;
CREATE INDEX findings_by_step ON findings (step, verb, status);

-- small facts that a step must remember, by name
CREATE TABLE facts (
    step TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (step, name)
) WITHOUT ROWID;

-- what a person had replaced at the target, whole, so that an undo can put it back
CREATE TABLE replaced (
    step TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (step, key)
) WITHOUT ROWID;

-- what another process asks of the one that runs
CREATE TABLE requests (id INTEGER PRIMARY KEY, at REAL NOT NULL, what TEXT NOT NULL, data TEXT NOT NULL, done_at REAL);
"""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to the journal at `path`, made if it is absent and not `read_only`.

    Raises `SettingsError` for a journal of another version, `SiteUnreadable` for a damaged one.
    """
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    try:
        db = _opened(uri, path, read_only=read_only)
        if not read_only:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not read_only:
            _create(db)
        elif version == 0:
            raise SiteUnreadable(str(path), "the journal is empty", _KEEP)
        elif version != SCHEMA_VERSION:
            raise SettingsError(
                str(path),
                f"the journal has version {version}, this program writes {SCHEMA_VERSION}",
                "finish this migration with the program that began it",
            )
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc
    return db


def _opened(uri: str, path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A journal without a log beside it opens in a folder that can't be written only as one that never changes."""
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0, check_same_thread=False)
    try:
        db.execute("PRAGMA user_version")
    except sqlite3.OperationalError:
        has_log = any(path.with_name(path.name + end).exists() for end in ("-wal", "-shm"))
        if not read_only or has_log or os.access(path.parent, os.W_OK):
            raise
        db.close()
        db = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return db


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    db.execute("COMMIT")


def translate(exc: sqlite3.Error, path: Path) -> Unreachable | NoSpace | SiteUnreadable:
    """The engine's error for what SQLite says of the journal file."""
    text = str(exc)
    if "full" in text or "disk I/O" in text:
        return NoSpace(str(path), f"the journal could not be written: {text}", "free space on its disk, then run again")
    if "locked" in text or "busy" in text:
        return Unreachable(
            str(path),
            f"the journal is locked by another program: {text}",
            "close that program, then run again",
        )
    return SiteUnreadable(
        str(path),
        f"the journal could not be used: {text}",
        _KEEP,
    )
