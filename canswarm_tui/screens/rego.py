"""The Rego that is published, beside v1's rules: for each rule its counterpart, how it differs, and its parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, ScrollableContainer, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import DataTable, Footer, Static

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.step import Figure
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v2.policy.source import PolicySource, load_source
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.theme import SIGNS, style_of
from canswarm_tui.widgets.peculiar import ENGINES, RULES
from canswarm_tui.widgets.rego_rules import DIFFERENCES, V1_RULES, RegoRule, counterpart, rules_of
from canswarm_tui.widgets.row_table import RowTable

LINES = 3000
"""Of a module that are shown; longer ones are read in an editor."""
WIDE = 100


class RegoRead(Message):
    """The published policy, or why it can't be read."""

    def __init__(self, source: PolicySource | None, trouble: str) -> None:
        super().__init__()
        self.source = source
        self.trouble = trouble


@dataclass(frozen=True)
class _Module:
    """One file of the policy as it is drawn."""

    name: str
    text: str
    lines: tuple[str, ...]
    rules: list[RegoRule] = field(default_factory=list)


class RegoScreen(SwarmScreen):
    """The table chooses a rule; its counterpart is marked in the file, and the file scrolls to it."""

    CSS_PATH = "rego.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "module(1)", "Next file", id="next-module", tooltip="the next file of the policy"),
        Binding("tab", "pane", "Rules/file", id="rego-pane", priority=True, tooltip="between the rules and the file"),
        Binding("c", "copy", "Copy", id="copy-rego", tooltip="this file to the clipboard and into a file"),
    ]

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step
        self._modules: list[_Module] = []
        self._at = 0
        self._source: PolicySource | None = None
        self._trouble = ""

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield RowTable(id="rules")
                with VerticalScroll(id="rule-detail"):
                    yield Static(id="rule", markup=False)
            with ScrollableContainer(id="file"):
                yield Static(id="rego", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        table = self._table()
        for name, width in (("", 1), ("rule", 23), ("v1", 8), (ENGINES[self._step], 8)):
            table.add_column(name, key=name or "mark", width=width)
        for word in RULES:
            table.add_row("", "", "", "", key=word)
        table.focus()
        self.redraw()
        settings = self.swarm.settings
        self.run_worker(lambda: self._post(settings), thread=True, group="rego")

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")

    def on_rego_read(self, message: RegoRead) -> None:
        self._source, self._trouble = message.source, message.trouble
        if message.source is not None:
            self._modules = [_module(name, text) for name, text in message.source.modules]
            words = {word: [m for m in self._modules if counterpart(m.rules, word)] for word in RULES}
            self._at = next((self._modules.index(found[0]) for found in words.values() if found), 0)
        self.redraw()
        self.refresh_bindings()
        self._show_rule()

    def redraw(self) -> None:
        source, module = self._source, self._module
        whose = "" if source is None else ("our Rego" if source.shipped else f"your Rego in {source.folder}")
        version = "" if source is None else f", data of version {source.version}"
        name = "" if module is None else f"   {module.name} ({self._at + 1} of {len(self._modules)})"
        self.put("#head", shown(f"Rego and v1's rules{name}   {whose}{version}", 300))
        self._draw_table()

    def _draw_table(self) -> None:
        table, theme = self._table(), self.app.theme
        verdict = self.swarm.model.record(self._step).verdict
        figures = {} if verdict is None else verdict.figures
        engine = ENGINES[self._step]
        for word in RULES:
            v1, theirs, both = (figures.get(f"{word}, {who}") for who in ("v1", engine, "both"))
            sign = "" if v1 is None else ("proved" if v1 == theirs == both else "needs attention")
            cells = (
                Text(SIGNS[sign] if sign else "·", style_of(sign, theme)), Text(word),
                *(Text(f"{_count(n):>8}") for n in (v1, theirs)),
            )  # fmt: skip
            for column, cell in zip(("mark", "rule", "v1", engine), cells, strict=True):
                if table.get_cell(word, column) != cell:
                    table.update_cell(word, column, cell)

    def on_data_table_row_highlighted(self) -> None:
        self._show_rule()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """The footer shows what can be done now."""
        if action == "module":
            return len(self._modules) > 1
        return action != "copy" or bool(self._modules)

    def action_module(self, by: int) -> None:
        self._at = (self._at + by) % len(self._modules)
        self.redraw()
        self._show_rule()

    def action_pane(self) -> None:
        here = self.query_one("#file").has_focus
        self.query_one("#rules" if here else "#file").focus()

    def action_copy(self) -> None:
        module = self._module
        if module is not None:
            name = module.name.replace("/", "-")
            copy_out(self.swarm, f"rego-{name}", module.text)

    @property
    def _module(self) -> _Module | None:
        return self._modules[self._at] if self._modules else None

    def _show_rule(self) -> None:
        word, theme, module = self._word(), self.app.theme, self._module
        if module is None:
            self.put("#rule", Text(""))
            self.put("#rego", f"The Rego can't be read: {shown(self._trouble)}" if self._trouble else "reading…")
            return
        found = counterpart(module.rules, word)
        shipped = self._source is not None and self._source.shipped
        self.put("#rule", _rule_text(word, found, theme, shipped=shipped))
        self.put("#rego", _file_text(module, found, theme))
        if found:
            self.query_one("#file", ScrollableContainer).scroll_to(y=max(0, found[0].first - 3), animate=False)

    def _word(self) -> str:
        row = self._table().cursor_row
        return RULES[row] if 0 <= row < len(RULES) else RULES[0]

    def _table(self) -> DataTable[str | Text]:
        return cast("DataTable[str | Text]", self.query_one("#rules", DataTable))

    def _post(self, settings: Settings) -> None:
        try:
            self.post_message(RegoRead(load_source(settings.policy), ""))
        except EngineError as exc:
            self.post_message(RegoRead(None, str(exc)))


def _module(name: str, text: bytes) -> _Module:
    decoded = text.decode("utf-8", "backslashreplace")
    lines = decoded.replace("\t", "    ").split("\n")
    return _Module(shown(name, 80), decoded, tuple(lines), rules_of(decoded))


def _rule_text(word: str, found: Sequence[RegoRule], theme: str, *, shipped: bool) -> Text:
    title = style_of("title", theme)
    text = Text.assemble(("v1 asks\n", title), V1_RULES[word], ("\n\nIn Rego\n", title))
    text.append(", ".join(f"{r.name} ({_lines(r)})" for r in found) or "no rule of this file says it")
    text.append("\n\nDifference\n", title)
    text.append(DIFFERENCES[word] if shipped else "your own Rego: what it answers is held against v1's rules above")
    return text


def _count(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure:,}" if isinstance(figure, int) else shown(str(figure), 8)


def _lines(rule: RegoRule) -> str:
    return f"line {rule.first}" if rule.first == rule.last else f"lines {rule.first}–{rule.last}"


def _file_text(module: _Module, found: Sequence[RegoRule], theme: str) -> Text:
    marked = {number for rule in found for number in range(rule.first, rule.last + 1)}
    muted, mark = style_of("muted", theme), style_of("differs", theme)
    text = Text(no_wrap=True)
    for number, line in enumerate(module.lines[:LINES], 1):
        is_marked = number in marked
        text.append("▌" if is_marked else " ", mark)
        text.append(f"{number:>4} ", muted)
        text.append(f"{shown(line, 500)}\n", mark if is_marked else "")
    if len(module.lines) > LINES:
        text.append(f"… and {len(module.lines) - LINES:,} more lines", muted)
    return text
