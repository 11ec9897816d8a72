"""Guided checks on the screen: verdicts as they come, narrowed, the command copied, shown literally."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.health.facts import Check, CheckVerdict
from canswarm_tui.engine.settings import EtcdSettings, Settings
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.guided import GuidedScreen
from tests.interface.fakes import HOSTILE, make_app
from tests.interface.looks import checked, guided, looks
from tests.interface.test_diagnostics import text_of, until

pytestmark = pytest.mark.asyncio
Checks = dict[str, Callable[[Settings], tuple[Check, ...]]]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Checks], None]:
    monkeypatch.setattr(DiagnosticsScreen, "looks", looks())
    return lambda checks: monkeypatch.setattr(GuidedScreen, "guided", checks)


def rows(app: SwarmApp) -> list[str]:
    table = app.screen.query_one("#checks", DataTable)
    return [" ".join(str(cell) for cell in table.get_row_at(n)) for n in range(table.row_count)]


async def opened(pilot: Pilot[int], count: int = 8) -> None:
    await pilot.press("d", "g")
    await until(pilot, lambda: isinstance(pilot.app.screen, GuidedScreen))
    await until(pilot, lambda: pilot.app.screen.query_one("#checks", DataTable).row_count == count)


async def test_a_check_says_what_it_looked_at_what_to_do_and_the_command_is_copied(
    tmp_path: Path, use: Callable[[Checks], None]
) -> None:
    app, _ = make_app(tmp_path)
    use(guided(etcd=lambda _s: (checked("etcd", CheckVerdict.BAD),)))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "1 bad or worry" in text_of(app, "#head")
        await pilot.press("v")
        assert rows(app) == ["✗ bad etcd writes fail: mvcc: database space exceeded"]
        told = text_of(app, "#told")
        for part in ("NOSPACE on", "What to do: `etcdctl compact 71204`", "CANSWARM_ETCD__PASSWORD from the"):
            assert part in told
        await pilot.press("c")
        command = (app.place.folder / "command.sh").read_text()
        assert command.startswith('ETCDCTL_PASSWORD="$CANSWARM_ETCD__PASSWORD" etcdctl ')
        assert app.clipboard + "\n" == command
        await pilot.press("y", "w")
        assert "looked at" in (app.place.folder / "check-etcd.space.txt").read_text()
        assert "looked at" in (app.place.folder / "checks.txt").read_text()
        await pilot.press("tab", "end")
        facts = app.screen.query_one("#facts")
        await until(pilot, lambda: facts.scroll_offset.y == facts.max_scroll_y > 0)
        await pilot.press("escape")
        assert isinstance(app.screen, DiagnosticsScreen)


async def test_checks_are_narrowed_by_verdict_server_and_words(tmp_path: Path, use: Callable[[Checks], None]) -> None:
    app, _ = make_app(tmp_path)
    use(guided(etcd=lambda _s: (checked("etcd", CheckVerdict.WORRY), checked("etcd2", CheckVerdict.UNKNOWN))))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, 9)
        await pilot.press("v", "v")
        assert [row.split()[0] for row in rows(app)] == ["?"]
        await pilot.press("v")
        assert len(rows(app)) == 7
        await pilot.press("v", "p", "p")
        assert [row.split()[2] for row in rows(app)] == ["nats"]
        await pilot.press(*["p"] * 7)
        await pilot.press("s", *"opa answer", "enter")
        assert [row.split()[2] for row in rows(app)] == ["opa"]
        await pilot.press("s", "escape")
        assert len(rows(app)) == 9


async def test_a_frozen_server_holds_up_no_other_and_isnt_asked_twice(
    tmp_path: Path, use: Callable[[Checks], None]
) -> None:
    app, _ = make_app(tmp_path)
    thaw, asked = threading.Event(), []

    def frozen(_settings: Settings) -> tuple[Check, ...]:
        asked.append(1)
        thaw.wait(10)
        return (checked("redis", CheckVerdict.BAD),)

    use(guided(redis=frozen))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, 7)
        assert "asking redis…" in text_of(app, "#head")
        await pilot.press("r", "r", "down", "down")
        assert len(asked) == 1
        chosen = text_of(app, "#told")
        thaw.set()
        await until(pilot, lambda: len(rows(app)) == 8)
        await until(pilot, lambda: "asking" not in text_of(app, "#head"))
        assert text_of(app, "#told") == chosen  # the cursor stays on its check when rows come above it


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_answers_are_shown_literally(
    tmp_path: Path, use: Callable[[Checks], None], size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    evil = Check("redis.evil", "redis", HOSTILE, (HOSTILE,), CheckVerdict.BAD, HOSTILE, HOSTILE, HOSTILE)
    use(guided(redis=lambda _s: (evil,)))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "[/etc/passwd]" in text_of(app, "#told"))
        for static in app.screen.query(Static):
            assert "\x1b" not in str(static.content)
            assert "\u202e" not in str(static.content)
        assert "\x1b" not in "".join(rows(app))


async def test_real_servers_are_checked(tmp_path: Path, etcd_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiagnosticsScreen, "looks", looks())
    app, _ = make_app(tmp_path)
    app.settings = Settings(site=app.settings.site, etcd=EtcdSettings(endpoints=(etcd_endpoint,)),
                            state_dir=tmp_path / "state")  # fmt: skip
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("d", "g")
        await until(pilot, lambda: any("fine etcd" in row for row in rows(app)))
