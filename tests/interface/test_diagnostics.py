"""Diagnostics: what each backend said, lists of any length, an entry whole; a slow server holds up nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.errors import Unreachable
from canswarm_tui.engine.health.facts import Condition, Look, Section
from canswarm_tui.engine.settings import EtcdSettings, IpfsSettings, Settings, SiteSettings
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_stubs import rpc
from canswarm_tui.screens.browse import PAGE, BrowseScreen
from canswarm_tui.screens.checklist import ChecklistScreen
from canswarm_tui.screens.diagnostics import DiagnosticsScreen
from canswarm_tui.screens.entry import EntryScreen
from tests.engine.health.test_automerge import HISTORY, site_with
from tests.interface.fakes import HOSTILE, make_app
from tests.interface.looks import Numbers, answers, down, looks, refuses

pytestmark = pytest.mark.asyncio


def text_of(app: SwarmApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


async def until(pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        if holds():
            return
    raise AssertionError("it did not come to that in time")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def change(seen: dict[str, Callable[[Settings], Look]], *lists: Numbers) -> None:
        monkeypatch.setattr(DiagnosticsScreen, "looks", seen)
        monkeypatch.setattr(DiagnosticsScreen, "lists", {"redis": tuple(lambda _s, one=one: one for one in lists)})

    return change


async def test_each_backend_says_how_it_is_and_what_to_do(tmp_path: Path, use: Callable[..., None]) -> None:
    app, _ = make_app(tmp_path)
    use(looks(redis=lambda _s: refuses("redis"), nats=lambda _s: down("nats")))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: "password is wrong" in text_of(app, "#told"))
        assert "What to do: set site.redis_password" in text_of(app, "#told")
        table = app.screen.query_one("#backends", DataTable)
        await until(pilot, lambda: str(table.get_cell("nats", "says")) == "down")
        assert str(table.get_cell("redis", "says")) == "refuses"
        assert str(table.get_cell("etcd", "says")) == "answers   !"
        await pilot.press("down", "down")
        await until(pilot, lambda: "NOSPACE" in text_of(app, "#told"))
        assert "40.0 MiB" in text_of(app, "#told")
        await pilot.press("c")
        assert "NOSPACE" in (app.place.folder / "diagnostics-etcd.txt").read_text()
        DiagnosticsScreen.looks["redis"] = lambda _s: answers("redis", "8.0")
        await pilot.press("r", "up", "up")
        await until(pilot, lambda: "8.0" in text_of(app, "#told"))
        await pilot.press("escape")
        assert isinstance(app.screen, ChecklistScreen)


async def test_a_frozen_server_holds_up_neither_others_nor_keys_and_isnt_asked_twice(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    thaw, asked = threading.Event(), []

    def frozen(_settings: Settings) -> Look:
        asked.append(1)
        thaw.wait(10)
        return Look("redis", "redis.example:1", 5000.0, Condition.SLOW)

    use(looks(redis=frozen))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        table = app.screen.query_one("#backends", DataTable)
        await until(pilot, lambda: str(table.get_cell("opa", "says")) == "answers")
        await pilot.press("r", "r", "w")
        assert "watching" in text_of(app, "#head")
        assert len(asked) == 1
        await pilot.press("w")
        thaw.set()
        await until(pilot, lambda: str(table.get_cell("redis", "says")) == "slow")
        assert "watching" not in text_of(app, "#head")


async def test_a_list_of_a_million_opens_at_once_and_only_a_page_is_held(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    numbers, others = Numbers(1_000_000), Numbers(3, title="others")
    use(looks(), numbers, others)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", "enter")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen))
        table = app.screen.query_one("#entries", DataTable)
        await until(pilot, lambda: table.row_count == PAGE)
        assert "1,000,000" in text_of(app, "#head")
        await pilot.press("n")
        await until(pilot, lambda: "page 2" in text_of(app, "#head") and "reading" not in text_of(app, "#head"))
        assert table.row_count == PAGE
        assert str(table.get_row_at(0)[0]) == "key-0000200"
        await pilot.press("up")
        await until(pilot, lambda: str(table.get_row_at(0)[0]) == "key-0000000")
        table.move_cursor(row=PAGE - 1)
        await pilot.press("down")
        await until(pilot, lambda: str(table.get_row_at(0)[0]) == "key-0000200")
        await pilot.press("b")
        await until(pilot, lambda: str(table.get_row_at(0)[0]) == "key-0000000")
        await pilot.press("s", *"key-09", "enter")
        await until(pilot, lambda: str(table.get_row_at(0)[0]) == "key-0900000")
        await pilot.press("t")
        await until(pilot, lambda: table.row_count == 3)
        assert "others" in text_of(app, "#head")
        assert "other-list" in offered(app)
        assert not {"next-entries", "entries-before"} & offered(app)


async def test_a_key_for_another_list_is_shown_only_where_there_is_one(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    use(looks(), Numbers(500))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", "enter")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen) and "next-entries" in offered(app))
        assert not {"other-list", "entries-before"} & offered(app)
        await pilot.press("n")
        await until(pilot, lambda: "entries-before" in offered(app))


async def test_an_entry_opens_whole_is_copied_and_an_error_says_what_to_do(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    numbers = Numbers(5)
    use(looks(), numbers)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", "enter")
        await until(pilot, lambda: app.screen.query(DataTable).first().row_count == 5)
        await until(pilot, lambda: "open-entry" in offered(app))
        await pilot.press("s")
        await until(pilot, lambda: "open-entry" not in offered(app))
        await pilot.press("escape", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, EntryScreen))
        assert "key-0000001" in text_of(app, "#head")
        assert '{"epoch": 1}' in text_of(app, "#told")
        await pilot.press("c", "escape")
        assert '{"epoch": 1}' in (app.place.folder / "entry.txt").read_text()
        numbers.fails = Unreachable("etcd", "no answer in time", "is it frozen?")
        await pilot.press("r")
        await until(pilot, lambda: "no answer in time. Is it frozen?" in text_of(app, "#said"))
        await pilot.press("s", "escape")
        assert not app.screen.query_one("#search", Input).display
        await pilot.press("escape")
        assert isinstance(app.screen, DiagnosticsScreen)


async def test_one_entry_is_looked_up_by_its_key_though_no_list_shows_it(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    use(looks(), Numbers(5))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", "enter")
        await until(pilot, lambda: app.screen.query(DataTable).first().row_count == 5)
        await pilot.press("l", *"bafk-1", "enter")
        await until(pilot, lambda: isinstance(app.screen, EntryScreen))
        assert "bafk-1" in text_of(app, "#told")
        await pilot.press("escape", "l", "escape")
        assert not any(field.display for field in app.screen.query(Input))
        await pilot.press("escape")
        assert isinstance(app.screen, DiagnosticsScreen)


async def test_changes_of_decisions_are_shown_as_they_happen_and_leaving_ends_the_watch(
    tmp_path: Path, etcd_endpoint: str, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    etcd = EtcdSettings(endpoints=(etcd_endpoint,), prefix=f"/test{tmp_path}/")
    app.settings = Settings(site=app.settings.site, etcd=etcd, state_dir=tmp_path / "state")
    use(looks())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        assert not {"live-decisions", "verify-repo", "verify-merge"} & offered(app)
        await pilot.press("down", "down")
        assert {"live-decisions", "verify-repo", "verify-merge"} & offered(app) == {"live-decisions"}
        await pilot.press("l")
        await until(pilot, lambda: "nothing has changed yet" in text_of(app, "#status"))
        with closing(EtcdClient(etcd)) as client:
            for n in range(100):
                client.write("Put", rpc.PutRequest(key=f"{etcd.prefix}[red]{n}".encode(), value=b"\x1b[31m"))
                await pilot.pause(0.05)
                if "[red]" in text_of(app, "#told"):
                    break
        assert "created [red]" in text_of(app, "#told")
        assert "\x1b" not in text_of(app, "#told")
        await pilot.press("c", "escape")
        assert "created [red]" in (app.place.folder / "live.txt").read_text()
        assert isinstance(app.screen, DiagnosticsScreen)
        await until(pilot, lambda: "live" not in {thread.name for thread in threading.enumerate()})


async def test_the_repo_is_verified_with_progress_and_a_node_that_is_away_is_told(
    tmp_path: Path, ipfs_api: str, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    app.settings = app.settings.model_copy(update={"ipfs": IpfsSettings(api=ipfs_api)})
    use(looks())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", *["down"] * 4, "v")
        await until(pilot, lambda: "every block has been read" in text_of(app, "#status"))
        assert "blocks read and hashed, 0 wrong" in text_of(app, "#status")
        await pilot.press("escape")
        app.settings = app.settings.model_copy(update={"ipfs": IpfsSettings(api="http://127.0.0.1:1")})
        await pilot.press("v")
        await until(pilot, lambda: "it has stopped" in text_of(app, "#status"))
        assert "no connection" in text_of(app, "#status")


async def test_a_merge_with_a_peers_file_is_proved_and_a_file_that_is_none_is_told(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    app, _ = make_app(tmp_path)
    held = site_with(tmp_path / "held", HISTORY)
    app.settings = app.settings.model_copy(update={"site": held.site})
    use(looks())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", *["down"] * 6, "m", *str(held.site.plan_document), "enter")
        await until(pilot, lambda: isinstance(app.screen, EntryScreen))
        assert "both have the same heads" in text_of(app, "#told")
        await pilot.press("escape", "m", "escape", "m", *"/nowhere.bin", "enter")
        await until(pilot, lambda: any("there is no such document" in said for said in notices(app)))


def offered(app: SwarmApp) -> set[str]:
    """Names of the keys that the footer shows."""
    return {key.binding.id or "" for key in app.screen.active_bindings.values() if key.enabled}


def notices(app: SwarmApp) -> list[str]:
    return [notice.message for notice in app._notifications]


async def test_an_answer_for_a_list_that_was_left_is_thrown_away(tmp_path: Path, use: Callable[..., None]) -> None:
    app, _ = make_app(tmp_path)
    slow, quick = Numbers(500), Numbers(2, title="quick")
    slow.go.clear()
    use(looks(), slow, quick)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", "enter")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen))
        await pilot.press("t")
        table = app.screen.query_one("#entries", DataTable)
        await until(pilot, lambda: table.row_count == 2)
        slow.go.set()
        await until(pilot, lambda: slow.asked == [None])
        await pilot.pause(0.05)
        assert table.row_count == 2


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_answers_are_shown_literally(
    tmp_path: Path, use: Callable[..., None], size: tuple[int, int]
) -> None:
    app, _ = make_app(tmp_path)
    evil = Look("redis", HOSTILE, 1.0, Condition.ANSWERS, (Section(HOSTILE, ((HOSTILE, HOSTILE),)),))
    use(looks(redis=lambda _s: evil), Numbers(3, title=HOSTILE, extra=HOSTILE))
    async with app.run_test(size=size) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: "[/etc/passwd]" in text_of(app, "#told"))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query(DataTable).first().row_count == 3)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EntryScreen))
        for selector in ("#head", "#told"):
            assert "\x1b" not in text_of(app, selector)
            assert "\u202e" not in text_of(app, selector)


async def test_real_servers_are_looked_at_and_their_keys_paged(
    tmp_path: Path, etcd_endpoint: str, clean_redis: str
) -> None:
    import redis as redis_client

    client = redis_client.Redis.from_url(clean_redis)
    client.mset({f"decide:need-{n:04d}": "{}" for n in range(250)})
    client.close()
    app, _ = make_app(tmp_path)
    app.settings = Settings(
        site=SiteSettings(root=app.settings.site.root, redis_url=clean_redis, nats_url="nats://127.0.0.1:1"),
        etcd=EtcdSettings(endpoints=(etcd_endpoint,)), state_dir=tmp_path / "state",
    )  # fmt: skip
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("d")
        table = app.screen.query_one("#backends", DataTable)
        await until(pilot, lambda: str(table.get_cell("redis", "says")).startswith("answers"))
        await until(pilot, lambda: str(table.get_cell("nats", "says")) == "down")
        await until(pilot, lambda: str(table.get_cell("etcd", "says")).startswith("answers"))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query(DataTable).first().row_count >= 200)
