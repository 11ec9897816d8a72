"""About: what runs here, on what, and where it keeps what it knows; to be copied into an issue."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui import __version__
from canswarm_tui.engine.text import shown
from canswarm_tui.preferences import preferences_file
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.screens.support import SupportScreen


class AboutScreen(SwarmScreen):
    """Versions and paths."""

    CSS_PATH = "about.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="copy-about", tooltip="to the clipboard and into a file"),
        Binding("b", "bundle", "Support bundle", id="support-bundle",
                tooltip="one archive without secrets for an issue; shown first"),
    ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Static("About", id="head", markup=False)
        with VerticalScroll(id="facts"):
            yield Static(id="about", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.put("#about", self._text())
        self.query_one("#facts").focus()

    def action_copy(self) -> None:
        copy_out(self.swarm, "about.txt", self._text())

    def action_bundle(self) -> None:
        self.app.push_screen(SupportScreen())

    def _text(self) -> str:
        place = self.swarm.place
        rows = {
            "canswarm-tui": __version__,
            "Python": platform.python_version(),
            "Textual": version("textual"),
            "system": f"{platform.system()} {platform.release()}",
            "site": str(self.swarm.settings.site.root),
            "journal": str(place.journal),
            "log": str(place.log),
            "reports": str(place.reports),
            "backups": str(self.swarm.settings.backup_folder),
            "preferences": str(preferences_file()),
        }
        lines = [f"{name:<14} {shown(value, 400)}" for name, value in rows.items()]
        return "\n".join(["Takes a CAN Swarm from v1 to v2, once, and proves every record.", "", *lines])
