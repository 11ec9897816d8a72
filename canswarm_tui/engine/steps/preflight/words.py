"""What is wrong with a line of the audit log or with a key of Redis, said in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from canswarm_tui.engine.v1.audit_line import LineFault, LineForm
from canswarm_tui.engine.v1.decisions import Fault
from canswarm_tui.engine.v1.plan_projection import TableDifference

LINE: Final[Mapping[str, str]] = {
    LineFault.LINE_SIGNATURE: "the line's signature doesn't hold",
    LineFault.LINE_HASH: "the line's payload hash is not that of what it carries",
    LineFault.ENVELOPE_DAMAGED: "a field of its envelope is missing or mistyped",
    LineFault.ENVELOPE_SIGNATURE: "its envelope's signature doesn't hold",
    LineFault.ENVELOPE_HASH: "its envelope's payload hash is not that of the payload",
    LineFault.NUL_BYTES: "zeros stand where data should be, as a crash of the machine leaves them",
    LineForm.RAW: "v1 had received bytes that are no JSON, and kept them as they were",
    LineForm.NOT_A_LINE: "it is JSON, but no line as v1 writes it",
    LineForm.NOT_JSON: "it is no JSON",
    LineForm.TRUNCATED: "it is the last one and ends in the middle: cut by a crash, or being written",
    LineForm.TOO_LONG: "it is too long to be v1's",
}
"""By `LineFault`, or by the line's form where it is an odd one."""
DECISION: Final[Mapping[str, str]] = {
    Fault.WRONG_TYPE: "Redis holds something else than a string there",
    Fault.KEY_NOT_UTF8: "the need id is not UTF-8",
    Fault.BAD_JSON: "the value is no JSON",
    Fault.NOT_AN_OBJECT: "the value is JSON, but no object",
    Fault.FIELD_MISSING: "a field is missing",
    Fault.FIELD_MISTYPED: "a field has another type",
    Fault.NEED_ID_DIFFERS: "the value names another need",
}


def of_table(found: TableDifference) -> str:
    """Where a derived table is not what the ops say."""
    if found.field != "row":
        return f"{found.field} is {found.stored!r} in the table, but {found.derived!r} by a replay of the ops"
    if found.stored is None:
        return "a replay of the ops makes this row, and the table has none"
    return "the table has this row, and no op makes it"
