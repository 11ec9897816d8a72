"""Which guided checks are listed: by verdict, backend and words, each turned to its next value by a key."""

from __future__ import annotations

from dataclasses import dataclass, replace

from canswarm_tui.engine.health.facts import Check, CheckVerdict

CARE = "bad or worry"
VERDICTS = ("all", CARE, CheckVerdict.UNKNOWN.value, CheckVerdict.FINE.value)


@dataclass(frozen=True, slots=True)
class CheckFilter:
    """All three must pass."""

    verdict: str = VERDICTS[0]
    backend: str = "all"
    words: str = ""
    """Each must occur somewhere in the check, in any case."""

    def passes(self, check: Check) -> bool:
        wanted = (CheckVerdict.BAD, CheckVerdict.WORRY) if self.verdict == CARE else (self.verdict,)
        if self.verdict != "all" and check.verdict not in wanted:
            return False
        if self.backend not in ("all", check.backend):
            return False
        text = "\0".join(
            (check.id, check.symptom, check.said, check.remedy, check.command, *check.looked_at)
        ).casefold()
        return all(word in text for word in self.words.casefold().split())

    def next_verdict(self) -> CheckFilter:
        return replace(self, verdict=_next(VERDICTS, self.verdict))

    def next_backend(self, backends: tuple[str, ...]) -> CheckFilter:
        return replace(self, backend=_next(("all", *backends), self.backend))

    def with_words(self, words: str) -> CheckFilter:
        return replace(self, words=words)


def _next(values: tuple[str, ...], now: str) -> str:
    return values[(values.index(now) + 1) % len(values)]
