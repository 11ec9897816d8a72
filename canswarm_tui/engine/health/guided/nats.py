"""v1's bus: no stream, a consumer that lags."""

from __future__ import annotations

from canswarm_tui.engine.health.facts import Check
from canswarm_tui.engine.health.guided import shell
from canswarm_tui.engine.health.guided.asking import BAD, FINE, WORRY, Answer, Question, ask
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.text import bytes_text, shown
from canswarm_tui.engine.v1.bus import BusCloseUp, bus_close_up

CONSUMERS = 50


def checks(settings: Settings) -> tuple[Check, ...]:
    site = settings.site
    questions: tuple[Question[BusCloseUp], ...] = (
        Question("nats.answers", "NATS does not answer, or refuses us", shell.nats(site, "rtt"), _answers),
        Question("nats.stream", "messages are not kept: no stream",
                 shell.nats(site, "stream", "info", site.stream), lambda seen: _stream(seen, site.stream)),
        Question("nats.lag", "a consumer lags behind",
                 shell.nats(site, "consumer", "report", site.stream), _lag),
    )  # fmt: skip
    return ask("nats", (site.nats_url,), lambda: bus_close_up(site, CONSUMERS), questions)


def _answers(seen: BusCloseUp) -> Answer:
    lines = (f"version {seen.version}, server {shown(seen.server, 80)}", f"JetStream: {seen.jetstream}")
    if seen.jetstream != "yes":
        return Answer(BAD, "it runs without JetStream, so nothing is kept", lines, "start nats-server with -js")
    return Answer(FINE, "it answers, takes our login, and has JetStream", lines)


def _stream(seen: BusCloseUp, name: str) -> Answer:
    stream = seen.stream
    if stream is None:
        remedy = "v1 makes it when it starts; check site.stream, and that JetStream's folder is the one it was"
        return Answer(WORRY, f"there is no stream {name}", (f"stream {name}: not there",), remedy)
    lines = (
        f"stream {name}: {stream.messages:,} messages, {bytes_text(stream.size_bytes)}, "
        f"{stream.first:,} to {stream.last:,}",
        f"subjects {', '.join(stream.subjects) or 'none'}",
    )
    return Answer(FINE, "the stream is there", lines)


def _lag(seen: BusCloseUp) -> Answer:
    lines = tuple(
        f"{shown(one.name, 80)}: {one.pending:,} not delivered, {one.ack_pending:,} delivered and not acknowledged"
        for one in seen.consumers
    ) or ("no consumer",)
    behind = [one for one in seen.consumers if one.pending or one.ack_pending]
    if behind:
        total = sum(one.pending + one.ack_pending for one in behind)
        remedy = "let them catch up before the freeze; one that is not used any more: `nats consumer rm`"
        return Answer(WORRY, f"{len(behind)} of {len(seen.consumers)} lag behind, by {total:,} messages", lines, remedy)
    return Answer(FINE, "nobody lags behind", lines)
