"""What a step's comparison gives back before step, key and time are added to it."""

from __future__ import annotations

from dataclasses import dataclass

from canswarm_tui.engine.three_ways.values import Held, Pair


@dataclass(frozen=True, slots=True)
class Sides:
    """One record on its three sides; see `ThreeWays`."""

    noun: str
    site: Held
    target: Held
    receipt: Held
    pairs: tuple[Pair, Pair, Pair]
    notes: tuple[str, ...] = ()
