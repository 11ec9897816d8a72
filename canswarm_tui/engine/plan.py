"""A plan's hash: what a run would do, to which site and which targets, in one short word that a person can compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from canswarm_tui.engine.place import site_identity, target_addresses
from canswarm_tui.engine.settings import Settings


def plan_hash(settings: Settings, actions: Mapping[str, tuple[str, ...]]) -> str:
    """The first 16 hex digits of the SHA-256 over the actions in order, the site and the targets; no secrets go in."""
    told = json.dumps(
        {
            "site": site_identity(settings),
            "targets": list(target_addresses(settings).values()),
            "actions": [[step, list(lines)] for step, lines in actions.items()],
        },
        sort_keys=True,
    )
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
