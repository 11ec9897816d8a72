"""One record three ways: what the site, the target and the journal hold of it now, and how each two compare."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static

from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.mistakes import mistakes_told
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.three_ways import Held, Likeness, Pair, ThreeWays, compare_three_ways
from canswarm_tui.screens.base import SwarmScreen
from canswarm_tui.screens.deciding import copy_out
from canswarm_tui.theme import style_of
from canswarm_tui.widgets.differing import differing_texts

WIDE = 100
SIDES = ("site", "target", "receipt")
TITLES = {"site": "Site (v1)", "target": "Target (v2)", "receipt": "Receipt (journal)"}
_SIGNS = {
    Likeness.EQUAL: ("=", "proved"), Likeness.DIFFERENT: ("≠", "needs attention"), Likeness.MISSING: ("!", "waiting"),
    Likeness.ABSENT: ("–", "muted"), Likeness.APART: ("·", "muted"),
}  # fmt: skip


class _RecordRead(Message):
    """What the comparison gave; one that was asked for before the last is void."""

    def __init__(self, asked: int, found: ThreeWays | None, error: EngineError | None) -> None:
        super().__init__()
        self.asked, self.found, self.error = asked, found, error


class ThreeWaysScreen(SwarmScreen):
    """Side by side from 100 columns on, one below another on fewer; `r` reads everything again."""

    CSS_PATH = "three_ways.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "read", "Read again", id="read-record", tooltip="read site, target and journal again, now"),
        Binding("c", "copy", "Copy", id="copy-record", tooltip="all of it to the clipboard and into a file"),
    ]

    def __init__(self, step: str, key: bytes) -> None:
        super().__init__()
        self._step = step
        self._key = key
        self._asked = 0
        self._found: ThreeWays | None = None
        self._error: EngineError | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="about", markup=False)
        with VerticalScroll(id="sides"):
            for side in SIDES:
                with VerticalScroll(classes="side", id=f"{side}-side", can_focus=False):
                    yield Static(id=side, markup=False)
        yield Static(id="pairs", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#sides").focus()
        self.action_read()

    def on_resize(self) -> None:
        is_wide = self.size.width >= WIDE
        self.set_class(is_wide, "wide")
        for side in SIDES:
            self.query_one(f"#{side}-side").can_focus = is_wide

    def redraw(self) -> None:
        theme, found = self.app.theme, self._found
        self.put("#head", f"One record, three ways   {BY_NAME[self._step].title}{self.swarm.watching}")
        self.put("#about", self._about(theme))
        for side in SIDES:
            self.put(f"#{side}", Text() if found is None else side_text(side, found, theme))
        self.put("#pairs", Text() if found is None else pairs_text(found, theme))
        self.query_one("#pairs").display = found is not None

    def on__record_read(self, message: _RecordRead) -> None:
        if message.asked == self._asked:
            self._found, self._error = message.found, message.error
            self.redraw()

    def action_read(self) -> None:
        self._asked += 1
        self._found = self._error = None
        asked, settings = self._asked, self.swarm.settings
        self.redraw()

        def read() -> None:
            try:
                with mistakes_told("compare"):
                    answer = _RecordRead(asked, compare_three_ways(settings, self._step, self._key), None)
            except EngineError as exc:
                answer = _RecordRead(asked, None, exc)
            self.post_message(answer)

        self.run_worker(read, thread=True, exclusive=True, group="three-ways")

    def action_copy(self) -> None:
        if self._found is None:
            self.swarm.tell("nothing has been read yet", severity="warning")
            return
        texts = [self._about(""), *(side_text(side, self._found, "", marked=False) for side in SIDES)]
        whole = "\n\n".join(text.plain for text in (*texts, pairs_text(self._found, "")))
        copy_out(self.swarm, "record.txt", whole)

    def _about(self, theme: str) -> Text:
        noun = self._found.noun if self._found is not None else "record"
        text = Text().append(f"{noun} {shown(self._key, 160)}", style_of("title", theme))
        if self._error is not None:
            return text.append(f"\n{shown(str(self._error), 400)}", style_of("error", theme))
        if self._found is None:
            return text.append("\nreading the site, the target and the journal…", style_of("muted", theme))
        word = "proved" if self._found.equal else "needs attention"
        at = time.strftime("%H:%M:%S", time.localtime(self._found.read_at))
        text.append(f"\n{'✔' if self._found.equal else '!'} {self._found.summary}", style_of(word, theme))
        return text.append(f"   read {at}", style_of("muted", theme))


def side_text(name: str, found: ThreeWays, theme: str, *, marked: bool = True) -> Text:
    """One side: where, digest, size, what is said about it, and its content's beginning, with what differs `marked`."""
    side = {"site": found.site, "target": found.target, "receipt": found.receipt}[name]
    text = _facts_text(TITLES[name], side, theme)
    if not side.excerpt:
        return text
    texts = Text("\n".join(found.site.excerpt)), Text("\n".join(found.target.excerpt))
    if marked and found.pairs[0].likeness is Likeness.DIFFERENT:
        texts = differing_texts(texts[0].plain, texts[1].plain, theme)
    return text.append("\n\n").append(texts[SIDES.index(name)])


def _facts_text(title: str, side: Held, theme: str) -> Text:
    muted = style_of("muted", theme)
    text = Text().append(title, style_of("title", theme)).append(f"\n{shown(side.where, 400)}", muted)
    if side.digest is not None:
        text.append(f"\nSHA-256 {side.digest.hex()}").append(f"\n{side.size_bytes:,} bytes")
        if side.size_bytes >= 1024:
            text.append(f" ({bytes_text(side.size_bytes)})")
    elif not side.problem:
        text.append("\nnothing is there", style_of("waiting", theme))
    if side.problem:
        text.append(f"\n! {shown(side.problem)}", style_of("waiting", theme))
    for fact in side.facts:
        text.append(f"\n{shown(fact)}")
    return text


def pairs_text(found: ThreeWays, theme: str) -> Text:
    """A line for each two sides, then the notes."""
    lines = [_pair_text(pair, theme) for pair in found.pairs]
    lines += [Text(f"  {shown(note)}", style_of("muted", theme)) for note in found.notes]
    return Text("\n").join(lines)


def _pair_text(pair: Pair, theme: str) -> Text:
    sign, word = _SIGNS[pair.likeness]
    sides = f"{pair.first} and {pair.second}"
    text = Text(f"{sign} {sides:<18}  ").append(pair.likeness.value, style_of(word, theme))
    return text.append(f"   {pair.why}", style_of("muted", theme)) if pair.why else text
