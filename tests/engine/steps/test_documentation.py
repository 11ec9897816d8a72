"""What the checklist wants documented is written, read back, and found when it is damaged."""

from __future__ import annotations

import csv
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TextIO

import pytest

from canswarm_tui.engine.journal import StepState
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.steps import documentation, v1_tests
from tests.engine.steps.running import Bench, without_needs


@pytest.fixture
def bench(v1_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    without_needs(monkeypatch)
    return Bench(Settings(site=SiteSettings(root=v1_site), state_dir=tmp_path / "state"))


def exports(bench: Bench) -> Path:
    return bench.runner().place.folder / "exports"


def test_threads_and_tasks_are_exported_as_v1_has_them(bench: Bench, v1_site: Path) -> None:
    bench.run("documentation")
    db = sqlite3.connect(v1_site / ".state" / "plan.db")
    tasks = db.execute(
        "SELECT task_id, thread_id, task_type, state, last_lamport FROM tasks ORDER BY task_id"
    ).fetchall()
    threads = [row[0] for row in db.execute("SELECT DISTINCT thread_id FROM ops ORDER BY thread_id")]
    db.close()
    exported = json.loads((exports(bench) / "tasks.json").read_text())
    assert [tuple(task.values()) for task in exported] == tasks
    assert json.loads((exports(bench) / "threads.json").read_text()) == threads
    with (exports(bench) / "tasks.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(tasks)


def test_the_audit_log_is_exported_byte_for_byte_with_what_is_wrong_in_it(bench: Bench, v1_site: Path) -> None:
    log = v1_site / "logs" / "swarm.jsonl"
    log.write_bytes(log.read_bytes() + b"not json\n")
    bench.run("documentation")
    assert (exports(bench) / "swarm.jsonl").read_bytes() == log.read_bytes()
    summary = json.loads((exports(bench) / "audit-log.json").read_text())
    assert (summary["lines"], summary["not_sound"]) == (1802, 1)
    assert [bad["number"] for bad in summary["bad_lines"]] == [1802]


def test_an_export_that_was_changed_is_a_difference_by_name_and_written_anew(bench: Bench) -> None:
    bench.run("documentation")
    (exports(bench) / "tasks.csv").write_text("changed")
    assert bench.verify("documentation").differences == 1
    assert [f.finding.subject for f in bench.findings("documentation")] == [str(exports(bench) / "tasks.csv")]
    bench.run("documentation")
    assert bench.record("documentation").state is StepState.PROVED


def test_an_undo_removes_what_was_exported(bench: Bench) -> None:
    bench.run("documentation")
    bench.undo("documentation")
    assert list(exports(bench).iterdir()) == []


@pytest.mark.parametrize(("command", "passes"), [("true", True), ("sh -c 'echo broken; exit 3'", False)])
def test_the_operators_own_test_command_is_run_and_its_result_recorded(
    bench: Bench, command: str, passes: bool
) -> None:
    site = bench.settings.site.model_copy(update={"test_command": command})
    bench.settings = bench.settings.model_copy(update={"site": site})
    bench.runner().run(["v1-tests"])
    waiting = [f.finding.code for f in bench.findings("v1-tests") if f.wants_decision]
    assert waiting == ([] if passes else ["v1_tests.failed"])
    output = bench.runner().place.folder / "v1-tests.log"
    assert output.read_text() == ("" if passes else "broken\n")
    outcome = bench.record("v1-tests").outcome
    assert outcome is not None
    told = {name: outcome.figures[name] for name in ("command", "exit code", "lines of output", "output")}
    assert told == {
        "command": command, "exit code": 0 if passes else 3, "lines of output": int(not passes), "output": str(output)
    }  # fmt: skip


@pytest.mark.parametrize("handler", ["exit 0", ""])
def test_a_test_command_that_hangs_is_ended_and_never_counts_as_passed(
    bench: Bench, handler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v1_tests, "_GRACE_S", 0.5)
    command = f"sh -c 'trap \"{handler}\" TERM; while :; do sleep 0.1; done'"
    site = bench.settings.site.model_copy(update={"test_command": command, "test_timeout_s": 0.5})
    bench.settings = bench.settings.model_copy(update={"site": site})
    bench.runner().run(["v1-tests"])
    assert [f.finding.code for f in bench.findings("v1-tests") if f.wants_decision] == ["v1_tests.failed"]
    outcome = bench.record("v1-tests").outcome
    assert outcome is not None
    assert outcome.figures["exit code"] == 124


def test_what_a_test_command_leaves_behind_does_not_hold_the_run(bench: Bench) -> None:
    site = bench.settings.site.model_copy(update={"test_command": "sh -c 'setsid sleep 30 & exit 0'"})
    bench.settings = bench.settings.model_copy(update={"site": site})
    began = time.monotonic()
    bench.runner().run(["v1-tests"])
    assert time.monotonic() - began < 25
    assert bench.record("v1-tests").state is StepState.PROVED


def test_the_plan_store_can_be_written_to_while_it_is_exported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    writes_seen: list[str] = []
    wrote: list[int] = []
    written = documentation._written

    def and_meanwhile(path: Path, write: Callable[[TextIO], None]) -> str:
        def writes(file: TextIO) -> None:
            class Watched:
                def write(self, text: str) -> int:
                    writes_seen.append(text)
                    if len(writes_seen) == 3:  # in the middle of the rows
                        with closing(sqlite3.connect(bench.settings.site.plan_db, timeout=0.2)) as db, db:
                            wrote.append(db.execute("UPDATE tasks SET state = state").rowcount)
                    return file.write(text)

                def __getattr__(self, name: str) -> object:
                    return getattr(file, name)

            write(Watched())  # type: ignore[arg-type]

        return written(path, writes)

    monkeypatch.setattr(documentation, "_written", and_meanwhile)
    bench.run("documentation")
    assert wrote


def test_without_a_command_the_v1_tests_are_honestly_not_run(bench: Bench) -> None:
    bench.runner().run(["v1-tests"])
    record = bench.record("v1-tests")
    assert record.state is StepState.SKIPPED
    assert record.outcome is not None
    assert "not configured" in record.outcome.summary
    assert record.verdict is None
