"""Rollback readiness as text: the backups and their dates, the restore proof, and the rollback step by step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.text import Text

from canswarm_tui.engine.readiness import Planned, Readiness
from canswarm_tui.engine.text import bytes_text, duration_text, shown
from canswarm_tui.theme import SIGNS, style_of

LISTED = 20
WHAT_WIDTH = 35
UNKNOWN = "unknown"
FRESH = timedelta(days=7)
"""A restore proof older than this is no tick: discs rot, people tidy up."""
ANEW = "longer ago than a week, v proves it anew"


def backups_text(ready: Readiness, now: datetime, theme: str) -> Text:
    """The newest first: age, size, and how long each is kept."""
    text = Text().append(f"Backups of this site: {len(ready.backups):,}", style_of("title", theme))
    if not ready.backups:
        return text.append("\n  None yet: run the step Backup.", style_of("warning", theme))
    text.append(f"   in {shown(str(ready.backups[0].folder.parent))}", style_of("muted", theme))
    for one in ready.backups[:LISTED]:
        text.append(f"\n  {shown(one.folder.name, 60)}  {bytes_text(one.size_bytes)}  ")
        age, left = one.age(now), one.left(now)
        if age is None or left is None or one.manifest is None:
            text.append(shown(one.trouble, 200), style_of("warning", theme))
            continue
        text.append(f"{age_text(age)} old  ")
        until = one.manifest.keep_until[:10]
        if left > timedelta(0):
            text.append(f"kept to {until}, {age_text(left)}")
        else:
            text.append(f"kept to {until}: it may be removed now", style_of("warning", theme))
    more = len(ready.backups) - LISTED
    return text.append(f"\n  … and {more:,} more", style_of("muted", theme)) if more > 0 else text


def proof_text(ready: Readiness, now: datetime, theme: str) -> Text:
    """Whether the newest backup of this run was proved to restore, and when."""
    text = Text().append("Restore proof", style_of("title", theme))
    if ready.newest is None:
        told = shown(ready.trouble, 200) or "This run has no backup yet, so nothing can be proved."
        return text.append(f"\n  {told}", style_of("warning", theme))
    if ready.proved_at is None:
        word, told = "needs attention", "not proved: v restores it into a scratch folder and compares"
    else:
        age = max(timedelta(0), now - ready.proved_at.astimezone(UTC))
        word, told = "proved", f"restored into a scratch folder and compared equal, {age_text(age)} ago"
        if age > FRESH:
            word, told = "needs attention", f"{told}: {ANEW}"
    text.append(f"\n  {SIGNS[word]} ", style_of(word, theme))
    return text.append(told)


def plan_text(ready: Readiness, theme: str) -> Text:
    """What a rollback would do now, in its order, each with the time that the same work took here."""
    muted = style_of("muted", theme)
    text = Text().append("A rollback would now", style_of("title", theme))
    text.append(f"{'':<{WHAT_WIDTH - 13}}{'records':>9}{'time':>13}  as the last", muted)
    for number, step in enumerate(ready.plan, 1):
        count = "" if step.count is None else f"{step.count:,}"
        text.append(f"\n  {number:>2} {step.what:<{WHAT_WIDTH}} {count:>9}{_time(step):>13}")
        text.append(f"  {step.basis}" if step.basis else "", muted)
    text.append(f"\n  {'':>2} {'in all':<{WHAT_WIDTH}} {'':>9}{_total(ready):>13}", style_of("title", theme))
    text.append("\n  Only what this run created goes; the site as it is now is backed up first.", muted)
    text.append("\n  It is refused while v1 writes. Times are how long the same work took here.", muted)
    return text


def _time(step: Planned) -> str:
    return UNKNOWN if step.seconds is None else _about(step.seconds)


def _total(ready: Readiness) -> str:
    if ready.unknown and ready.known_s < 1:
        return UNKNOWN
    return f"> {duration_text(ready.known_s)}" if ready.unknown else _about(ready.known_s)


def _about(seconds: float) -> str:
    return "< 1 s" if seconds < 1 else f"≈ {duration_text(seconds)}"


def age_text(age: timedelta) -> str:
    """In the largest unit of which there are two: `29 days`, `5 h`, `12 min`, `40 s`."""
    seconds = int(age.total_seconds())
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} s"
