"""Help: what the words mean and what every key does."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Footer, Static

_TEXT = """\
The checklist is the guide's. Its words:
  not started, blocked (by what stands below), ready, running, stopping, stopped
  done             did what it should; nothing of it can be compared, or people have accepted the rest
  proved           the target was read back and everything is equal
  needs attention  a quarantine, difference or conflict waits for a person: press f
  undone           what this run created there was removed

Enter  open the item under the cursor: how far it is, what was done and proved, its findings
r      run, resume or catch up the item; running again copies only what is new
a      run every pending step, from preflight to the final verification; never an undo
v      read the target back and compare it in full
u      undo: remove what this run created there, after the site's name was typed
p      in an item: what a run would do now; changes nothing
s      stop at a safe point; r goes on
f      findings: Tab narrows the list, a accepts with a reason, t and k resolve a conflict, w saves
l o d  log, report, health of the servers
b      rollback readiness: the backups, and the way back to v1
F2     colours        q  quit; asks while a step runs

Every key has a command: `canswarm-tui --help`."""


class HelpScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1", "back", "Back", id="back-help", key_display="esc")]

    def compose(self) -> ComposeResult:
        yield Static("Help", id="head", markup=False)
        with Vertical(id="body"):
            yield Static(_TEXT, markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def action_back(self) -> None:
        self.app.pop_screen()
