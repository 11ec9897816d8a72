"""A conflict's two values side by side, what differs in them marked, and the choice of the one that is kept."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from canswarm_tui.engine.journal import FindingStatus, StoredFinding
from canswarm_tui.engine.step import Keep, Kind
from canswarm_tui.engine.text import shown
from canswarm_tui.model import RunModel, title_of
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out, finding_as_text, resolve_conflict
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.differing import differing_fields, differing_texts

SIDES = {
    "decisions": ("Redis", "etcd"), "blobs-minio": ("the content store", "MinIO"), "plan-store": ("this run", ".state"),
    "policy-opa": ("the policy", "OPA"),
}  # fmt: skip
"""Where each side's value was read, by step."""
NO_VALUE = "(the finding holds no value of this side)"


def conflicts_of(model: RunModel, step: str) -> list[StoredFinding]:
    """The conflicts of a step that have a value of either side, those that wait for a person first."""
    found = [f for f in model.findings if f.step == step and f.finding.kind is Kind.CONFLICT and _has_values(f)]
    return sorted(found, key=lambda f: not f.wants_decision)


def _has_values(found: StoredFinding) -> bool:
    return bool({"site", "target"} & set(found.finding.details))


class ConflictScreen(SwarmScreen):
    """Opens on the first that waits, or on the one that is named; `n` and `b` turn to the others."""

    CSS_PATH = "conflict.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "keep('target')", "Keep target's", id="conflict-keep-target", tooltip="the target's value stays"),
        Binding("k", "keep('site')", "Keep site's", id="conflict-keep-site", tooltip="the site's value replaces it"),
        Binding("n", "turn(1)", "Next", id="next-conflict", tooltip="the next conflict"),
        Binding("b", "turn(-1)", "Before", id="previous-conflict", tooltip="the conflict before this one"),
        Binding("c", "copy", "Copy", id="copy-conflict", tooltip="both values to the clipboard and into a file"),
    ]

    def __init__(self, step: str, identity: str = "") -> None:
        super().__init__()
        self._step = step
        self._identity = identity
        self._known: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="about", markup=False)
        with Horizontal(id="sides"):
            for side in ("site", "target"):
                with VerticalScroll(classes="side", id=f"{side}-side"):
                    yield Static(id=f"{side}-title", classes="side-title", markup=False)
                    yield Static(id=side, markup=False)
        yield Static(id="what", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#site-side").focus()
        self.redraw()

    def redraw(self) -> None:
        found, number, count = self._current()
        title = title_of(self._step)
        self.put("#head", f"Conflict {number} of {count}   {title}{self.swarm.watching}" if count else title)
        known = (found, self.app.theme, self.swarm.model.can_begin)
        if known == self._known:
            return
        self._known = known
        if found is None:
            self.put("#about", "No conflict stands here any more.")
            for selector in ("#site", "#target", "#site-title", "#target-title", "#what"):
                self.put(selector, "")
        else:
            self._draw(found)
        self.refresh_bindings()

    def _draw(self, found: StoredFinding) -> None:
        theme, details = self.app.theme, found.finding.details
        site, target = (shown(details[side]) if side in details else None for side in ("site", "target"))
        texts = (
            (Text(site or NO_VALUE), Text(target or NO_VALUE))
            if site is None or target is None
            else differing_texts(site, target, theme)
        )
        self.put("#about", _about(found, theme))
        for side, where, text in zip(("site", "target"), SIDES.get(self._step, ("", "")), texts, strict=True):
            name = f"{side.capitalize()}: {where}" if where else side.capitalize()
            self.put(f"#{side}-title", Text(name, style_of("title", theme)))
            self.put(f"#{side}", text)
        self.put("#what", _what(site, target))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now."""
        if not self._known:
            return True
        found, _, count = self._current()
        if action == "keep":
            return found is not None and self.swarm.model.can_begin
        if action == "turn":
            return count > 1
        return action != "copy" or found is not None

    def action_keep(self, side: str) -> None:
        found, _, _ = self._current()
        if found is not None:
            resolve_conflict(self.swarm, found, Keep(side))

    def action_turn(self, by: int) -> None:
        found, number, count = self._current()
        if found is not None:
            conflicts = conflicts_of(self.swarm.model, self._step)
            self._identity = conflicts[(number - 1 + by) % count].id
            self.redraw()

    def action_copy(self) -> None:
        found, _, _ = self._current()
        if found is not None:
            copy_out(self.swarm, f"finding-{found.id}.txt", finding_as_text(found))

    def _current(self) -> tuple[StoredFinding | None, int, int]:
        """The conflict that is shown, its number from 1, and how many there are."""
        conflicts = conflicts_of(self.swarm.model, self._step)
        if not conflicts:
            return None, 0, 0
        at = next((n for n, found in enumerate(conflicts) if found.id == self._identity), 0)
        self._identity = conflicts[at].id
        return conflicts[at], at + 1, len(conflicts)


def _about(found: StoredFinding, theme: str) -> Text:
    waits = found.wants_decision
    text = Text().append(shown(found.finding.subject, 300), style_of("title", theme))
    text.append(f"\n{shown(found.finding.happened, 300)}.", "")
    if found.status is FindingStatus.OPEN:
        text.append("\n! waits for a person" if waits else "", style_of("waiting", theme))
    else:
        said = f"\n{found.status.value} by {shown(found.decided_by or '', 60)}: {shown(found.reason or '', 200)}"
        text.append(said, style_of("muted", theme))
    return text


def _what(site: str | None, target: str | None) -> str:
    if site is None or target is None:
        return "One side has no value here: look at both where they are before you choose."
    if site == target:
        return "What is kept of both is the same; they differ past it: look at both where they are."
    fields = differing_fields(site, target)
    if fields is None:
        return "«…» marks what differs."
    names = ", ".join(fields) or "in the way they are written only"
    return f"«…» marks what differs. Fields that differ: {names}"
