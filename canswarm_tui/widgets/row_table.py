"""The table of every list: a cursor of whole rows, and of an updated cell just its row is painted."""

from __future__ import annotations

from typing import Self

from rich.text import Text
from textual.geometry import Region
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey, RowKey


class RowTable(DataTable[str | Text]):
    """A `DataTable` for rows: Home and End go to the first and the last one.

    It is drawn row by row: a whole one is ten kilobytes on the wire each time.
    """

    _updated_row: int | None = None

    def __init__(self, *, id: str, show_header: bool = True) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id, show_header=show_header, cursor_type="row")

    def action_scroll_home(self) -> None:
        self.action_scroll_top()

    def action_scroll_end(self) -> None:
        self.action_scroll_bottom()

    def update_cell(
        self,
        row_key: RowKey | str,
        column_key: ColumnKey | str,
        value: str | Text,
        *,
        update_width: bool = False,
    ) -> None:
        self._updated_row = None if update_width else self.get_row_index(row_key)
        try:
            super().update_cell(row_key, column_key, value, update_width=update_width)
        finally:
            self._updated_row = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        row, self._updated_row = self._updated_row, None
        if row is None:
            return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self.refresh_row(row)
