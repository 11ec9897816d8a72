"""What surrounds the screens: preferences that are kept, the palette, the log's search, about, keys of one's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.command import CommandPalette
from textual.widgets import DataTable, Input, Log, OptionList, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.bindings import every_key, keys_page, unknown_keys
from canswarm_tui.engine.checklist import STEP_NAMES
from canswarm_tui.preferences import Preferences, load_preferences, preferences_file, save_preferences
from canswarm_tui.screens.about import AboutScreen
from canswarm_tui.screens.log import LogScreen
from canswarm_tui.screens.settings import SettingsScreen
from tests.interface.fakes import HOSTILE, make_app

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.fixture(autouse=True)
def _own_preferences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.asyncio
async def test_settings_are_turned_hold_at_once_and_are_kept(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        assert isinstance(app.screen, SettingsScreen)
        await pilot.press("enter")
        assert app.theme == "swarm-light"
        await pilot.press("down", "enter", "enter", "down", "enter")
        await pilot.pause()
        assert str(app.screen.query_one("#settings", DataTable).get_cell("bandwidth", "value")) == "reduced"
        await pilot.press("escape")
    kept, wrong = load_preferences()
    assert kept == Preferences("swarm-light", "reduced", mouse=False)
    assert wrong == ()
    assert tomllib.loads(preferences_file().read_text())["theme"] == "swarm-light"


@pytest.mark.asyncio
@pytest.mark.parametrize("opened", ["", "f3", "d"])
async def test_end_and_home_go_to_the_last_and_the_first_row_of_a_list(tmp_path: Path, opened: str) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*filter(None, [opened]))
        await pilot.pause()
        table = app.screen.query(DataTable).first()
        assert table.row_count > 2
        await pilot.press("end")
        assert table.cursor_row == table.row_count - 1
        await pilot.press("home")
        await pilot.pause()
        assert table.cursor_row == (1 if opened == "" else 0), "a heading is passed over"
        assert table.scroll_offset.y == 0


@pytest.mark.asyncio
async def test_preferences_that_cant_be_kept_are_told_and_hold_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("f2")
        await pilot.pause()
        assert app.theme == "swarm-light"
        assert any("can't be written" in toast.message for toast in app._notifications)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('theme = "pink"\nmouse = false', "theme"), ("bandwidth = 3", "auto, full, reduced"),
        ('them = "swarm-dark"', "theme, bandwidth, mouse, keys"), ("[keys]\nrun-step = 3", "keys"), ("{", "default"),
    ],
)  # fmt: skip
def test_a_preference_that_can_be_none_is_told_and_the_others_hold(text: str, told: str) -> None:
    preferences_file().parent.mkdir(parents=True)
    preferences_file().write_text(text)
    found, (wrong,) = load_preferences()
    assert told in wrong
    assert found.theme == "swarm-dark"
    assert found.mouse is not text.endswith("false")


def test_bandwidth_is_reduced_over_ssh_unless_a_person_wants_it_full(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Preferences().is_reduced
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    assert Preferences().is_reduced
    assert not Preferences(bandwidth="full").is_reduced


@pytest.mark.asyncio
async def test_a_key_of_ones_own_does_what_the_old_one_did(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    app.set_keymap({"settings": "f9"})
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f9")
        await pilot.pause()
        assert isinstance(app.screen, SettingsScreen)


def test_an_unknown_action_names_the_nearest_and_every_name_is_in_the_documentation() -> None:
    (told,) = unknown_keys({"run-stepp": "f5", "run-step": "f6"})
    assert "did you mean run-step?" in told
    assert (DOCS / "keys.md").read_text() == keys_page(every_key())


def test_every_key_is_of_the_safe_set_and_says_what_it_does() -> None:
    safe = {"enter", "escape", "tab", "space", "down", "up", "question_mark", "ctrl+q", "ctrl+c", "ctrl+z"}
    for key in every_key():
        for one in key.keys.split(","):
            assert one in safe or (len(one) == 1 and one.isalpha()) or (one[0] == "f" and one[1:].isdigit()), key
        assert key.does or key.where == "checklist"


async def search(app: SwarmApp, words: str) -> list[str]:
    """The palette's offers for some words."""
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f4")
        await pilot.pause()
        assert isinstance(app.screen, CommandPalette)
        for letter in words:
            await pilot.press(letter)
        for _ in range(40):
            await pilot.pause(0.05)
            found = app.screen.query_one(OptionList)
            if found.option_count:
                break
        await pilot.pause(0.2)
        return [str(found.get_option_at_index(n).prompt) for n in range(found.option_count)]


@pytest.mark.asyncio
async def test_the_palette_offers_what_can_be_done_now(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path / "fresh")
    offers = "\n".join(await search(app, "run"))
    assert "Run: Preflight" in offers
    assert "Run: Consensus" not in offers
    app, _ = make_app(tmp_path / "later", done=("preflight", "backup"))
    offers = "\n".join(await search(app, "run"))
    assert "Run: Preflight" not in offers
    assert "Run: Consensus" in offers
    app, _ = make_app(tmp_path / "by name", done=("preflight", "backup"))
    offers = "\n".join(await search(app, "decisions"))
    assert "Run: Consensus" in offers
    assert "decisions is ready" in offers


@pytest.mark.asyncio
async def test_the_palette_offers_undo_only_where_something_was_done(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path / "fresh")
    assert not any("what this run created in this step" in offer for offer in await search(app, "undo"))
    app, _ = make_app(tmp_path / "later", done=tuple(STEP_NAMES))
    assert any("what this run created in this step" in offer for offer in await search(app, "undo"))


@pytest.mark.asyncio
async def test_the_palette_offers_no_moves_of_a_cursor(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    offers = "\n".join(await search(app, "cursor"))
    assert "Cursor" not in offers


@pytest.mark.asyncio
async def test_help_says_what_the_screen_is_for_on_each_of_the_main_ones(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, done=("preflight",))
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in ((), ("enter",), ("b",), ("l",), ("f",), ("o",), ("d",)):
            await pilot.press(*keys)
            await pilot.pause()
            told = app.screen.HELP
            assert told, app.screen
            await pilot.press("f1")
            await pilot.pause()
            assert str(app.screen.query_one("#about-screen", Static).content) == told
            await pilot.press("escape", *(["escape"] if keys else []))
            await pilot.pause()


@pytest.mark.asyncio
async def test_the_palette_opens_a_screen(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f4")
        await pilot.pause()
        await pilot.press(*"about")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.3)
        if not isinstance(app.screen, AboutScreen):
            await pilot.press("enter")
            await pilot.pause(0.3)
        assert isinstance(app.screen, AboutScreen)
        about = str(app.screen.query_one("#about", Static).content)
        assert str(app.place.log) in about
        await pilot.press("c")
        assert (app.place.folder / "about.txt").read_text().strip() == about
        await pilot.press("escape")
        assert not isinstance(app.screen, AboutScreen)


@pytest.mark.asyncio
async def test_the_whole_path_of_the_log_is_shown_however_long_it_is(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path / ("deep" * 20))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("l")
        await pilot.pause()
        where = app.screen.query_one("#where", Static)
        told = "".join(
            strip.text.strip() for strip in app.screen._compositor.render_strips()[1 : 1 + where.size.height]
        )
        assert told.replace("in/", "in /").endswith(str(app.place.log))


@pytest.mark.asyncio
async def test_the_log_is_searched_whole_followed_and_saved(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    app.place.log.write_text("a needle of long ago\n" + "hay\n" * 30_000 + f"{HOSTILE}\n")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("l")
        await pilot.pause()
        assert isinstance(app.screen, LogScreen)
        lines = app.screen.query_one("#lines", Log)
        assert not any("needle" in line for line in lines.lines)
        await pilot.press("s")
        await pilot.press(*"needle", "enter")
        for _ in range(100):
            await pilot.pause(0.05)
            if any("needle" in line for line in lines.lines):
                break
        assert [line for line in lines.lines if line] == ["a needle of long ago"]
        assert "1 lines hold" in str(app.screen.query_one("#head", Static).content)
        with app.place.log.open("a") as log:
            log.write("another needle\nmore hay\n")
        app.screen.redraw()
        assert [line for line in lines.lines if line] == ["a needle of long ago", "another needle"]
        await pilot.press("w")
        assert (app.place.folder / "log-saved.txt").read_text().splitlines() == [
            "a needle of long ago",
            "another needle",
        ]
        await pilot.press("s", "x", "escape")
        assert isinstance(app.screen, LogScreen)
        await pilot.press("s")
        app.screen.query_one("#search", Input).value = ""
        await pilot.press("enter")
        await pilot.pause()
        assert any("[/etc/passwd]" in line for line in lines.lines)
        await pilot.press("escape")
        assert not isinstance(app.screen, LogScreen)


def test_preferences_that_are_written_come_back() -> None:
    wanted = Preferences("ansi-dark", "full", mouse=False, keys={"run-step": "f5,r"})
    save_preferences(wanted)
    assert load_preferences() == (wanted, ())
