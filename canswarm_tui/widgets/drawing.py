"""Texts drawn as high as they are, however fast one follows another."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static


def draw(widget: Static, text: str | Text, *, layout: bool = True) -> None:
    """Show a text; `layout` is False where it is as high as the one before.

    Textual 8.2 knows a widget's size by a number that it raises once for all changes between two idle moments of the
    widget. A text that comes after a layout in between would keep the height of the one before: so each raises it.
    """
    widget.update(text, layout=layout)
    if layout:
        widget._layout_updates += 1
