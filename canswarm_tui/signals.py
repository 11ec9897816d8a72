"""What signals do to the interface: a step stops at a safe point, and the shell gets its terminal as it was.

A handler runs between any two instructions of the main thread, which may hold a lock or wait for a terminal that takes
nothing: it only starts a thread, or has the event loop do the work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canswarm_tui.app import SwarmApp

SIGNAL_EXIT = 143
GRACE_S = 5.0
"""How long a terminal may take to swallow the last bytes, once the engine has stopped."""
_ENDING = threading.Lock()
"""Taken once, by whoever ends the process: signals come more than once when a terminal goes."""
log = logging.getLogger(__name__)


def listen(app: SwarmApp) -> None:
    """Have the signals handled; called in the running event loop, after the driver has set its own handlers."""
    if app.is_headless:
        return
    loop = asyncio.get_running_loop()

    def end(number: int, _frame: object) -> None:
        why = f"signal {signal.Signals(number).name}"
        threading.Thread(target=_end, args=(app, loop, why), name="signalled", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda _number, _frame: _hang_up(app))
    signal.signal(signal.SIGTSTP, lambda _number, _frame: _soon(loop, suspend, app))
    signal.signal(signal.SIGCONT, lambda _number, _frame: _soon(loop, _repaint, app))


def _soon(loop: asyncio.AbstractEventLoop, act: Callable[[SwarmApp], None], app: SwarmApp) -> None:
    """In the event loop; nothing once that is over."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(act, app)


def has_shell() -> bool:
    """Whether somebody could continue this process once it is suspended: its parent is in the same session."""
    return os.getsid(os.getppid()) == os.getsid(0)


def suspend(app: SwarmApp) -> None:
    """Give the terminal back and sleep; returns once the program is in the foreground again."""
    driver = app._driver
    if driver is None or not driver.can_suspend:
        return
    driver.suspend_application_mode()
    os.kill(os.getpid(), signal.SIGSTOP)
    while _is_in_background():
        os.kill(os.getpid(), signal.SIGSTOP)
    driver.resume_application_mode()
    _repaint(app)


def _is_in_background() -> bool:
    """A shell's `bg` continues the program without the terminal."""
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False


def _repaint(app: SwarmApp) -> None:
    """Something else may have written on the terminal, or it has another size by now."""
    if app._driver is not None and app.screen.is_attached:
        app.screen.refresh(layout=True)
        app.refresh(layout=True)


def _end(app: SwarmApp, loop: asyncio.AbstractEventLoop, why: str) -> None:
    app.engine.stop(why)
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(app.leave_with, SIGNAL_EXIT)
    app.engine.join()
    time.sleep(GRACE_S)
    _end_at_once(app)


def _hang_up(app: SwarmApp) -> None:
    """The terminal is gone: draw into nothing, stop at a safe point, and end without it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for terminal in (0, 1, 2):
        os.dup2(nothing, terminal)
    threading.Thread(target=_end_without_terminal, args=(app,), name="hang-up").start()


def _end_without_terminal(app: SwarmApp) -> None:
    app.engine.stop("the terminal has gone (SIGHUP)")
    app.engine.join()
    _end_at_once(app)


def _end_at_once(app: SwarmApp) -> None:
    _ENDING.acquire()  # for good: nothing comes after it
    attributes = getattr(app._driver, "attrs_before", None)
    if attributes is not None:
        with suppress(termios.error, ValueError):
            termios.tcsetattr(0, termios.TCSANOW, attributes)
    try:
        app.last_act()
    except Exception:
        log.exception("what this command had started could not be ended")
    logging.shutdown()
    os._exit(SIGNAL_EXIT)
