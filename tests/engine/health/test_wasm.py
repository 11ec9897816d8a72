"""The WASM looked at: the shipped one, the one of a run, and what is missing, empty or damaged of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from canswarm_tui.engine.health.facts import Condition
from canswarm_tui.engine.health.wasm import look
from canswarm_tui.engine.place import place_of
from canswarm_tui.engine.settings import PolicySettings, Settings, SiteSettings
from canswarm_tui.engine.steps.policy_wasm import FOLDER, Built, files_of
from canswarm_tui.engine.v2.policy.answer import ENTRYPOINTS
from canswarm_tui.engine.v2.policy.source import load_source, shipped_wasm


def written(folder: Path) -> tuple[Settings, Path]:
    """What the step policy-wasm leaves, by its own function."""
    (folder / "site").mkdir()
    settings = Settings(site=SiteSettings(root=folder / "site"), state_dir=folder / "state")
    ours = shipped_wasm()
    kept = place_of(settings).folder / FOLDER
    kept.mkdir(parents=True)
    for record in files_of(load_source(settings.policy), Built(ours.wasm, ours.opa_version, "")):
        assert isinstance(record.body, bytes)
        (kept / record.key.decode()).write_bytes(record.body)
    return settings, kept


def test_the_shipped_one_tells_entrypoints_size_and_times(tmp_path: Path) -> None:
    found = look(Settings(state_dir=tmp_path))
    assert found.condition is Condition.ANSWERS, found.error
    policy, entrypoints, times = (dict(one.facts) for one in found.sections)
    assert set(entrypoints) == set(ENTRYPOINTS)
    assert policy["size bytes"] == len(shipped_wasm().wasm)
    assert policy["builtins of the host"] == "none"
    assert times["without an answer"] == 0
    assert 0 < float(times["p50 ms"]) <= float(times["p95 ms"])


def test_the_one_of_a_run_is_looked_at_where_there_is_one(tmp_path: Path) -> None:
    settings, kept = written(tmp_path)
    found = look(settings)
    assert (found.condition, found.address) == (Condition.ANSWERS, str(kept))
    assert dict(found.sections[0].facts)["origin"] == "written by a run"


@pytest.mark.parametrize("name", ["policy.wasm", "data.json", "manifest.json"])
def test_missing_empty_and_damaged_files_are_told_apart(tmp_path: Path, name: str) -> None:
    settings, kept = written(tmp_path)
    content = (kept / name).read_bytes()
    said = []
    for wrong in (content[:-1] + b"\x01", b"", None):
        (kept / name).unlink() if wrong is None else (kept / name).write_bytes(wrong)
        found = look(settings)
        assert found.condition is Condition.DAMAGED
        assert found.error is not None
        assert found.error.subject.endswith(name)
        assert "move it away" in found.error.remedy
        said.append(found.error.happened)
    assert len(set(said[1:])) == 2


def test_rego_that_no_run_has_built_is_missing(tmp_path: Path) -> None:
    found = look(Settings(policy=PolicySettings(rego_dir=tmp_path), state_dir=tmp_path))
    assert found.condition is Condition.MISSING
