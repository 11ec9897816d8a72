"""Preflight's look across two sources: the decisions that the audit log names, and those that Redis has.

v1 decides in Redis first and publishes then, and its keys never expire: a DECIDE without its key is a lost decision,
or this is not the site's Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from canswarm_tui.engine.step import Finding, Kind, Level
from canswarm_tui.engine.steps.audit_pass import decided_needs
from canswarm_tui.engine.steps.preflight.survey import NAMED_AT_MOST, Survey, warning
from canswarm_tui.engine.v1.decisions import absent
from canswarm_tui.engine.v1.redis_client import connect_redis, redis_address

_BATCH = 1000


def decided(survey: Survey) -> Iterator[Finding]:
    """Each need that was decided by the log has its key in Redis; one that needs a person where most lack it."""
    settings = survey.ctx.settings.site
    client, address, needs = connect_redis(settings), redis_address(settings), decided_needs(survey.ctx)
    named = gone = 0
    lost: list[bytes] = []
    try:
        while batch := list(islice(needs, _BATCH)):
            survey.ctx.stop.check()
            named += len(batch)
            without = absent(client, address, batch)
            gone += len(without)
            lost += without[: NAMED_AT_MOST - len(lost)]
    finally:
        client.close()
    survey.figures |= {"needs decided by the audit log": named, "of them without a decision in Redis": gone}
    if gone * 2 > named:
        yield Finding(
            "decision.most_lost", Level.WARNING, Kind.QUARANTINE, address,
            f"the audit log names {named:,} decided needs, and Redis has no decision for {gone:,} of them",
            "check site.redis_url and its database number; accept it with a reason if the decisions are lost for good",
        )  # fmt: skip
        return
    yield from (_lost(need, address) for need in lost)
    if gone > len(lost):
        yield warning(
            "decision.lost.more", f"{gone:,} decided needs", f"{len(lost)} are named, the others are like them",
            "see the audit log's export: each of its DECIDE envelopes names its need",
        )  # fmt: skip


def _lost(need: bytes, address: str) -> Finding:
    return warning(
        "decision.lost", need.decode("utf-8", "backslashreplace"),
        f"the audit log has it decided, and {address} has no decision for it",
        "restore its key from a copy of Redis if there is one: v1 itself no longer has it",
    )  # fmt: skip
