"""The way in where no site is named: a form that tests what it is told, and past runs to go on with."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from canswarm_tui import start
from canswarm_tui.engine.checklist import BY_NAME
from canswarm_tui.engine.journal import Journal, StepState
from canswarm_tui.engine.place import place_of, site_identity
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.step import Outcome
from canswarm_tui.preferences import Preferences
from canswarm_tui.start import FORM, PastRun, StartApp, past_runs
from tests.interface.fakes import HOSTILE

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site" / ".state").mkdir(parents=True)
    return tmp_path / "site"


def field(app: StartApp, key: str) -> Input:
    return app.query_one(f"#{key.replace('.', '--')}", Input)


def has_ended(app: StartApp) -> bool:
    return app.return_value is not None


async def fill(app: StartApp, pilot: Pilot[Settings], key: str, text: str) -> None:
    """Type into a field, and leave it."""
    box = field(app, key)
    box.focus()
    await pilot.pause()
    box.value = text
    await pilot.press("tab")
    await pilot.pause()


async def said(app: StartApp, pilot: Pilot[Settings], key: str, sign: str) -> str:
    """What stands below a field once it begins with the sign."""
    for _ in range(500):
        text = str(app.query_one(f"#{key.replace('.', '--')}-said", Static).content)
        if text.startswith(sign):
            return text
        await pilot.pause(0.02)
    raise AssertionError(text)


async def test_a_field_that_is_left_is_tested_and_the_file_that_is_saved_is_private(
    tmp_path: Path, site: Path, clean_redis: str, etcd_endpoint: str
) -> None:
    file = tmp_path / "canswarm.toml"
    app = StartApp(Preferences(), file)
    async with app.run_test(size=(80, 24)) as pilot:
        await fill(app, pilot, "site.root", str(tmp_path))
        assert "no .state folder" in await said(app, pilot, "site.root", "✗")
        await fill(app, pilot, "site.root", str(site))
        await fill(app, pilot, "site.redis_url", clean_redis)
        await said(app, pilot, "site.redis_url", "✓ redis answers")
        await fill(app, pilot, "site.redis_url", clean_redis)
        await said(app, pilot, "site.redis_url", "✓ redis answers")  # gone through again: still said
        await fill(app, pilot, "etcd.endpoints", "localhost")
        assert "not a URL with its scheme" in await said(app, pilot, "etcd.endpoints", "✗")
        await fill(app, pilot, "etcd.endpoints", "http://127.0.0.1:1")
        await said(app, pilot, "etcd.endpoints", "✗")
        await fill(app, pilot, "etcd.endpoints", etcd_endpoint)
        await said(app, pilot, "etcd.endpoints", "✓ etcd answers")
        await fill(app, pilot, "s3.access_key", "env:NOT_THERE")
        assert "NOT_THERE" in await said(app, pilot, "s3.access_key", "✗")
        await pilot.press("f5")
        await pilot.pause()
        assert not has_ended(app)
        assert not file.exists()
        await fill(app, pilot, "s3.access_key", "")
        await fill(app, pilot, "s3.secret_key", "typed-secret")
        assert field(app, "s3.secret_key").password
        await pilot.press("f5")
        await pilot.pause()
    assert app.return_value is not None
    assert app.return_value.site.root == site
    assert file.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(file.read_text())["s3"]["secret_key"] == "typed-secret"


async def test_a_form_without_a_site_stays_and_escape_leaves(tmp_path: Path) -> None:
    app = StartApp(Preferences(), tmp_path / "canswarm.toml")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("f5")
        await pilot.pause()
        assert any("no site is named" in toast.message for toast in app._notifications)
        await pilot.press("escape")
    assert app.return_value is None


async def test_a_past_run_is_offered_and_gone_on_with(tmp_path: Path, site: Path) -> None:
    settings = Settings(site=SiteSettings(root=site))
    place = place_of(settings)
    place.make()
    journal = Journal.open(place.journal, site_identity(settings))
    journal.step("preflight").set_state(StepState.DONE, outcome=Outcome())
    journal.close()
    (run,) = past_runs(settings.state_dir)
    assert run.root == str(site)
    file = tmp_path / "elsewhere.toml"
    file.write_text('[etcd]\nprefix = "/other/"\n')
    app = StartApp(Preferences(), file)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        (row,) = (app.query_one("#past", DataTable).get_row_at(n) for n in range(1))
        assert str(row[1]) == f"1 of 11 steps, next: {BY_NAME['documentation'].title}"
        await pilot.press("enter")
        await pilot.pause()
    assert app.return_value is not None
    assert app.return_value.site.root == site
    assert app.return_value.etcd.prefix == "/other/"  # of the file that was named


async def test_settings_of_the_command_line_hold_for_a_past_run_and_for_the_form(tmp_path: Path, site: Path) -> None:
    flags = {"state_dir": str(tmp_path / "mine"), "s3.bucket": "trial", "etcd.prefix": "/trial/"}
    settings = Settings(site=SiteSettings(root=site), state_dir=tmp_path / "mine")
    place_of(settings).make()
    journal = Journal.open(place_of(settings).journal, site_identity(settings))
    journal.close()
    file = tmp_path / "canswarm.toml"
    file.touch()
    for key in ("enter", "f5"):
        app = StartApp(Preferences(), file, flags)
        async with app.run_test(size=(80, 40)) as pilot:
            await pilot.pause()
            assert app.query_one("#s3--bucket", Input).value == "trial"
            app.query_one("#site--root", Input).value = str(site)
            await pilot.press(key)
            await pilot.pause()
        went = app.return_value
        assert went is not None, key
        assert (went.state_dir, went.s3.bucket, went.etcd.prefix) == (tmp_path / "mine", "trial", "/trial/"), key
    assert "etcd" not in tomllib.loads(file.read_text())  # what the form does not show is not saved unseen


async def test_the_form_reads_and_writes_the_file_that_settings_come_from(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named.toml"
    named.write_text('[s3]\nbucket = "named"\n')
    monkeypatch.setenv("CANSWARM_CONFIG", str(named))
    app = StartApp(Preferences())
    async with app.run_test(size=(80, 40)) as pilot:
        assert app.query_one("#s3--bucket", Input).value == "named"
        app.query_one("#site--root", Input).value = str(site)
        await pilot.press("f5")
        await pilot.pause()
    assert tomllib.loads(named.read_text())["site"]["root"] == str(site)


async def test_a_hostile_path_is_shown_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "past_runs", lambda _folder: iter([PastRun(HOSTILE, 1, tmp_path)]))
    app = StartApp(Preferences(), tmp_path / "canswarm.toml")
    async with app.run_test(size=(80, 24)):
        cell = str(app.query_one("#past", DataTable).get_row_at(0)[0])
        assert cell.startswith("[/] [red]x[/red] see [/etc/passwd]")
        assert "\x1b" not in cell


async def test_a_journal_that_cant_be_read_is_left_out(site: Path) -> None:
    folder = Settings(site=SiteSettings(root=site)).state_dir / "sites" / "broken-1"
    folder.mkdir(parents=True)
    (folder / "journal.db").write_text("no database")
    assert list(past_runs(folder.parent.parent)) == []


async def test_every_field_is_a_setting(tmp_path: Path) -> None:
    app = StartApp(Preferences(), tmp_path / "canswarm.toml")
    async with app.run_test(size=(120, 40)):
        assert len(app.query(Input)) == len(FORM)


async def test_the_footer_names_the_key_to_the_next_field(site: Path) -> None:
    app = StartApp(Preferences())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert {"Next field", "Save and go on", "Leave"} <= {
            active.binding.description for active in app.screen.active_bindings.values() if active.binding.show
        }
        assert "Or" not in str(app.query_one(".title", Static).content), "there is no past run to choose instead"
