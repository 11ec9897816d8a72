"""Preflight: looks at the site, this machine and every target, in full, and changes nothing."""

from canswarm_tui.engine.steps.preflight.step import Preflight

__all__ = ["Preflight"]
