"""Diagnostics: every backend as it was looked at last, with its facts and worries; read-only, with or without a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.facts import Browsable, Look, Section
from canswarm_tui.engine.health.registry import BROWSABLES, LOOKS
from canswarm_tui.engine.health.streams import STREAMS, Stream
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.widgets.row_table import RowTable
from canswarm_tui.widgets.sections import CONDITION_SIGNS, condition_style, look_text

WATCH_EVERY_S = 2.0
WIDE = 100


class Looked(Message):
    """One look has ended."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look


class Merged(Message):
    """A merge was tried: what it told, or why it failed."""

    def __init__(self, found: tuple[Section, ...] | EngineError) -> None:
        super().__init__()
        self.found = found


class DiagnosticsScreen(SwarmScreen):
    """A row for each backend; beside it all that the one under the cursor told. A slow one holds up nothing."""

    CSS_PATH = "diagnostics.tcss"
    HELP = (
        "Each server and what it says of itself, looked at again and again; nothing is changed. "
        "Works without a migration."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "browse", "Lists", id="browse-backend", key_display="⏎", priority=True,
                tooltip="page through what it holds: keys, pins, objects"),
        Binding("g", "guided", "Guided", id="guided-checks",
                tooltip="symptom, what was looked at, verdict, what to do, and the same in a shell"),
        Binding("l", "stream('etcd')", "Live", id="live-decisions",
                tooltip="etcd: decisions as they are created, changed and deleted"),
        Binding("v", "stream('ipfs')", "Verify", id="verify-repo",
                tooltip="IPFS: the node reads and hashes every block, with progress"),
        Binding("m", "merge", "Merge", id="verify-merge",
                tooltip="Automerge: fork, merge and sync with a peer's document, in memory"),
        Binding("r", "look", "Look again", id="look-again", tooltip="look at every backend now"),
        Binding("w", "watch", "Watch", id="watch-backends", tooltip="look again every two seconds, or no more"),
        Binding("c", "copy", "Copy", id="copy-look", tooltip="what this one told, to the clipboard and into a file"),
    ]  # fmt: skip

    streams: ClassVar[dict[str, Stream]] = dict(STREAMS)
    looks: ClassVar[dict[str, Callable[[Settings], Look]]] = dict(LOOKS)
    lists: ClassVar[dict[str, tuple[Callable[[Settings], Browsable], ...]]] = dict(BROWSABLES)

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, Look] = {}
        self._looking: set[str] = set()
        self._watches = False

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        with Horizontal(id="columns"):
            yield RowTable(id="backends", show_header=False)
            with VerticalScroll(id="facts"):
                yield Static(id="told", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        table = self._table()
        for name, width in (("sign", 1), ("backend", 10), ("says", 16), ("time", 9)):
            table.add_column(name, key=name, width=width)
        for name in self.looks:
            table.add_row("", Text(name), Text("looking…"), "", key=name)
        table.focus()
        self.redraw()
        self.action_look()
        self.set_interval(WATCH_EVERY_S, self._again)

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")

    def redraw(self) -> None:
        watch = "watching   " if self._watches else ""
        self.put("#head", f"Diagnostics   {watch}read-only; the same from the shell: canswarm-tui diagnose")
        table, theme = self._table(), self.app.theme
        for name, seen in self._seen.items():
            worried = "   !" * bool(seen.worries)
            for column, text in (
                ("sign", Text(CONDITION_SIGNS[seen.condition], condition_style(seen.condition, theme))),
                ("says", Text(f"{seen.condition.value}{worried}")),
                ("time", Text(f"{seen.took_ms:,.0f} ms", justify="right")),
            ):
                if table.get_cell(name, column) != text:
                    table.update_cell(name, column, text)
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self.query_one("#facts", VerticalScroll).scroll_home(animate=False)
        self._show()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The footer shows what the backend under the cursor has."""
        if not self.is_mounted:
            return True
        if action == "stream":
            return parameters == (self._chosen(),)
        if action == "browse":
            return self._chosen() in self.lists
        return self._chosen() == "automerge" if action == "merge" else True

    def on_data_table_row_selected(self) -> None:
        self.action_browse()

    def on_looked(self, message: Looked) -> None:
        self._looking.discard(message.look.name)
        self._seen[message.look.name] = message.look
        self.redraw()

    def on_merged(self, message: Merged) -> None:
        from canswarm_tui.screens.entry import EntryScreen

        if isinstance(message.found, EngineError):
            self.swarm.tell(str(message.found), severity="error")
        else:
            self.app.push_screen(EntryScreen("merge with a peer's document", message.found))

    def action_stream(self, name: str) -> None:
        from canswarm_tui.screens.live import LiveScreen

        self.app.push_screen(LiveScreen(self.streams[name]))

    def action_merge(self) -> None:
        from canswarm_tui.screens.peer import PeerScreen

        def answered(path: str | None) -> None:
            if path:
                self.swarm.tell("merging in memory…")
                threading.Thread(target=self._merge, args=(Path(path).expanduser(),), name="merge", daemon=True).start()

        self.app.push_screen(PeerScreen(), answered)

    def action_look(self) -> None:
        """Each backend in a thread of its own; one that is still being looked at isn't asked twice."""
        for name, look in self.looks.items():
            if name not in self._looking:
                self._looking.add(name)
                threading.Thread(target=self._look, args=(look,), name=f"look-{name}", daemon=True).start()

    def action_watch(self) -> None:
        self._watches = not self._watches
        self.redraw()

    def action_copy(self) -> None:
        seen = self._seen.get(self._chosen())
        if seen is not None:
            copy_out(self.swarm, f"diagnostics-{seen.name}.txt", look_text(seen, self.app.theme).plain)

    def action_browse(self) -> None:
        from canswarm_tui.screens.browse import BrowseScreen

        made = self.lists.get(self._chosen(), ())
        if not made:
            self.swarm.tell(f"{self._chosen()} has no list to page through", severity="warning")
            return
        self.app.push_screen(BrowseScreen([make(self.swarm.settings) for make in made]))

    def action_guided(self) -> None:
        from canswarm_tui.screens.guided import GuidedScreen

        self.app.push_screen(GuidedScreen())

    def _look(self, look: Callable[[Settings], Look]) -> None:
        self.post_message(Looked(look(self.swarm.settings)))

    def _merge(self, peer: Path) -> None:
        from canswarm_tui.engine.health.automerge import verify_merge

        try:
            with mistakes_told("merge"):
                found: tuple[Section, ...] | EngineError = verify_merge(self.swarm.settings, peer)
        except EngineError as exc:
            found = exc
        self.post_message(Merged(found))

    def _again(self) -> None:
        if self._watches and self.is_current:
            self.action_look()

    def _table(self) -> RowTable:
        return self.query_one("#backends", RowTable)

    def _chosen(self) -> str:
        return list(self.looks)[max(0, self._table().cursor_row)]

    def _show(self) -> None:
        seen = self._seen.get(self._chosen())
        waits = Text(f"{shown(self._chosen())}: looking…")
        self.put("#told", waits if seen is None else look_text(seen, self.app.theme))
