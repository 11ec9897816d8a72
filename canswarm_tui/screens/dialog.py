"""What every dialog shares: the keys that leave it, whatever has the focus."""

from __future__ import annotations

from textual.binding import Binding


def leaving(action: str, name: str, identity: str) -> Binding:
    """Esc and Ctrl+C, before a field of the dialog gets them: Textual's own would copy."""
    return Binding("escape,ctrl+c", action, name, id=identity, priority=True)
