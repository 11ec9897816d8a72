"""What both policy steps say about parity: comparisons, each difference by name, and what v1 itself would refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from canswarm_tui.engine.context import StepContext
from canswarm_tui.engine.rate import Meter
from canswarm_tui.engine.step import Comparison, Figure, Finding, Kind, Level, Progress, Verdict
from canswarm_tui.engine.steps.keyed import Findings
from canswarm_tui.engine.steps.policy_envelopes import Envelopes, LostArtifact, Refused
from canswarm_tui.engine.steps.policy_parity import ALLOW, Decider, Difference, Parity, Question, compare
from canswarm_tui.engine.text import counted, shown
from canswarm_tui.engine.v1.policy import Reason
from canswarm_tui.engine.v2.policy.answer import Answer

PROOF: Final = "decision by decision, reason for reason"
REFUSED_BY_NAME: Final = 200
LOST_BY_NAME: Final = 1000
DIFFERENCES_BY_NAME: Final = 1000
"""Of one comparison: an engine without its rules differs everywhere, and one finding says that better."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine under comparison: `name` as on screens, `code` in findings' codes."""

    name: str
    code: str
    decider: Decider
    threads: int
    tally: Tally = field(default_factory=lambda: Tally())
    """Of everything that this engine was asked."""


@dataclass
class Tally:
    """How often each rule spoke, over several comparisons: by v1's rules, by the engine, by both."""

    v1: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    invented: Counter[str] = field(default_factory=Counter)

    def add(self, parity: Parity) -> None:
        self.v1 += parity.reasons + Counter({ALLOW: parity.allowed})
        self.missed += parity.missed
        self.invented += parity.invented

    def figures(self, engine: str) -> dict[str, Figure]:
        """For `allow` and each reason, in v1's order: `NAME, v1`, `NAME, ENGINE` and `NAME, both`."""
        figures: dict[str, Figure] = {}
        for word in (ALLOW, *(reason.value for reason in Reason)):
            both = self.v1[word] - self.missed[word]
            figures |= {
                f"{word}, v1": self.v1[word], f"{word}, {engine}": both + self.invented[word], f"{word}, both": both,
            }  # fmt: skip
        return figures


class Differences:
    """Names differences, up to a bound; past it one finding has the count."""

    def __init__(self, ctx: StepContext, engine: Engine, what: str) -> None:
        self._findings, self._engine, self._what = Findings(ctx), engine, what
        self._named = self._left_out = self._open = 0

    def add(self, difference: Difference, subject: str, where: str = "") -> None:
        self._open += difference.fails_open
        if self._named >= DIFFERENCES_BY_NAME:
            self._left_out += 1
            return
        self._named += 1
        self._findings.add(_difference(self._engine, difference, subject, where))

    def end(self) -> None:
        if self._left_out:
            total = self._named + self._left_out
            self._findings.add(
                Finding(
                    f"policy.{self._engine.code}_differs_widely", Level.WARNING, Kind.DIFFERENCE, self._what,
                    f"{self._engine.name} differs from v1's rules {total:,} times, {self._open:,} times by allowing;"
                    f" the first {self._named:,} are named",
                    "look at the published rules and data first: they are probably not the ones that you mean",
                )
            )  # fmt: skip
        self._findings.flush()


def conformance(ctx: StepContext, engine: Engine, questions: Iterable[Question], how: str = "") -> Comparison:
    """The conformance set, each difference a finding by the case's name."""
    name = f"conformance set in {engine.name}{how}"
    differences = Differences(ctx, engine, name)
    parity = compare(
        questions, engine.decider, lambda d: differences.add(d, f"{d.question.name}{how}"),
        _Ticker(ctx, f"asking {engine.name}{how}", None), engine.threads,
    )  # fmt: skip
    differences.end()
    engine.tally.add(parity)
    return Comparison(name, PROOF, parity.compared, parity.equal)


def history(ctx: StepContext, engine: Engine, envelopes: Envelopes) -> tuple[Comparison, Parity]:
    """Every envelope of the audit log, each difference a finding by the envelope's id.

    An input that several envelopes share is asked once: their decision-relevant bytes are equal.
    """
    differences = Differences(ctx, engine, "audit log")

    def differs(difference: Difference) -> None:
        for envelope, line in envelopes.named(difference.question):
            differences.add(difference, envelope, f"line {line}")

    tick = _Ticker(ctx, f"asking {engine.name}", envelopes.count)
    parity = compare(envelopes.questions(), engine.decider, differs, tick, engine.threads)
    differences.end()
    engine.tally.add(parity)
    return Comparison(f"envelopes of the audit log in {engine.name}", PROOF, parity.compared, parity.equal), parity


def verdict_of(
    engine: Engine, published: Verdict, comparisons: Iterable[Comparison], envelopes: Envelopes, words: str = ""
) -> Verdict:
    """One verdict: what was published, and every comparison of answers."""
    parts = (*published.comparisons, *comparisons)
    differences = published.differences + sum(one.different for one in parts[len(published.comparisons) :])
    asked = sum(one.compared for one in parts[len(published.comparisons) :])
    equal = _agreement(engine.name, asked, differences - published.differences)
    figures: dict[str, Figure] = {
        "envelopes": envelopes.count, "distinct inputs": envelopes.inputs, "audit lines with one": envelopes.lines,
        "decisions compared": asked, **(engine.tally.figures(engine.name) if asked else {}),
    }  # fmt: skip
    of_what = (
        f" {envelopes.count:,} envelopes of the audit log ({envelopes.inputs:,} distinct inputs) and the"
        " conformance set, reason for reason"
    )
    summary = f"{equal}{of_what if asked else ''}; {counted(differences, 'difference')}{words}"
    if asked and published.differences:
        summary = f"what is published is not what it should be: {published.summary}; {summary}"
    return replace(published, comparisons=parts, differences=differences, summary=summary, figures=figures)


def _agreement(engine: str, asked: int, different: int) -> str:
    if not asked:
        return f"{engine} was not asked"
    return f"v1's rules and {engine} " + ("differ; asked were" if different else "agree on")


def tell_history(ctx: StepContext, envelopes: Envelopes) -> None:
    """Warnings about v1 itself: what it would refuse today, and artifacts that it does not have any more."""
    findings = Findings(ctx)
    refused, applies, first = envelopes.reasons()
    for one in envelopes.refused(REFUSED_BY_NAME):
        findings.add(_refused(one))
    if refused:
        findings.add(_refused_in_all(refused, applies, first))
    lost = left_out = 0
    for artifact in envelopes.lost_artifacts():
        lost += 1
        if lost <= LOST_BY_NAME:
            findings.add(_lost(artifact))
        else:
            left_out += 1
    if left_out:
        findings.add(
            Finding(
                "policy.artifacts_missing", Level.WARNING, Kind.CONDITION, "content store",
                f"{lost:,} artifacts that envelopes name are not there; the first {LOST_BY_NAME:,} are named",
                "restore the content store from a backup of its own before it is migrated",
            )
        )  # fmt: skip
    findings.flush()


class _Ticker:
    """Says how far a comparison is, and ends it when a stop is asked for."""

    def __init__(self, ctx: StepContext, doing: str, total: int | None) -> None:
        self._ctx, self._doing, self._total, self._meter = ctx, doing, total, Meter()

    def __call__(self, done: int) -> None:
        self._ctx.stop.check()
        self._meter.count(done)
        self._ctx.progress(
            Progress(
                self._doing, done, self._total, rate=self._meter.rate(),
                eta_s=None if self._total is None else self._meter.eta_s(self._total),
            )
        )  # fmt: skip


def _difference(engine: Engine, difference: Difference, subject: str, where: str) -> Finding:
    expected, answer = difference.question.expected, difference.answer
    details = {"v1": _words(expected), engine.code: _words(answer), "input": shown(difference.question.input, 2000)}
    if where:
        details["where"] = where
    code = "fails_open" if difference.fails_open else "differs"
    first = ", with another first reason" if difference.first_differs else ""
    happened = f"{engine.name} says {_words(answer)} where v1's rules say {_words(expected)}{first}"
    return Finding(
        f"policy.{engine.code}_{code}", Level.WARNING, Kind.DIFFERENCE, subject, happened,
        "mend the Rego or its data and run the step again, or accept it with a reason", details,
    )  # fmt: skip


def _words(answer: Answer) -> str:
    return "allow" if answer.allow else f"deny ({', '.join(answer.reasons)})"


def _refused(one: Refused) -> Finding:
    return Finding(
        "policy.refused_today", Level.WARNING, Kind.CONDITION, one.name,
        f"v1's policy of today refuses it: {', '.join(one.reasons)}",
        "nothing: it is history, and every engine refuses it alike; look at it if you don't expect it",
        {"line": str(one.line)},
    )  # fmt: skip


def _refused_in_all(refused: int, applies: dict[str, int], first: dict[str, int]) -> Finding:
    reasons = [f"{name} {count:,}" for name, count in first.items() if count]
    details = {name: f"applies to {count:,}, first for {first[name]:,}" for name, count in applies.items() if count}
    named = f"those with more than {Reason.ARTIFACT_NOT_FOUND.value} are named, {REFUSED_BY_NAME} at most"
    return Finding(
        "policy.refused_in_all", Level.WARNING, Kind.CONDITION, "audit log",
        f"v1's policy of today refuses {refused:,} envelopes, by first reason: {', '.join(reasons)}; {named}",
        "nothing: it is history, and every engine refuses it alike", details,
    )  # fmt: skip


def _lost(one: LostArtifact) -> Finding:
    more = f" and {one.times - 1:,} more" if one.times > 1 else ""
    return Finding(
        "policy.artifact_missing", Level.WARNING, Kind.CONDITION, one.artifact,
        f"envelope {one.envelope}{more} names this artifact, and v1's content store does not have it",
        "look for it in a backup of the content store; without it v2 does not have it either",
        {"line": str(one.line)},
    )  # fmt: skip
