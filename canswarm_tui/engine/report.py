"""The report of a run, from its journal alone: JSON for programs, Markdown and one HTML file for people."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from canswarm_tui import __version__
from canswarm_tui.engine.checklist import BY_NAME, CHECKLIST, FINAL, STEPS
from canswarm_tui.engine.journal import Journal, StepRecord, StoredFinding, without_a_run
from canswarm_tui.engine.place import Place, site_identity, target_addresses
from canswarm_tui.engine.report_text import html_page, markdown_page
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import counted, waiting_text

FORMAT = "canswarm-tui-report/1"


@dataclass(frozen=True, slots=True)
class Written:
    """Where a report was written, and how many findings wait for a person."""

    json: Path
    markdown: Path
    html: Path
    waiting: int


def write_report(settings: Settings, journal: Journal, place: Place, *, live: bool = True) -> Written:
    """Write the three forms into the place's reports folder, replacing the last ones whole.

    `live`: a run holds the site now, so that what the journal has running does run.
    """
    facts = report_facts(settings, journal, live=live)
    place.reports.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = {suffix: place.reports / f"report.{suffix}" for suffix in ("json", "md", "html")}
    markdown = markdown_page(facts)
    _replace(paths["json"], json.dumps(facts, indent=2, ensure_ascii=True, default=str))
    _replace(paths["md"], markdown)
    _replace(paths["html"], html_page(facts))
    return Written(paths["json"], paths["md"], paths["html"], int(facts["waiting"]))


def report_facts(settings: Settings, journal: Journal, *, live: bool = True) -> dict[str, Any]:
    """Everything that the report says, as plain data; no secret is in it."""
    records = journal.records()
    if not live:
        records = {name: without_a_run(record) for name, record in records.items()}
    found = journal.findings()
    return {
        "format": FORMAT,
        "version": __version__,
        "written_at": _when(time.time()),
        "host": platform.node(),
        "run_id": journal.run_id,
        "site": site_identity(settings),
        "targets": list(target_addresses(settings).values()),
        "result": _result(records, found),
        "waiting": sum(f.wants_decision for f in found),
        "steps": [
            _step(info.name, info.title, records.get(info.name), _durations(journal, info.name)) for info in STEPS
        ],
        "checklist": [
            {"group": group.title, "items": [_item(item.title, item.steps, item.note, records) for item in group.items]}
            for group in CHECKLIST
        ],
        "findings": [_finding(f) for f in found],
        "history": [
            {"at": _when(at), "step": step, "verb": verb, "what": what, "data": data}
            for _, at, step, verb, what, data in journal.history(limit=100_000)
        ],
    }


def _result(records: Mapping[str, StepRecord], found: list[StoredFinding]) -> str:
    final = records.get(FINAL)
    waiting = sum(f.wants_decision for f in found)
    if waiting:
        return waiting_text(waiting)
    if final is None or final.verdict is None:
        return "not finished: the final verification has not run"
    if not final.verdict.passed and not _all_decided(found):
        return counted(final.verdict.differences, "difference")
    return "done and proved" if final.verdict.passed else "done; the remaining differences were accepted by a person"


def _all_decided(found: list[StoredFinding]) -> bool:
    return all(not f.wants_decision for f in found)


def _step(name: str, title: str, record: StepRecord | None, durations: Mapping[str, float]) -> dict[str, Any]:
    record = record or StepRecord(name)
    facts: dict[str, Any] = {"step": name, "title": title, "state": record.state.value, "error": record.error}
    facts["writes_target"] = BY_NAME[name].writes_target
    facts["durations_s"] = {verb: round(seconds, 3) for verb, seconds in durations.items()}
    facts["outcome"] = None if record.outcome is None else asdict(record.outcome)
    facts["outcome_at"] = _when(record.outcome_at)
    facts["verdict_at"] = _when(record.verdict_at)
    facts["verdict_is_fresh"] = record.verdict_is_fresh
    facts["verdict"] = None
    if record.verdict is not None:
        facts["verdict"] = {**asdict(record.verdict), "passed": record.verdict.passed}
    return facts


def _durations(journal: Journal, step: str) -> dict[str, float]:
    """Seconds that each verb took the last time it ended well."""
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    for _, at, _, verb, what, _ in journal.history(step=step, limit=100_000):
        if what == "started":
            began[verb] = at
        elif what == "ended" and verb in began:
            took[verb] = at - began[verb]
    return took


def _item(title: str, steps: tuple[str, ...], note: str, records: Mapping[str, StepRecord]) -> dict[str, Any]:
    states = [records.get(s, StepRecord(s)).state.value for s in steps]
    return {"title": title, "states": states, "note": note, "available": bool(steps)}


def _finding(stored: StoredFinding) -> dict[str, Any]:
    return {
        "id": stored.id,
        "step": stored.step,
        "status": stored.status.value,
        "waiting": stored.wants_decision,
        "level": stored.finding.level.value,
        "kind": stored.finding.kind.value,
        "code": stored.finding.code,
        "subject": stored.finding.subject,
        "happened": stored.finding.happened,
        "remedy": stored.finding.remedy,
        "details": dict(stored.finding.details),
        "decided_by": stored.decided_by,
        "decided_at": _when(stored.decided_at),
        "reason": stored.reason,
    }


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.chmod(0o600)
    partial.replace(path)
