"""Which screen opens a checklist item; each is imported when it is opened first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canswarm_tui.screens.base import StepScreen


def screen_of(step: str) -> StepScreen:
    """The screen of a step: its own where it has one, else the one that all steps share."""
    if step == "verification":
        from canswarm_tui.screens.verification import VerificationScreen

        return VerificationScreen()
    if step == "preflight":
        from canswarm_tui.screens.preflight import PreflightScreen

        return PreflightScreen()
    if step == "backup":
        from canswarm_tui.screens.backup import BackupScreen

        return BackupScreen()
    from canswarm_tui.screens.phase import PhaseScreen

    return PhaseScreen(step)
