"""What a person lets us replace at a target: only what they were shown, and an undo puts it back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace as replace_fields

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.errors import Blocked
from canswarm_tui.engine.journal import ReceiptFate
from canswarm_tui.engine.step import Finding, Outcome
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.transfer import CopyPlan, kept


def require_shown(finding: Finding, *texts: str) -> None:
    """Raise `Blocked` unless the finding shows what the target holds now, which is one of these texts."""
    if finding.details.get("target") not in texts:
        raise Blocked(
            finding.subject, "the target holds something else by now than what the finding shows",
            "verify the step, then look at both values again",
        )  # fmt: skip


def require_arrived(key: bytes, there: bytes | None, digest: bytes) -> None:
    """Raise `Blocked` unless what the target returns after a replacement is the content with this SHA-256."""
    if there is None or hashlib.sha256(there).digest() != digest:
        raise Blocked(
            shown(key), "read back after it was replaced, the target does not hold the site's value",
            "somebody else writes to it: verify the step, then look at both values again",
        )  # fmt: skip


def put_back(
    ctx: StepContext,
    plan: CopyPlan,
    fetch: Callable[[bytes], bytes | None],
    replace: Callable[[bytes, bytes, bytes | None], bool],
) -> int:
    """Undo every replacement; returns how many were kept because somebody has changed the value since.

    `fetch(key)` reads the target, `replace(key, former, there)` puts `former` over `there`, or where nothing is for
    None, and is false where something else is there by now.
    """
    changed = 0
    for key, former in ctx.journal.replaced():
        receipt = ctx.journal.receipt(key)
        assert receipt is not None
        ctx.journal.mark_write()
        there = fetch(key)
        chosen = receipt.fate is ReceiptFate.TARGET_KEPT
        ours = there is None or hashlib.sha256(there).digest() == receipt.digest
        if ours and not chosen and replace(key, former, there):
            ctx.say(f"put the former content of {shown(key)} back")
        elif there != former and not chosen:
            changed += 1
            ctx.found(kept(plan, key))
            continue
        ctx.journal.set_fates([key], ReceiptFate.REMOVED)
        ctx.journal.forget_replaced(key)
    return changed


def plus_kept(outcome: Outcome, changed: int, removed: int = 0) -> Outcome:
    """The outcome of an undo that also left this many alone, and removed so many whose value a person had renewed."""
    summary = outcome.summary
    if removed:
        summary += f", {removed:,} more whose value a person had renewed were removed"
    if changed:
        summary += f", {changed:,} more have changed since and were kept"
    return replace_fields(
        outcome, removed=outcome.removed + removed, conflicts=outcome.conflicts + changed, summary=summary
    )
