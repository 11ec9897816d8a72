"""What every screen shares: the application's type, a way back, and the actions on one step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from rich.cells import cell_len
from rich.text import Text
from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from canswarm_tui.engine.checklist import BY_NAME, ONLY_LOOK
from canswarm_tui.engine.journal import has_run
from canswarm_tui.widgets.drawing import draw

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp


class SwarmScreen(Screen[None]):
    """Drawn again by `redraw` whenever the model has changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="back", key_display="esc", tooltip="the screen before this one")
    ]

    @property
    def swarm(self) -> SwarmApp:
        return cast("SwarmApp", self.app)

    def __init__(self) -> None:
        super().__init__()
        self._is_mounted_whole = False

    def on_mount(self) -> None:
        """Textual calls it after the one of the screen itself."""
        self._is_mounted_whole = True

    @property
    def can_redraw(self) -> bool:
        """Its widgets are there: not before it is shown first, nor while it is taken away."""
        return self._is_mounted_whole and self.query_one_optional("#head", Static) is not None

    def redraw(self) -> None:
        """Draw the model as it is now."""

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """As Textual has them; keys that a narrow footer leaves to the help stand in it where there is room."""
        found = super().active_bindings
        told = {one.binding.action: one.binding for one in found.values() if one.binding.show}
        room = self.app.size.width - sum(self._footer_width(binding) for binding in told.values())
        for key, one in found.items():
            binding = one.binding
            if binding.action in told or not binding.id or not binding.description or binding.system:
                continue
            room -= self._footer_width(binding)
            if room < 0:
                break
            told[binding.action] = binding
            found[key] = one._replace(binding=replace(binding, show=True))
        return found

    def on_resize(self) -> None:
        self.refresh_bindings()

    def _footer_width(self, binding: Binding) -> int:
        return cell_len(self.app.get_key_display(binding)) + cell_len(binding.description) + 2

    def put(self, selector: str, text: str | Text) -> None:
        """Show a text literally; one that is there already costs nothing on the wire.

        Nor is anything else painted again where the text stays as high as it was: a new layout paints the whole screen.
        """
        widget = self.query_one(selector, Static)
        if widget.content != text:
            height, width = widget.styles.height, widget.content_size.width
            stays = (height is not None and not height.is_auto) or (
                _height(str(widget.content), width) == _height(str(text), width) is not None
            )
            draw(widget, text, layout=not stays)

    def action_back(self) -> None:
        self.app.pop_screen()


def _height(text: str, width: int) -> int | None:
    """Lines of a text that needs no wrapping at this width, else None."""
    lines = text.split("\n")
    return len(lines) if all(cell_len(line) <= width for line in lines) else None


class StepScreen(SwarmScreen):
    """A screen on which one step at a time is meant: it can be run, verified, undone and stopped there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run_step", "Run", id="run-step", tooltip="run, resume or catch up: copies only what is new"),
        Binding("s", "stop", "Stop", id="stop", tooltip="stop at a safe point"),
        Binding("f", "findings", "Findings", id="findings", tooltip="what was found, and what needs a person"),
        Binding("l", "log", "Log", id="log", tooltip="what the engine has done"),
    ]

    def chosen_step(self) -> str | None:
        """The step that is meant, or None."""
        raise NotImplementedError

    def action_run_step(self) -> None:
        step = self._wanted_step()
        if step is not None:
            self.swarm.begin(lambda runner: runner.run([step]), "r goes on")

    def action_verify_step(self) -> None:
        step = self._wanted_step()
        if step is not None:
            self.swarm.begin(lambda runner: runner.verify([step]), "v begins anew")

    def action_undo_step(self) -> None:
        from canswarm_tui.screens.confirm import ConfirmScreen

        step = self._wanted_step()
        if step is None:
            return
        if step in ONLY_LOOK or not has_run(self.swarm.model.records.get(step)):
            self.swarm.tell("there is nothing to undo here", severity="warning")
            return
        question = f"Undo {BY_NAME[step].title}: remove what this run created there, and nothing else."

        def undo(agreed: bool | None) -> None:
            if agreed:
                self.swarm.begin(lambda runner: runner.undo(step), "u goes on")

        self.app.push_screen(ConfirmScreen(question, self.swarm.model.site), undo)

    def action_stop(self) -> None:
        if not self.swarm.model.can_stop:
            self.swarm.tell("nothing runs", severity="warning")
        self.swarm.ask_to_stop()

    def action_findings(self) -> None:
        from canswarm_tui.screens.findings import FindingsScreen

        self.app.push_screen(FindingsScreen())

    def action_log(self) -> None:
        from canswarm_tui.screens.log import LogScreen

        self.app.push_screen(LogScreen())

    def _wanted_step(self) -> str | None:
        step = self.chosen_step()
        if step is None:
            self.swarm.tell("this item can't be run: it is not available yet, or it is a heading", severity="warning")
        return step
