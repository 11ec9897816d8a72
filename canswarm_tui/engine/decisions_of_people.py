"""What a person decides about findings: accepted with a reason, or a conflict resolved; who, when and why are kept."""

from __future__ import annotations

from canswarm_tui.engine.errors import SettingsError
from canswarm_tui.engine.journal import FindingStatus, Journal, StoredFinding
from canswarm_tui.engine.step import Kind, Level


def find_one(journal: Journal | None, identity: str) -> StoredFinding:
    """The finding with this id, or with this unique beginning of one. Raises `SettingsError` otherwise."""
    if not identity or not set(identity) <= set("0123456789abcdef"):
        raise SettingsError(identity or "ID", "that is no id of a finding", "see `canswarm-tui findings`")
    found = [] if journal is None else journal.findings(identity=identity, with_gone=True)
    if len(found) != 1:
        what = "no finding has this id" if not found else f"{len(found)} findings begin like this"
        raise SettingsError(identity, what, "see `canswarm-tui findings`")
    return found[0]


def accept_finding(journal: Journal, identity: str, who: str, reason: str) -> StoredFinding:
    """Accept a finding as it is; a blocker can't be accepted, and a reason is wanted."""
    stored = find_one(journal, identity)
    if stored.finding.level is Level.BLOCKER:
        raise SettingsError(identity, "a blocker can't be accepted", stored.finding.remedy)
    if not reason.strip():
        raise SettingsError(identity, "no reason is given", "say why it may stay as it is: --reason")
    journal.decide(stored, FindingStatus.ACCEPTED, who, reason)
    return find_one(journal, stored.id)


def require_conflict(stored: StoredFinding) -> None:
    """Raise `SettingsError` unless the finding is a conflict that stands."""
    if stored.finding.kind is not Kind.CONFLICT:
        raise SettingsError(
            stored.id, f"it is a {stored.finding.kind.value}, not a conflict", "accept it with a reason instead"
        )
    if "key" not in stored.finding.details:
        raise SettingsError(stored.id, "it has no two values to choose between", "accept it with a reason instead")
    if stored.status is FindingStatus.GONE:
        raise SettingsError(stored.id, "it does not stand any more", "nothing is to do")
