"""The one base error of the engine and the exit codes that go with it.

Every error says what happened, to what, and what to do. There is a class for each different remedy. Bad data is
never an error but a finding; a broken world is an error; a broken programme is an assertion or a `Defect`.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum
from typing import ClassVar

from canswarm_tui.engine.text import advice

_OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
    }
)


class ExitCode(IntEnum):
    """Exit codes of the command line; 1 is never used on purpose."""

    DONE = 0
    SETTINGS = 2
    UNREACHABLE = 3
    STOPPED = 4
    BUSY = 5
    BLOCKED = 6
    ATTENTION = 10
    DEFECT = 70


class EngineError(Exception):
    """`subject` is what it happened to, `happened` the fact, `remedy` what the operator can do about it.

    Positional, because an error must survive pickling from a worker process.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.DEFECT
    transient: ClassVar[bool] = False
    """True: trying the same again may succeed, so the retry policy may."""

    def __init__(self, subject: str, happened: str, remedy: str) -> None:
        super().__init__(subject, happened, remedy)
        self.subject = subject
        self.happened = happened
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.subject}: {advice(self.happened, self.remedy)}"


class SettingsError(EngineError):
    """A setting is missing, unknown or contradicts another; or the command line is wrong."""

    exit_code = ExitCode.SETTINGS


class Unreachable(EngineError):
    """A server gave no answer, closed the connection, timed out or said that it is overloaded."""

    exit_code = ExitCode.UNREACHABLE
    transient = True


class Unready(Unreachable):
    """A server answered that it can't serve us now: it is loading, overloaded or without a leader."""


class Refused(EngineError):
    """A server answered and refuses us: password, permission, certificate."""

    exit_code = ExitCode.UNREACHABLE


class NoSpace(EngineError):
    """A disk, a quota or a server's store is full; somebody may free space while we wait."""

    exit_code = ExitCode.UNREACHABLE
    transient = True


class WrongAnswer(EngineError):
    """A server answers something that its protocol does not promise, or its version can't be used."""

    exit_code = ExitCode.UNREACHABLE


class SiteUnreadable(EngineError):
    """A part of the v1 site is missing, unreadable or damaged beyond reading on."""

    exit_code = ExitCode.UNREACHABLE


class Stopped(EngineError):
    """Somebody asked for a stop, or a signal did; the journal is whole and the run can be resumed."""

    exit_code = ExitCode.STOPPED


class Busy(EngineError):
    """Another live run holds this site or this target."""

    exit_code = ExitCode.BUSY


class Blocked(EngineError):
    """A preflight or a gate forbids going on."""

    exit_code = ExitCode.BLOCKED


class Defect(EngineError):
    """A mistake of ours."""


def file_error(subject: str, exc: OSError, remedy: str) -> EngineError:
    """The error for a file or folder of ours that can't be used; a full disk has a remedy of its own."""
    happened = f"it can't be used: {exc.strerror or exc}"
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(subject, happened, "free space on its disk, then do the same again")
    return SettingsError(subject, happened, remedy)


def machine_error(exc: BaseException, folder: str) -> EngineError | None:
    """The error for a disk or a right that nobody foresaw at its place; None for any other exception.

    A write to a full disk does not say where it was: then it was in `folder`.
    """
    if not isinstance(exc, OSError) or exc.errno not in _OF_THE_MACHINE:
        return None
    if exc.filename is None and exc.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    subject = folder if exc.filename is None else os.fsdecode(exc.filename)
    return file_error(subject, exc, "give us the rights to use it, or name another")
