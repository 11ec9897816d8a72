"""A table of which only the row of an updated cell is painted: a whole one is ten kilobytes on the wire each time."""

from __future__ import annotations

from typing import Self

from rich.text import Text
from textual.geometry import Region
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey, RowKey


class RowTable(DataTable[str | Text]):
    """A `DataTable` that is drawn row by row."""

    _updated_row: int | None = None

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
