"""Questions on the terminal. A signal is heard at any instant while one waits.

Python looks for signals between its own instructions: one that comes just before a blocking read would be seen at the
next key only. So the wait is for the terminal or a signal, whichever comes first, and the read finds its line ready.
"""

from __future__ import annotations

import os
import select
import signal
import sys

import click


def ask_line(text: str, default: str = "", *, show_default: bool = False) -> str:
    """A line typed in answer to `text`; raises `click.Abort` for Ctrl+C and at the end of the input."""
    click.echo(f"{text} [{default}]: " if show_default else f"{text}: ", nl=False, err=True)
    wait_for_line()
    return str(click.prompt("", default=default, prompt_suffix="", show_default=False, err=True))


def ask_yes(question: str) -> bool:
    """Whether `question` is answered with yes; Enter alone is no. Raises `click.Abort` as `ask_line` does."""
    while True:
        answer = ask_line(f"{question} [y/N]").strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("", "n", "no"):
            return False
        click.echo("  y for yes, n (or Enter) for no", err=True)


def wait_for_line() -> None:
    """Return when the terminal has a line (or its end) to read; elsewhere than at a terminal, at once.

    Raises `click.Abort` where a signal's handler raises KeyboardInterrupt.
    """
    if not sys.stdin.isatty():
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    try:
        while sys.stdin not in select.select([sys.stdin, heard], [], [])[0]:
            os.read(heard, 64)
    except KeyboardInterrupt:
        raise click.Abort from None
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(told)
