"""Backup, opened: where it is, what is in it and read back, how long it is kept, and its restore proof."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static

from canswarm_tui.engine.backup.contents import Contents, contents_of
from canswarm_tui.phase_reading import PhaseRead
from canswarm_tui.screens.phase import PhaseScreen
from canswarm_tui.widgets.backup_text import backup_text, parts_text

STEP = "backup"
SHOWN_ABOVE = ("folder", "keep until", "folders", "Redis keys")


class ContentsRead(Message):
    """The backup in `folder` has been looked at."""

    def __init__(self, folder: str, contents: Contents) -> None:
        super().__init__()
        self.folder, self.contents = folder, contents


class BackupScreen(PhaseScreen):
    """The same keys as for every step; the backup's own folder is read in a thread."""

    CSS_PATH = ["phase.tcss", "backup.tcss"]  # type: ignore[assignment]  # noqa: RUF012 - Textual takes several too

    def __init__(self) -> None:
        super().__init__(STEP)
        self._held: tuple[str, Contents] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        with Horizontal(id="columns"):
            with VerticalScroll(id="facts"):
                for name in ("state", "peculiar", "parts", "before", "plan", "outcome", "verdict", "back"):
                    yield Static(id=name, markup=False)
            with VerticalScroll(id="found"):
                yield Static(id="findings", markup=False)
        yield Static(id="live", markup=False)
        yield Static(id="bar", markup=False)
        yield Static(id="health", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def redraw(self) -> None:
        super().redraw()
        model, held = self.swarm.model, None if self._held is None else self._held[1]
        found = [f for f in model.findings if f.step == STEP]
        self._put("#parts", parts_text(held, model.record(STEP), found, self.app.theme))

    def peculiar(self) -> tuple[Text, tuple[str, ...]]:
        held = None if self._held is None else self._held[1]
        return backup_text(self._reading.backup, held, datetime.now(UTC), self.app.theme), SHOWN_ABOVE

    def on_phase_read(self, message: PhaseRead) -> None:
        super().on_phase_read(message)
        folder = message.reading.backup.get("folder", "")
        if folder:
            self.run_worker(lambda: self._look(folder), thread=True, group="contents", exclusive=True)

    def on_contents_read(self, message: ContentsRead) -> None:
        self._held = (message.folder, message.contents)
        self.redraw()

    def _look(self, folder: str) -> None:
        self.post_message(ContentsRead(folder, contents_of(Path(folder))))
