"""A close look at v1's bus: the server, the stream and how far each consumer lags behind it. Reads only."""

from __future__ import annotations

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.health.condition import LOOK_TIMEOUT_S, Reading, looked, section, worry
from canswarm_tui.engine.health.facts import Look, Section
from canswarm_tui.engine.http import check_status, http_client, http_errors
from canswarm_tui.engine.place import without_secrets
from canswarm_tui.engine.settings import Settings, SiteSettings
from canswarm_tui.engine.text import shown
from canswarm_tui.engine.v1.bus import bus_close_up

CONSUMERS_SHOWN = 50
CLIENTS_SHOWN = 50


def look(settings: Settings) -> Look:
    """The server, the stream and its consumers."""
    url = settings.site.nats_url
    return looked("nats", without_secrets(url), (url,), lambda: _read(settings))


def _read(settings: Settings) -> Reading:
    site = settings.site
    facts = bus_close_up(site, CONSUMERS_SHOWN)
    clients, connected = _clients(site)
    sections = [
        section(
            "server", version=facts.version, name=facts.server, jetstream=facts.jetstream, connected_clients=clients
        ),
        *connected,
    ]
    address = without_secrets(site.nats_url)
    if facts.stream is None:
        sections.append(section(f"stream {site.stream}", exists="no"))
        remedy = "v1 creates it when it starts; check site.stream"
        return sections, [worry("nats.no_stream", address, f"there is no stream {site.stream}", remedy)]
    stream = facts.stream
    found = section(
        f"stream {site.stream}", messages=stream.messages, size_bytes=stream.size_bytes, first=stream.first,
        last=stream.last, consumers=stream.consumers, subjects=", ".join(stream.subjects),
    )  # fmt: skip
    sections.append(found)
    sections += [
        section(f"consumer {one.name}", lag=one.pending, not_acknowledged=one.ack_pending, delivered=one.delivered)
        for one in facts.consumers
    ]
    worries = [
        worry("nats.lag", one.name, f"it lags {one.pending:,} messages behind", "let it catch up before the freeze")
        for one in facts.consumers
        if one.pending
    ]
    return sections, worries


def _clients(site: SiteSettings) -> tuple[int | str, list[Section]]:
    """How many are connected and who, from the monitoring; the bus itself tells nobody but its system account."""
    if site.nats_monitor is None:
        return "not told: set site.nats_monitor, NATS's monitoring", []
    try:
        with http_client(site.nats_monitor, timeout_s=LOOK_TIMEOUT_S) as http, http_errors("NATS's monitoring"):
            found = check_status(http.get("/connz", params={"limit": CLIENTS_SHOWN})).json()
    except EngineError as exc:
        return f"not told: {exc.happened}", []
    told = tuple(
        (f"client {one.get('cid')}", shown(f"{one.get('ip')}:{one.get('port')} {one.get('name') or ''}".strip(), 120))
        for one in found.get("connections", [])
    )
    return int(found.get("num_connections", len(told))), [Section("connected clients", told)] if told else []
