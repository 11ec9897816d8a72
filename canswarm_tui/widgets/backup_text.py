"""A backup as text: where it is and how long it is kept, what is in it and read back, and its restore proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from rich.text import Text

from canswarm_tui.engine.backup.contents import PARTS, Contents
from canswarm_tui.engine.backup.manifest import INDEX, PLAN_COPY
from canswarm_tui.engine.journal import StepRecord, StoredFinding
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.theme import SIGNS, style_of
from canswarm_tui.widgets.way_back import ANEW, FRESH, age_text

REDIS = "redis"
DAMAGED = "backup.damaged"
SKIPPED_LISTED = 20


def backup_text(last: Mapping[str, str], held: Contents | None, now: datetime, theme: str) -> Text:
    """The newest backup of this run as the journal has it, and whether its folder is still there."""
    if not last:
        return Text()
    text = Text().append("Newest backup of this run", style_of("title", theme))
    for name, value in (
        ("where", shown(last.get("folder", ""), 300)), ("made", _made(last.get("created", ""), now)),
        ("kept until", _kept(last.get("keep_until", ""), now)),
    ):  # fmt: skip
        text.append(f"\n  {name:<12}{value}")
    is_gone = held is not None and held.manifest is None
    if held is not None and is_gone:
        _sign(text, shown(held.trouble, 200), theme, holds=False)
    proved, aged = last.get("proved_at", ""), False
    if proved and is_gone:
        words = f"restored and compared equal before, {_made(proved, now)}: it can't be restored now"
    elif proved:
        moment = _moment(proved)
        aged = moment is None or now - moment > FRESH
        words = f"restored elsewhere and compared equal, {_made(proved, now)}{f': {ANEW}' if aged else ''}"
    else:
        words = "its restore is not proved: v restores it into a scratch folder and compares"
    return _sign(text, words, theme, holds=bool(proved) and not is_gone and not aged)


def parts_text(held: Contents | None, record: StepRecord, found: Sequence[StoredFinding], theme: str) -> Text:
    """What is in it, part by part, and whether that was read back equal; empty before a backup can be read."""
    if held is None or held.manifest is None:
        return Text()
    muted, manifest = style_of("muted", theme), held.manifest
    text = Text().append("What is in it", style_of("title", theme))
    text.append(f"\n  {'':<16}{'files':>10}{'bytes':>12}   read back", muted)
    for one in held.parts:
        _row(text, PARTS[one.part], f"{one.files:,}", bytes_text(one.size_bytes), _read_back(one.part, record, found))
    if manifest.plan is not None:
        _row(text, "plan.db", "1", "", _read_back(PLAN_COPY, record, found))
    _row(text, "Redis keys", f"{manifest.redis_keys:,}", "", _read_back(REDIS, record, found))
    for skipped in manifest.skipped[:SKIPPED_LISTED]:
        _sign(text, f"not in it: {shown(skipped.name, 100)}: {shown(skipped.why, 120)}", theme, holds=False)
    more = len(manifest.skipped) - SKIPPED_LISTED
    return text.append(f"\n  … and {more:,} more", muted) if more > 0 else text


def _row(text: Text, name: str, files: str, size: str, read_back: str) -> None:
    text.append(f"\n  {name:<16}{files:>10}{size:>12}   {read_back}")


def _read_back(part: str, record: StepRecord, found: Sequence[StoredFinding]) -> str:
    """`equal` only where a verify has read it after it was written."""
    if record.verdict is None:
        return "not yet"
    damaged = [f.finding.subject for f in found if f.finding.code == DAMAGED]
    named = [one for one in damaged if one.startswith((f"{part}:", f"{part}-")) or one == part]
    if named:
        return f"{len(named):,} damaged"
    if INDEX in damaged:
        return "not read: the backup's list is damaged"
    return "equal" if record.verdict_is_fresh else "older than the backup"


def _sign(text: Text, words: str, theme: str, *, holds: bool) -> Text:
    word = "proved" if holds else "needs attention"
    return text.append(f"\n  {SIGNS[word]} ", style_of(word, theme)).append(words)


def _moment(iso: str) -> datetime | None:
    try:
        return datetime.fromisoformat(iso).astimezone(UTC)
    except ValueError:
        return None


def _made(iso: str, now: datetime) -> str:
    """A moment of ISO 8601 and its age; what can't be read as one stands as it is."""
    moment = _moment(iso)
    if moment is None:
        return shown(iso, 60)
    return f"{moment.isoformat(' ')[:16]} UTC, {age_text(max(timedelta(0), now - moment))} ago"


def _kept(iso: str, now: datetime) -> str:
    """Until when it is kept, and how long that still is."""
    moment = _moment(iso)
    if moment is None:
        return shown(iso, 60)
    until = f"{moment.isoformat(' ')[:16]} UTC"
    return f"{until}, {age_text(moment - now)} more" if moment > now else f"{until}: it may be removed now"
