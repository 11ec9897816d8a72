"""The report as pages for people. Data of a site is shown literally: never as markup of the page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canswarm_tui.engine.text import advice, bytes_text, duration_text, shown

Facts = Mapping[str, Any]
_MAX_ROWS = 10_000


def markdown_page(facts: Facts) -> str:
    """The report in Markdown."""
    return "\n".join(_markdown(facts)) + "\n"


def html_page(facts: Facts) -> str:
    """The report as one HTML file that needs nothing else."""
    body = "\n".join(_html(facts))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>CAN Swarm migration report</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _markdown(facts: Facts) -> Iterator[str]:
    yield "# CAN Swarm migration report"
    yield ""
    yield f"**{literal(facts['result'])}**"
    yield ""
    for name, value in _head(facts):
        yield f"- {name}: {literal(value)}"
    for title, columns, rows in _tables(facts):
        yield ""
        yield f"## {title}"
        yield ""
        if not rows:
            yield "none"
            continue
        yield "| " + " | ".join(columns) + " |"
        yield "|" + " --- |" * len(columns)
        for row in rows[:_MAX_ROWS]:
            yield "| " + " | ".join(literal(cell) for cell in row) + " |"
        if len(rows) > _MAX_ROWS:
            yield f"\n… and {len(rows) - _MAX_ROWS:,} more: all are in report.json"
    yield ""


def _html(facts: Facts) -> Iterator[str]:
    yield "<h1>CAN Swarm migration report</h1>"
    yield f"<p class=result>{html.escape(str(facts['result']))}</p><dl>"
    for name, value in _head(facts):
        yield f"<dt>{html.escape(name)}</dt><dd>{html.escape(shown(value))}</dd>"
    yield "</dl>"
    for title, columns, rows in _tables(facts):
        yield f"<h2>{html.escape(title)}</h2>"
        if not rows:
            yield "<p>none</p>"
            continue
        yield "<table><tr>" + "".join(f"<th>{html.escape(c)}</th>" for c in columns) + "</tr>"
        for row in rows[:_MAX_ROWS]:
            yield "<tr>" + "".join(f"<td>{html.escape(shown(cell))}</td>" for cell in row) + "</tr>"
        yield "</table>"
        if len(rows) > _MAX_ROWS:
            yield f"<p>… and {len(rows) - _MAX_ROWS:,} more: all are in report.json</p>"


def _head(facts: Facts) -> list[tuple[str, str]]:
    site = ", ".join(f"{k.removeprefix('site.')} {v}" for k, v in facts["site"].items())
    return [
        ("Written", f"{facts['written_at']} on {facts['host']} by canswarm-tui {facts['version']}"),
        ("Run", facts["run_id"]),
        ("Site", site),
        ("Targets", "; ".join(facts["targets"])),
        ("Findings that wait for a person", str(facts["waiting"])),
    ]


def _tables(facts: Facts) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    yield "Steps", ("Step", "State", "What was done", "Took", "Throughput"), [_step_row(s) for s in facts["steps"]]
    yield (
        "What was proved",
        ("Step", "Set", "Compared", "Equal", "Different", "Bytes", "Proof", "When"),
        [row for s in facts["steps"] if s["step"] != "verification" for row in _comparison_rows(s)],
    )
    yield "Figures", ("Step", "Figure", "Value"), [row for s in facts["steps"] for row in _figure_rows(s)]
    for group in facts["checklist"]:
        rows = [[i["title"], ", ".join(i["states"]) or i["note"]] for i in group["items"]]
        yield f"Checklist: {group['group']}", ("Item", "State"), rows
    for kind, title in (
        ("difference", "Differences, each by name"),
        ("conflict", "Conflicts"),
        ("quarantine", "Quarantined records"),
        ("condition", "Other findings"),
    ):
        rows = [_finding_row(f) for f in facts["findings"] if f["kind"] == kind]
        yield title, ("Id", "Level", "Status", "Step", "Subject", "What", "Decided"), rows


def _step_row(step: Facts) -> list[str]:
    outcome = step["outcome"] or {}
    took = sum(step["durations_s"].values())
    done = outcome.get("created", 0) or 0
    run_s = step["durations_s"].get("run", 0.0)
    speed = ""
    if step["writes_target"] and done and run_s > 0:
        speed = f"{done / run_s:,.0f}/s"
        if outcome.get("size_bytes"):
            speed += f", {bytes_text(outcome['size_bytes'] / run_s)}/s"
    said = step["error"] or outcome.get("summary") or ""
    return [step["title"], step["state"], said, duration_text(took) if took else "", speed]


def _comparison_rows(step: Facts) -> list[list[str]]:
    older = "" if step["verdict_is_fresh"] else ", older than the last write"
    return [
        [
            step["title"], c["name"], f"{c['compared']:,}", f"{c['equal']:,}", f"{c['compared'] - c['equal']:,}",
            bytes_text(c["size_bytes"]) if c["size_bytes"] else "", c["proof"], f"{step['verdict_at'] or ''}{older}",
        ]
        for c in (step["verdict"] or {}).get("comparisons", ())
    ]  # fmt: skip


def _figure_rows(step: Facts) -> list[list[str]]:
    figures = {**((step["outcome"] or {}).get("figures") or {}), **((step["verdict"] or {}).get("figures") or {})}
    return [[step["title"], name, f"{v:,}" if isinstance(v, int | float) else str(v)] for name, v in figures.items()]


def _finding_row(finding: Facts) -> list[str]:
    decided = ""
    if finding["decided_by"]:
        decided = f"{finding['decided_by']} at {finding['decided_at']}: {finding['reason']}"
    status = "waits for a person" if finding["waiting"] else finding["status"]
    what = advice(finding["happened"], finding["remedy"])
    return [finding["id"], finding["level"], status, finding["step"], finding["subject"], what, decided]


def literal(text: str) -> str:
    """Literal text in a Markdown table cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", shown(str(text)))


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}.result{font-size:1.15rem;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#5a6677}dd{margin:0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde3ea;
vertical-align:top;overflow-wrap:anywhere}th{color:#5a6677;font-weight:600}
@media(prefers-color-scheme:dark){body{color:#dfe6ee;background:#12171e}th,dt{color:#93a1b3}th,td{border-color:#2a3440}}
"""
