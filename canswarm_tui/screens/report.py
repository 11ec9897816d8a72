"""The report that the last run wrote, to be read here; where its three files are."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen

READ_AT_MOST_BYTES = 256 * 1024


class ReportScreen(SwarmScreen):
    """The Markdown as it was written: every character of the site's data is shown as it is."""

    CSS_PATH = "report.tcss"
    HELP = "The report as the last run or verification wrote it; where its files are is said above."

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="where", markup=False)
        with VerticalScroll(id="page"):
            yield Static(id="text", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        path = self.swarm.place.reports / "report.md"
        if not path.exists():
            self.query_one("#head", Static).update("Report")
            self.query_one("#text", Static).update("No report yet: each run and each verification writes one.")
            return
        with path.open("rb") as stream:
            data = stream.read(READ_AT_MOST_BYTES)
        size = path.stat().st_size
        cut = f"\n… cut here; all {size:,} bytes are in the file" if size > READ_AT_MOST_BYTES else ""
        lines = data.decode("utf-8", "backslashreplace").splitlines()
        self.query_one("#head", Static).update("Report   as .md, .json and .html")
        self.put("#where", f"in {shown(str(path.parent))}")
        self.query_one("#text", Static).update("\n".join(shown(line, 1000) for line in lines) + cut)
        self.query_one("#page").focus()
