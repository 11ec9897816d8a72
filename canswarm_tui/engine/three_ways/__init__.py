"""One record compared three ways: the site's value, the target's, and the journal's receipt; read now, written never.

Each step has a module of its own, imported when it is asked, so that a caller loads only the clients that it needs.
"""

from canswarm_tui.engine.three_ways.compare import HINTS, compare_three_ways, key_of, keys_from
from canswarm_tui.engine.three_ways.values import Held, Likeness, Pair, ThreeWays

__all__ = ["HINTS", "Held", "Likeness", "Pair", "ThreeWays", "compare_three_ways", "key_of", "keys_from"]
