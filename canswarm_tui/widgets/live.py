"""What runs now, in at most three lines: counts, rate as a sparkline, bytes, time left, and why it waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from canswarm_tui.engine.probe import SERVERS
from canswarm_tui.engine.text import bytes_text, duration_text, shown
from canswarm_tui.model import RunModel, title_of
from canswarm_tui.widgets.step_facts import figure_text

_BARS = "▁▂▃▄▅▆▇█"


PHASE_SERVERS: Mapping[str, tuple[str, ...]] = {
    "preflight": SERVERS, "documentation": (), "v1-tests": (), "backup": ("redis", "nats"),
    "blobs-minio": ("minio",), "blobs-ipfs": ("minio", "ipfs", "etcd"), "decisions": ("redis", "etcd"),
    "plan-store": ("automerge",), "policy-opa": ("opa",), "policy-wasm": ("opa",), "verification": SERVERS,
}  # fmt: skip
"""Those that a step talks to."""


ELSEWHERE = "Another process holds the run: what it does is shown when it says so."
STARTING = "Working. What is done is shown once a step says so; s stops it at a safe point."
LOOKING_ON = "Nothing runs. This interface only looks on: start it without --observe to run a step."


def live_text(model: RunModel, step: str | None = None, limited: str = "", idle: str = "") -> str:
    """The lines for the model as it is; `step` is the one that the screen is about, if it is about one.

    `limited` tells the rate limit where the step obeys one, `idle` what can be done where nothing runs.
    """
    if model.trouble:
        return f"The journal can't be read, so nothing here is sure: {shown(model.trouble, 300)}"
    if model.running is None:
        return _waiting_text(model, step, limited, idle)
    name, verb = model.running
    title = title_of(name)
    head = f"{'Stopping' if model.stopping else 'Running'}: {title} ({verb.value})"
    progress = model.progress
    if model.retries:
        head += f"   retries {model.retries:,}"
    if limited and name == step:
        head += f"   {limited}"
    if progress is None:
        return head
    of = "" if progress.total is None else f" of {progress.total:,}"
    parts = [f"{shown(progress.doing)} {progress.done:,}{of}"]
    if progress.done_bytes:
        whole = f" of {bytes_text(progress.total_bytes)}" if progress.total_bytes else ""
        parts.append(f"{bytes_text(progress.done_bytes)}{whole}")
    if progress.rate is not None:
        parts.append(f"{progress.rate:,.0f}/s {sparkline(tuple(model.rates))}".rstrip())
    left = "unknown" if progress.eta_s is None else duration_text(progress.eta_s)
    # Not to be broken between two lines.
    parts.append(f"time left {left}".replace(" ", "\N{NO-BREAK SPACE}"))
    lines = [head, "   ".join(parts)]
    if progress.figures:
        lines.append("   ".join(f"{shown(n, 30)} {figure_text(n, v)}" for n, v in progress.figures.items()))
    if model.waiting:
        lines.append(f"Waiting: {shown(model.waiting, 300)}")
    return "\n".join(lines)


def _waiting_text(model: RunModel, step: str | None, limited: str, idle: str) -> str:
    """Where no step is known to run: what can be done, and what ended the last work or what it said."""
    if model.elsewhere:
        return ELSEWHERE if model.observe else f"{ELSEWHERE} s asks it to stop."
    if model.starting:
        return STARTING
    if model.observe:
        return LOOKING_ON
    if idle:
        can = idle
    elif step is not None:
        can = "Nothing runs. r runs or resumes, p says what that would do." + (f"   {limited}" if limited else "")
    else:
        can = "Nothing runs. Enter opens an item, r runs it, a runs all that is pending."
    if model.failure:
        return f"The last work ended: {shown(model.failure, 240)}\n{can}"
    return f"{can}\nSaid last: {shown(model.said, 140)}" if model.said else can


def bar_text(model: RunModel, width: int) -> str:
    """A bar over the whole width where the total is known, if only in bytes, with its percentage; empty otherwise."""
    progress = model.progress
    if model.running is None or progress is None:
        return ""
    if progress.total:
        share = min(1.0, progress.done / progress.total)
    elif progress.total_bytes and progress.done_bytes:
        share = min(1.0, progress.done_bytes / progress.total_bytes)
    else:
        return ""
    cells = max(1, width - 5)
    full = int(share * cells)
    return f"{'█' * full}{'░' * (cells - full)} {share:4.0%}"


def health_text(model: RunModel, names: Sequence[str] = SERVERS, width: int = 200) -> str:
    """One line: each of the servers with a sign, trouble first in words, and how long it took where that has room."""
    if not names:
        return ""
    if not any(name in model.health for name in names):
        return "servers: looking…"
    known = [seen for name in names if (seen := model.health.get(name)) is not None]
    troubles = [f"✗ {seen.name} {seen.error.happened}" for seen in known if seen.error is not None]
    well = [seen for seen in known if seen.error is None]
    text = shown("  ".join([*troubles, *(f"✓ {seen.name} {seen.took_ms:.0f} ms" for seen in well)]), 400)
    return text if len(text) <= width else shown("  ".join([*troubles, *(f"✓ {seen.name}" for seen in well)]), 400)


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The last values as bars, the largest the highest."""
    last = values[-width:]
    top = max(last, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BARS[min(len(_BARS) - 1, int(v / top * (len(_BARS) - 1)))] for v in last)
