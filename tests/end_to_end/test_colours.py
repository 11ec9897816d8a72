"""What the interface sends to a terminal and takes from it: colours, the mouse, where it draws, odd bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.end_to_end.places import Place
from tests.end_to_end.terminal import PROGRAM, Terminal

TRUE_COLOUR = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")
COLOURS = re.compile(rb"\x1b\[([0-9;]*)m")
MOUSE = [b"?1000h", b"?1002h", b"?1003h", b"?1006h", b"?1015h"]


@contextmanager
def opened(place: Place, theme: str, environment: Mapping[str, str], *arguments: str) -> Iterator[Terminal]:
    folder = place.folder / "config" / "canswarm-tui"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interface.toml").write_text(f'theme = "{theme}"\n')
    all_of_it = {**place.environment, **environment, "XDG_CONFIG_HOME": str(folder.parent), "COLORTERM": "truecolor"}
    terminal = Terminal(all_of_it, 80, 24, *arguments)
    try:
        terminal.until(lambda text: "▸" in text and "ready — next" in text)  # a sign beside each word
        terminal.until(lambda text: "× " in text and "blocked" in text)
        terminal.settle()
        yield terminal
    finally:
        terminal.close()


def hues(raw: bytes) -> set[bytes]:
    """Whatever asks the terminal for a colour that is no grey."""
    found = {m.group() for m in TRUE_COLOUR.finditer(raw) if len({*m.groups()}) > 1}
    named = {part for m in COLOURS.finditer(TRUE_COLOUR.sub(b"", raw)) for part in m.group(1).split(b";")}
    return found | {part for part in named if re.fullmatch(rb"(3|4|9|10)[1-6]", part)}


@pytest.mark.parametrize("theme", ["swarm-dark", "ansi-dark"])
def test_no_color_sends_no_colour_and_an_ansi_theme_only_those_of_the_terminal(
    new_place: Callable[..., Place], theme: str
) -> None:
    place = new_place("colours")
    with opened(place, theme, {"NO_COLOR": "1"}) as terminal:
        assert not hues(terminal.raw)
    with opened(place, theme, {}) as terminal:
        assert hues(terminal.raw)
        assert bool(TRUE_COLOUR.search(terminal.raw)) is (theme == "swarm-dark")


def test_no_mouse_leaves_the_mouse_to_the_terminal(new_place: Callable[..., Place]) -> None:
    place = new_place("mouse")
    with opened(place, "swarm-dark", {}, "--no-mouse") as terminal:
        terminal.settle()
        terminal.press("q")
        assert terminal.wait() == 0
        assert not [mode for mode in MOUSE if mode in terminal.raw]
    with opened(place, "swarm-dark", {}) as terminal:
        assert b"?1000h" in terminal.raw


def test_the_interface_is_on_the_screen_also_where_the_standard_error_goes_into_a_file(
    new_place: Callable[..., Place],
) -> None:
    place = new_place("redirected")
    kept = place.folder / "stderr"
    command = ("/bin/sh", "-c", 'exec "$0" "$@" 2>"$KEPT"', *PROGRAM)
    terminal = Terminal({**place.environment, "KEPT": str(kept)}, 80, 24, command=command)
    try:
        terminal.until(lambda text: "ready — next" in text)
        terminal.settle()
        terminal.press("q")
        assert terminal.wait() == 0
        assert kept.read_text() == ""
    finally:
        terminal.close()


def test_no_byte_of_a_terminal_ends_the_interface_and_one_made_anew_is_asked_for_its_mouse_again(
    new_place: Callable[..., Place],
) -> None:
    place = new_place("bytes")
    with opened(place, "swarm-dark", {}) as terminal:
        for junk in (
            b"\x1b[M\x20\xff\xfe",
            b"\xe9\xff",
            bytes(range(128, 256)),
            b"\x1bP>|tmux 3.3a\x1b\\",
            b"\x1b[?62;4c",
        ):
            terminal.raw = b""
            terminal.send_bytes(junk)
            terminal.settle()
            assert (b"?1006h" in terminal.raw) is junk.startswith(b"\x1b[M")
        assert "ready — next" in terminal.text(), "no reply was taken for a key"
        terminal.press("d")
        terminal.until(lambda text: "Diagnostics" in text)
        assert terminal.text().count("Traceback") == 0
