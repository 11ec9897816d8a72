"""Colours: two themes of our own, and the style of each state; a state is always a sign and a word too."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    "swarm-dark", primary="#7aa2c9", secondary="#93a1b3", accent="#d0a24c", foreground="#dfe6ee", background="#12171e",
    surface="#182029", panel="#202a35", success="#86b886", warning="#d9a94a", error="#d98080", dark=True,
)  # fmt: skip
LIGHT = Theme(
    "swarm-light", primary="#2f5d8a", secondary="#5a6677", accent="#8a5a00", foreground="#1c2430", background="#fbfcfd",
    surface="#f1f4f7", panel="#e4e9ef", success="#2f6b2f", warning="#8a5a00", error="#a03030", dark=False,
)  # fmt: skip
SIGNS = {
    "not started": "·", "ready": "▸", "blocked": "×", "running": "▶", "stopping": "■", "stopped": "■",
    "needs attention": "!", "done": "✓", "proved": "✔", "undone": "↶", "skipped": "–", "not available yet": " ",
    "older": "~", "unknown": "?",
}  # fmt: skip
_ROLES = {
    "done": "success", "proved": "success", "running": "primary", "ready": "primary", "stopping": "warning",
    "stopped": "warning", "needs attention": "warning", "undone": "warning", "warning": "warning", "blocker": "error",
    "waiting": "warning", "differs": "warning", "error": "error", "title": "accent", "blocked": "muted",
    "skipped": "muted", "older": "muted", "unknown": "error", "not started": "muted", "not available yet": "muted",
    "muted": "muted",
}  # fmt: skip
_ANSI = {
    "success": "green", "primary": "cyan", "warning": "yellow", "error": "red", "accent": "bold",
    "muted": "bright_black",
}  # fmt: skip


def style_of(word: str, theme: str) -> str:
    """The Rich style of a state, a level or `title`, `muted`, `error` in a theme; plain for any other word."""
    role = _ROLES.get(word)
    if role is None:
        return ""
    if theme not in (DARK.name, LIGHT.name):
        return _ANSI[role]
    chosen = DARK if theme == DARK.name else LIGHT
    colours = {
        "success": chosen.success, "primary": chosen.primary, "warning": chosen.warning, "error": chosen.error,
        "accent": f"bold {chosen.accent}", "muted": chosen.secondary,
    }  # fmt: skip
    return colours[role] or ""
