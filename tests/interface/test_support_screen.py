"""The support bundle on the screen: read first, written on w, its path told; nothing is hidden and nothing obeyed."""

from __future__ import annotations

import tarfile
import threading
from pathlib import Path

import pytest
from textual.widgets import DataTable

from canswarm_tui.engine.support import Item
from canswarm_tui.screens.about import AboutScreen
from canswarm_tui.screens.support import GATHERING, UNWRITTEN, SupportScreen
from tests.interface.fakes import HOSTILE, make_app
from tests.interface.test_diagnostics import text_of, until

pytestmark = pytest.mark.asyncio
LONG = "\n".join(f"line {n}" for n in range(1000))
ITEMS = (Item("versions.json", b'{"python": "3"}'), Item("log-end.txt", f"{HOSTILE}\n{LONG}".encode()))


async def test_it_is_read_file_by_file_and_written_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canswarm_tui.screens.support.gather", lambda _settings, _place: ITEMS)
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(AboutScreen())
        await pilot.pause()
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, SupportScreen) and UNWRITTEN in text_of(app, "#said"))
        assert app.screen.query_one("#files", DataTable).row_count == len(ITEMS)
        assert '{"python": "3"}' in text_of(app, "#content")
        await pilot.press("end")
        await until(pilot, lambda: "[red]" in text_of(app, "#content"))
        assert "\x1b" not in text_of(app, "#content").replace("\\x1b", "")
        assert "more lines" in text_of(app, "#content")
        assert list(app.place.folder.glob("*.tar.gz")) == []
        await pilot.press("w")
        (path,) = app.place.folder.glob("canswarm-support-*.tar.gz")
        assert path.name in text_of(app, "#said").replace("\n", "")
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(path) as archive:
            assert {Path(one.name).name: one.size for one in archive} == {i.name: len(i.content) for i in ITEMS}


async def test_a_damaged_journal_is_no_hindrance_and_until_it_is_gathered_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr("canswarm_tui.engine.support._servers", lambda _settings: {"all": answered.wait(30)})
    monkeypatch.setattr("canswarm_tui.engine.support._checks", lambda _settings: [])
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.place.journal.write_bytes(b"this is no database" * 100)
        app.push_screen(SupportScreen())
        await pilot.press("w")
        assert GATHERING in text_of(app, "#said")
        assert list(app.place.folder.glob("*.tar.gz")) == []
        answered.set()
        await until(pilot, lambda: GATHERING not in text_of(app, "#said"))
        await pilot.press("w")
        (path,) = app.place.folder.glob("canswarm-support-*.tar.gz")
        with tarfile.open(path) as archive:
            journal = archive.extractfile("canswarm-support/journal.json")
            assert journal is not None
            assert b"could not be used" in journal.read()
