"""Ops for tests: strategies for any sequence of them, and a plain reading of v1's rules to compare with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from canswarm_tui.engine.v2.plan_document.rows import EdgeRow, Row, TaskRow
from canswarm_tui.engine.v2.plan_document.store import Tools, prepare, publish
from canswarm_tui.engine.v2.plan_document.target import PlanTarget, site_actor

ACTOR = site_actor(b"a site")


def op(place: int, op_type: str = "ANNOTATE", task_id: str = "global", lamport: int = 1, **payload: object) -> Row:
    return (place, f"op-{place}", f"thread-{place % 3}", lamport, "actor", op_type, task_id, json.dumps(payload), place)


def target(folder: Path, partitions: int = 0) -> PlanTarget:
    return PlanTarget(folder / "plan_automerge.bin", folder / "plan_automerge", ACTOR, partitions)


def tools(folder: Path, name: str = "scratch") -> Tools:
    scratch = folder / name
    scratch.mkdir(exist_ok=True)
    return Tools(scratch)


def migrate(to: PlanTarget, rows: Iterable[Row], with_tools: Tools) -> None:
    publish(prepare(to, rows, with_tools))


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
tasks = st.sampled_from(["t1", "t2", "t3", "ü", "global", "nul\0"])
lamports = st.integers(-3, 12) | st.integers(-(2**63), 2**63 - 1)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    kind = draw(st.sampled_from(["ADD_TASK", "STATE", "LINK", "ANNOTATE", "REQUIRES", "PRODUCES"]))
    if kind == "STATE":
        return kind, {"state": draw(st.sampled_from(["DRAFT", "DECIDED", "VERIFIED", "FINAL"]))}
    if kind == "LINK":
        return kind, {"parent": draw(tasks), "child": draw(tasks)}
    if kind == "ADD_TASK":
        return kind, draw(st.sampled_from([{}, {"type": "worker"}, {"type": None}, {"type": "größe"}]))
    return kind, {"n": draw(st.floats(allow_nan=False) | st.integers() | st.none() | texts)}


@st.composite
def op_sequences(draw: st.DrawFn) -> list[Row]:
    """Ops in v1's order: rowids with gaps, tied and falling lamports, tasks that span threads."""
    rows: list[Row] = []
    place = 0
    for number in range(draw(st.integers(0, 25))):
        place += draw(st.integers(1, 4))
        kind, payload = draw(payloads())
        thread = draw(st.sampled_from(["a", "b", "c", "d", "é"]))
        text = json.dumps(payload, ensure_ascii=draw(st.booleans()))
        stamp = draw(st.integers(0, 2**63 - 1))
        rows.append((place, f"{draw(texts)}{number}", thread, draw(lamports), "key=", kind, draw(tasks), text, stamp))
    return rows


def v1_tables(rows: Iterable[Row]) -> tuple[list[TaskRow], list[EdgeRow]]:
    """Tasks and edges by V1_FORMAT's rules, in plain Python, sorted as v1's keys are."""
    made: dict[str, TaskRow] = {}
    edges: set[EdgeRow] = set()
    for _, _, thread, lamport, _, kind, task, text, _ in rows:
        payload = json.loads(text)
        if kind == "ADD_TASK":
            made.setdefault(task, (task, thread, payload.get("type"), "DRAFT", lamport))
        elif kind == "STATE":
            old = made.setdefault(task, (task, thread, None, "DRAFT", 0))
            if lamport > old[4]:
                made[task] = (*old[:3], payload["state"], lamport)
        elif kind == "LINK":
            edges.add((payload["parent"], payload["child"]))
    return [made[t] for t in sorted(made, key=str.encode)], sorted(edges, key=lambda e: (e[0].encode(), e[1].encode()))
