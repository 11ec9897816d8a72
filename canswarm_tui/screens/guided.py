"""Guided checks: the troubles that a server can have, whether it has them now, what to do, and the same in a shell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import DataTable, Footer, Input, Static

from canswarm_tui.engine.health.facts import Check, CheckVerdict
from canswarm_tui.engine.health.guided.registry import GUIDED
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.check_filter import CheckFilter
from canswarm_tui.widgets.guided import VERDICT_SIGNS, check_text, verdict_style
from canswarm_tui.widgets.row_table import RowTable


class Checked(Message):
    """The checks of one backend are done."""

    def __init__(self, backend: str, checks: tuple[Check, ...]) -> None:
        super().__init__()
        self.backend, self.checks = backend, checks


class GuidedScreen(SwarmScreen):
    """A row for each symptom; below it all of the one under the cursor. A slow server holds up nothing."""

    CSS_PATH = "guided.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "narrow", "Verdict", id="filter-checks", show=False,
                tooltip="all, bad or worry, can't tell, fine"),
        Binding("p", "backend", "Server", id="filter-backend", show=False, tooltip="one server's checks, or all"),
        Binding("s", "search", "Search", id="search-checks", show=False, tooltip="words anywhere in a check"),
        Binding("c", "copy_command", "Command", id="copy-command",
                tooltip="the shell command to the clipboard and into a file"),
        Binding("y", "copy", "Copy", id="copy-check", tooltip="the whole check to the clipboard and into a file"),
        Binding("w", "write", "Save", id="save-checks", tooltip="write every listed check into a file"),
        Binding("r", "check", "Check again", id="check-again", tooltip="do every check again, now"),
    ]  # fmt: skip

    guided: ClassVar[dict[str, Callable[[Settings], tuple[Check, ...]]]] = dict(GUIDED)

    def __init__(self, backend: str = "all") -> None:
        super().__init__()
        self._filter = CheckFilter(backend=backend)
        self._checks: dict[str, tuple[Check, ...]] = {}
        self._asking: set[str] = set()
        self._drawn: list[Check] = []

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="filters", markup=False)
        yield Input(id="search", placeholder="words; Enter goes to the list, Esc forgets them", compact=True)
        yield RowTable(id="checks", show_header=False)
        with VerticalScroll(id="facts"):
            yield Static(id="told", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._search().display = False
        table = self._table()
        for name, width in (("sign", 1), ("verdict", 10), ("backend", 9)):
            table.add_column(name, key=name, width=width)
        table.add_column("symptom", key="symptom")
        table.focus()
        self.action_check()

    def redraw(self) -> None:
        done = [check for name in self.guided for check in self._checks.get(name, ())]
        listed = [check for check in done if self._filter.passes(check)]
        care = sum(check.verdict in (CheckVerdict.BAD, CheckVerdict.WORRY) for check in done)
        waits = f"   asking {', '.join(name for name in self.guided if name in self._asking)}…" if self._asking else ""
        self.put("#head", f"Guided checks: {len(listed)} of {len(done)}, {care} bad or worry{waits}")
        self.put("#filters", self._filters_text())
        if listed != self._drawn:
            self._draw(listed)
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self.query_one("#facts", VerticalScroll).scroll_home(animate=False)
        self._show()

    def on_checked(self, message: Checked) -> None:
        self._asking.discard(message.backend)
        self._checks[message.backend] = message.checks
        self.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._narrow(self._filter.with_words(event.value))

    def on_input_submitted(self) -> None:
        self._leave_search()

    def action_back(self) -> None:
        """Out of the search first, then out of the screen."""
        if self._is_searching:
            self._search().value = ""
            self._leave_search()
        else:
            super().action_back()

    def action_narrow(self) -> None:
        self._narrow(self._filter.next_verdict())

    def action_backend(self) -> None:
        self._narrow(self._filter.next_backend(tuple(self.guided)))

    def action_search(self) -> None:
        self._search().display = True
        self._search().focus()

    def action_check(self) -> None:
        """Each backend in a thread of its own; one that is still being asked isn't asked twice."""
        for name, checks in self.guided.items():
            if name not in self._asking:
                self._asking.add(name)
                threading.Thread(target=self._check, args=(name, checks), name=f"check-{name}", daemon=True).start()
        self.redraw()

    def action_copy_command(self) -> None:
        check = self._chosen()
        if check is not None:
            copy_out(self.swarm, "command.sh", check.command)

    def action_copy(self) -> None:
        check = self._chosen()
        if check is not None:
            copy_out(self.swarm, f"check-{check.id}.txt", check_text(check, self.app.theme).plain)

    def action_write(self) -> None:
        path = self.swarm.place.folder / "checks.txt"
        text = "\n\n\n".join(check_text(check, self.app.theme).plain for check in self._drawn)
        try:
            path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        except OSError as exc:
            self.swarm.tell(f"{path} could not be written: {exc.strerror}", severity="error")
            return
        self.swarm.tell(f"saved {counted(len(self._drawn), 'check')} in {path}")

    @property
    def _is_searching(self) -> bool:
        search = self.query_one_optional("#search", Input)
        return search is not None and search.has_focus

    def _check(self, name: str, checks: Callable[[Settings], tuple[Check, ...]]) -> None:
        self.post_message(Checked(name, checks(self.swarm.settings)))

    def _narrow(self, narrowed: CheckFilter) -> None:
        self._filter = narrowed
        self.redraw()

    def _leave_search(self) -> None:
        self._search().display = bool(self._search().value)
        self._table().focus()

    def _filters_text(self) -> Text:
        text, muted = Text(), style_of("muted", self.app.theme)
        for key, name, value in (
            ("v", "verdict", self._filter.verdict), ("p", "server", self._filter.backend),
            ("s", "search", shown(self._filter.words, 40) or "–"),
        ):  # fmt: skip
            text.append(f"{key} {name}: ", muted).append(f"{value}   ")
        return text

    def _draw(self, listed: list[Check]) -> None:
        """The cursor stays on its check."""
        table, chosen, theme = self._table(), self._chosen(), self.app.theme
        self._drawn = listed
        table.clear()
        for check in listed:
            sign = Text(VERDICT_SIGNS[check.verdict], verdict_style(check.verdict, theme))
            table.add_row(
                sign, Text(check.verdict.value), Text(check.backend), Text(shown(check.symptom)), key=check.id
            )
        ids = [check.id for check in listed]
        if chosen is not None and chosen.id in ids:
            table.move_cursor(row=ids.index(chosen.id))

    def _show(self) -> None:
        check = self._chosen()
        nothing = "asking the servers…" if self._asking else "nothing here"
        self.put("#told", nothing if check is None else check_text(check, self.app.theme))

    def _chosen(self) -> Check | None:
        row = self._table().cursor_row
        return self._drawn[row] if 0 <= row < len(self._drawn) else None

    def _search(self) -> Input:
        return self.query_one("#search", Input)

    def _table(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#checks", DataTable))
