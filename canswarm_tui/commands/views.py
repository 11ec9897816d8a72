"""The journal as plain data and as text: what `run`, `status`, `findings` and the JSON objects show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from canswarm_tui.commands.face import Face
from canswarm_tui.engine.checklist import STEPS
from canswarm_tui.engine.checks import FACT, TITLES, checked_of
from canswarm_tui.engine.journal import Journal, Json, StepRecord, StepState, StoredFinding, without_a_run
from canswarm_tui.engine.place import Place
from canswarm_tui.engine.text import shown, waiting_text


def run_view(place: Place, *, live: bool = False) -> dict[str, Any]:
    """Everything about one run, from its journal alone; a site that has none yet gives empty steps.

    `live`: a run holds the site now, so that what the journal has running does run.
    """
    if not place.journal.exists():
        steps = [step_view(StepRecord(i.name)) for i in STEPS]
        return {"run_id": None, "steps": steps, "checks": checks_view(None), "findings": [], "waiting": 0}
    journal = Journal.observe(place.journal)
    try:
        records = journal.records()
        if not live:
            records = {name: without_a_run(record) for name, record in records.items()}
        found = journal.findings()
        return {
            "run_id": journal.run_id,
            "steps": [step_view(records.get(i.name, StepRecord(i.name))) for i in STEPS],
            "checks": checks_view(journal.step("preflight").fact(FACT)),
            "findings": [finding_view(f) for f in found],
            "waiting": sum(f.wants_decision for f in found),
            "counts": _counts(found),
            "paths": {"journal": str(place.journal), "log": str(place.log), "reports": str(place.reports)},
        }
    finally:
        journal.close()


def checks_view(fact: Json) -> list[dict[str, Any]]:
    """Preflight's checks in their order; `came_out` is null for one that was not made yet."""
    made = checked_of(fact)
    return [
        {"check": name, "title": title, "came_out": None}
        if name not in made
        else {"check": name, "title": title, "came_out": made[name].word, "at": when(made[name].at)}
        for name, title in TITLES.items()
    ]


def step_view(record: StepRecord) -> dict[str, Any]:
    title = next(i.title for i in STEPS if i.name == record.step)
    verdict = record.verdict
    return {
        "step": record.step,
        "title": title,
        "state": record.state.value,
        "changed_at": when(record.changed_at),
        "outcome": None if record.outcome is None else asdict(record.outcome),
        "verdict": None if verdict is None else {**asdict(verdict), "passed": verdict.passed},
        "verdict_at": when(record.verdict_at),
        "verdict_is_fresh": record.verdict_is_fresh,
        "error": record.error,
    }


def finding_view(stored: StoredFinding) -> dict[str, Any]:
    finding = stored.finding
    return {
        "id": stored.id,
        "step": stored.step,
        "code": finding.code,
        "level": finding.level.value,
        "kind": finding.kind.value,
        "status": stored.status.value,
        "wants_decision": stored.wants_decision,
        "subject": finding.subject,
        "happened": finding.happened,
        "remedy": finding.remedy,
        "details": dict(finding.details),
        "first_seen": when(stored.first_seen),
        "last_seen": when(stored.last_seen),
        "decided_by": stored.decided_by,
        "decided_at": when(stored.decided_at),
        "reason": stored.reason,
    }


def write_summary(face: Face, view: Mapping[str, Any]) -> None:
    """The run as a short table, for people."""
    for step in view["steps"]:
        face.write(f"{step['state']:<16} {step['title']:<38} {shown(_said(step))}".rstrip())
    counts = view.get("counts") or {}
    if counts:
        face.write("findings: " + ", ".join(_numbered(n, name) for name, n in counts.items() if n))
    if view["waiting"]:
        face.write(f"{waiting_text(view['waiting'])}: `canswarm-tui findings`")


def _said(step: Mapping[str, Any]) -> str:
    """What is to be said of a step in its state: why it stopped, what was proved, or what was done."""
    verdict, outcome = (step["verdict"] or {}).get("summary", ""), (step["outcome"] or {}).get("summary", "")
    if step["error"]:
        return str(step["error"])
    if step["state"] == StepState.NOT_STARTED:
        return ""
    unlike = step["verdict_is_fresh"] and not step["verdict"]["passed"]
    if unlike or step["state"] in (StepState.PROVED, StepState.NEEDS_ATTENTION):
        return str(verdict or outcome)
    return str(outcome or verdict)


def when(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _numbered(number: int, name: str) -> str:
    return f"{number:,} {name.removesuffix('s') if number == 1 else name}"


def _counts(found: list[StoredFinding]) -> dict[str, int]:
    counts = {"notes": 0, "warnings": 0, "blockers": 0, "waiting for a person": 0, "decided": 0}
    for stored in found:
        if stored.wants_decision:
            counts["waiting for a person"] += 1
        elif stored.finding.needs_person:
            counts["decided"] += 1
        else:
            counts[f"{stored.finding.level.value}s"] += 1
    return counts
