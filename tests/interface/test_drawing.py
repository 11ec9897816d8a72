"""What is told is told whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.containers import VerticalScroll
from textual.widgets import Static

from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from tests.interface.fakes import make_app
from tests.interface.looks import looks


@pytest.mark.asyncio
async def test_a_text_that_follows_at_once_on_a_shorter_one_is_shown_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiagnosticsScreen, "looks", looks())
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = DiagnosticsScreen()
        await app.push_screen(screen)
        await pilot.pause(0.2)
        screen.put("#told", "looking…")
        screen.query_one("#facts", VerticalScroll)._clear_arrangement_cache()
        screen._refresh_layout()  # as a resize, or any other widget, may bring it about just then
        screen.put("#told", "redis\n✗ refuses\nthe password is wrong\nset site.redis_password")
        await pilot.pause(0.2)
        assert screen.query_one("#told", Static).region.height == 4
