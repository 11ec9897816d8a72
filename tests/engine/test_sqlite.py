from __future__ import annotations

import sqlite3

import pytest

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, SiteUnreadable, Unreachable
from canswarm_tui.engine.sqlite import sqlite_errors


def raised(exc: Exception) -> EngineError:
    with pytest.raises(EngineError) as caught, sqlite_errors("plan.db"):
        raise exc
    return caught.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY, Unreachable),
        (sqlite3.SQLITE_BUSY_RECOVERY, Unreachable),
        (sqlite3.SQLITE_LOCKED, Unreachable),
        (sqlite3.SQLITE_FULL, NoSpace),
        (sqlite3.SQLITE_CORRUPT, SiteUnreadable),
        (sqlite3.SQLITE_NOTADB, SiteUnreadable),
        (sqlite3.SQLITE_IOERR_READ, SiteUnreadable),
        (sqlite3.SQLITE_CANTOPEN, SiteUnreadable),
    ],
)
def test_each_code_has_its_remedy(code: int, expected: type[EngineError]) -> None:
    exc = sqlite3.OperationalError("trouble")
    exc.sqlite_errorcode = code
    error = raised(exc)
    assert type(error) is expected
    assert error.subject == "plan.db"


@pytest.mark.parametrize(
    "kind",
    [value for value in vars(sqlite3).values() if isinstance(value, type) and issubclass(value, sqlite3.Error)],
)
def test_every_exception_of_sqlite3_is_mapped(kind: type[sqlite3.Error]) -> None:
    ours = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)
    expected = Defect if kind in ours else SiteUnreadable
    assert type(raised(kind("trouble"))) is expected


def test_an_error_of_the_system_is_mapped() -> None:
    assert raised(PermissionError(13, "Permission denied")).happened == "Permission denied"
