"""The terminal's side of the interface: no byte that a terminal sends ends it, and no reply of one is a key.

Textual 8.2 decodes its input strictly and types what it does not know as keys (textual#6456, #6668). A terminal that
was made anew under it (tmux reattached, SSH again) tells the mouse in raw bytes, and a paste may be Latin-1.
"""

from __future__ import annotations

import codecs
import os
import re
import selectors
import signal
import sys
from typing import TYPE_CHECKING

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App

_MOUSE = rb"\x1b\[M[\x20-\xff]{3}"
"""X10: button, column and row as raw bytes, each plus 32."""
_STRING = rb"\x1b[P\]X^_][^\x1b\x07]{0,4096}(?:\x07|\x1b\\)"
"""DCS, OSC, SOS, PM, APC: replies to questions of another program, up to BEL or ST."""
_ATTRIBUTES = rb"\x1b\[[?>=][0-9;]*c"
"""Replies to `what are you`."""
_NO_KEYS = re.compile(rb"|".join((_MOUSE, _STRING, _ATTRIBUTES)), re.DOTALL)
_CUT_MOUSE = re.compile(rb"\x1b\[M[\x20-\xff]{0,2}\Z", re.DOTALL)
_READ_BYTES = 4096
_LOOK_EVERY_S = 0.1


class TerminalInput:
    """Bytes of a terminal as text: replies and raw mouse reports left out, what is no UTF-8 as U+FFFD."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._held = b""
        self.saw_raw_mouse = False
        """The last bytes had a mouse report of a kind that was not asked for."""

    def text(self, data: bytes) -> str:
        """The next bytes; a report or a character that is not whole yet waits for the rest of it."""
        data = self._held + data
        self.saw_raw_mouse = False

        def without(match: re.Match[bytes]) -> bytes:
            self.saw_raw_mouse |= match.group().startswith(b"\x1b[M")
            return b""

        data = _NO_KEYS.sub(without, data)
        cut = _CUT_MOUSE.search(data)
        self._held = data[cut.start() :] if cut else b""
        return self._decode(data[: cut.start()] if cut else data)


class SwarmDriver(LinuxDriver):
    """Textual's driver with an input that no byte can end; a terminal made anew is asked for its mouse again.

    It draws on the standard output: with Textual's choice, the standard error, `2>log` leaves an empty screen.
    """

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = sys.__stdout__

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as exc:  # noqa: BLE001 - whatever it is ends the interface as any other mistake of ours does
            self._app.call_later(self._app._handle_exception, exc)

    def run_input_thread(self) -> None:
        parser, incoming = XTermParser(self._debug), TerminalInput()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_LOOK_EVERY_S):
                    data = self._read()
                    if data is None:
                        self.exit_event.wait(_LOOK_EVERY_S)
                        continue
                    if not data:
                        os.kill(os.getpid(), signal.SIGHUP)  # the terminal is gone, whether or not somebody says so
                        return
                    text = incoming.text(data)
                    for event in parser.feed(text) if text else ():
                        self.process_message(event)
                    if incoming.saw_raw_mouse:
                        self._enable_mouse_support()
                for event in parser.tick():
                    self.process_message(event)

    def _read(self) -> bytes | None:
        """What has come; empty once there is no terminal any more, None where it is another program's at the moment."""
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:
            try:
                os.tcgetpgrp(self.fileno)
            except OSError:
                return b""
            return None
