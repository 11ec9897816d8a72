"""The Rego beside v1's rules: every rule has its counterpart, marked in the file; an operator's own Rego too."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from canswarm_tui.app import SwarmApp
from canswarm_tui.engine.settings import PolicySettings
from canswarm_tui.engine.v1.policy import Reason
from canswarm_tui.screens.rego import RegoScreen
from canswarm_tui.widgets.peculiar import RULES
from canswarm_tui.widgets.rego_rules import DIFFERENCES, V1_RULES, counterpart, rules_of
from tests.interface.fakes import HOSTILE, make_app
from tests.interface.phases import fill_journal
from tests.interface.test_interface import text_of

OURS = (files("canswarm_tui.engine.v2.policy") / "envelope.rego").read_text()


def test_every_reason_of_v1_has_its_rules_in_our_rego() -> None:
    rules = rules_of(OURS)
    for word in RULES:
        found = counterpart(rules, word)
        assert found, word
        for rule in found:
            assert OURS.split("\n")[rule.first - 1 : rule.last] == rule.text.split("\n")
    assert set(V1_RULES) == set(DIFFERENCES) == set(RULES) == {"allow", *(r.value for r in Reason)}


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("signature_invalid", {"reasons", "signature_ok"}),
        ("kind_not_allowed", {"reasons", "kind_ok"}),
        ("commit_without_artifact", {"reasons", "is_commit", "commit_ok", "artifact_named", "artifact_in_payload"}),
        ("allow", {"allow"}),
    ],
)
def test_a_counterpart_is_the_reason_and_what_it_leans_on_and_nothing_else(word: str, names: set[str]) -> None:
    found = counterpart(rules_of(OURS), word)
    assert {rule.name for rule in found} == names
    assert sum(rule.name == "reasons" for rule in found) == (word != "allow")


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n# words", "package x", "}{", "\x00\x01", "p if {\n"])
def test_a_module_of_any_shape_is_cut_without_harm(text: str) -> None:
    assert all(counterpart(rules_of(text), word) in ([], rules_of(text)) for word in RULES)


async def opened(pilot: Pilot[int], step: str = "policy-opa") -> SwarmApp:
    app = cast("SwarmApp", pilot.app)
    app.push_screen(RegoScreen(step))
    await until(app, pilot, lambda: text_of(app, "#rego") not in ("", "reading…"))
    return app


async def until(app: SwarmApp, pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        app.draw()
        if isinstance(app.screen, RegoScreen) and holds():
            return
    raise AssertionError("it does not come")


@pytest.mark.asyncio
async def test_the_rule_under_the_cursor_is_marked_in_the_file_with_its_parity(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    fill_journal(app.place, "policy-opa")
    async with app.run_test(size=(120, 40)) as pilot:
        app.model.read(elsewhere=False)
        await opened(pilot)
        table = app.screen.query_one("#rules", DataTable)
        assert [str(cell).strip() for cell in table.get_row("allow")] == ["✔", "allow", "4,100", "4,100"]
        await pilot.press(*["down"] * (1 + list(Reason).index(Reason.PAYLOAD_TOO_LARGE)))
        await pilot.pause()
        marked = [line for line in text_of(app, "#rego").split("\n") if line.startswith("▌")]
        assert any('"payload_too_large"' in line for line in marked)
        assert any("data.swarm.policy.max_payload_bytes" in line for line in marked)
        assert not any("signature_ok" in line for line in marked)
        assert "at most max_payload_bytes" in text_of(app, "#rule")
        assert app.screen.query_one("#file").scroll_y > 0
        assert len(text_of(app, "#rego").split("\n")) >= len(OURS.split("\n"))


@pytest.mark.asyncio
async def test_tab_goes_to_the_file_and_c_copies_it(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "policy-wasm")
        await pilot.press("tab")
        assert app.screen.query_one("#file").has_focus
        await pilot.press("tab", "c")
        await pilot.pause()
        assert app.screen.query_one("#rules").has_focus
        assert (app.place.folder / "rego-envelope.rego").read_text() == OURS + "\n"
        assert app.clipboard == OURS


@pytest.mark.asyncio
async def test_the_operators_files_are_turned_with_n_and_shown_literally(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "a.rego").write_text(f"package other\n\n# {HOSTILE}\nx := 1\n" + "# long\n" * 5000, encoding="utf-8")
    (own / "b.rego").write_text(
        'package swarm.envelope\n\nreasons contains "signature_invalid" if not ok\n\nok := true'
    )
    app, _ = make_app(tmp_path)
    app.settings = app.settings.model_copy(update={"policy": PolicySettings(rego_dir=own)})
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "b.rego (2 of 2)" in text_of(app, "#head")
        await pilot.press("down")
        await pilot.pause()
        assert "reasons (line 3), ok (line 5)" in text_of(app, "#rule")
        await pilot.press("n")
        await pilot.pause()
        everything = "\n".join(str(w.content) for w in app.screen.query(Static))
        assert "[/] [red]x[/red] see [/etc/passwd]" in everything
        assert "\x1b" not in everything
        assert "\u202e" not in everything
        assert "more lines" in everything


@pytest.mark.asyncio
async def test_a_rego_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    app.settings = app.settings.model_copy(update={"policy": PolicySettings(rego_dir=tmp_path / "nowhere")})
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "can't be read" in text_of(app, "#rego")
