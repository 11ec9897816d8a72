"""A Rego module cut into its rules, and which of them speak for each of v1's reasons. Reads text, runs nothing.

A rule begins at a line that is not indented and ends before the next such line that begins another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from canswarm_tui.engine.v1.policy import Reason

_NAME = re.compile(r"(?:default\s+)?([A-Za-z_]\w*)")
_WORD = re.compile(r"[A-Za-z_]\w*")
_NO_RULE: Final = frozenset({"package", "import"})

V1_RULES: Final[Mapping[str, str]] = {
    "allow": "the envelope passes every check below; v1 stops at the first that fails",
    Reason.SIGNATURE_INVALID: "1. the Ed25519 signature holds over the canonical JSON without its two fields",
    Reason.PAYLOAD_HASH_INVALID: "2. payload_hash is the SHA-256 of the canonical payload",
    Reason.LAMPORT_NOT_POSITIVE: "3. lamport is an integer greater than 0",
    Reason.POLICY_HASH_NOT_CURRENT: "4. policy_engine_hash is the hash of the policy in force",
    Reason.KIND_NOT_ALLOWED: "5. kind is one of the allowed kinds",
    Reason.PAYLOAD_TOO_LARGE: "6. the canonical payload is at most max_payload_bytes long",
    Reason.COMMIT_WITHOUT_ARTIFACT: "7. a COMMIT has payload.artifact_hash",
    Reason.ARTIFACT_NOT_FOUND: "8. an artifact_hash that is not null names a blob in the content store",
}
"""What v1 asks, in its order, in words."""

DIFFERENCES: Final[Mapping[str, str]] = {
    "allow": "Rego looks at every rule and gives all reasons; v1 gives the first. Anything missing denies",
    Reason.SIGNATURE_INVALID: "the host verifies, Rego reads the fact signature_valid",
    Reason.PAYLOAD_HASH_INVALID: "the host hashes, Rego reads the fact payload_hash_valid",
    Reason.LAMPORT_NOT_POSITIVE: "Rego can't tell 1 from 1.0: the host says that it was written as an integer",
    Reason.POLICY_HASH_NOT_CURRENT: "the host compares, Rego reads the fact policy_hash_current",
    Reason.KIND_NOT_ALLOWED: "the kinds are data of the version, not part of the rule",
    Reason.PAYLOAD_TOO_LARGE: "the host measures; the bound is data of the version, not part of the rule",
    Reason.COMMIT_WITHOUT_ARTIFACT: "fact and envelope must agree that an artifact is named",
    Reason.ARTIFACT_NOT_FOUND: "the host looks for the blob; fact and envelope must agree that one is named",
}
"""How our own Rego says it differently."""


@dataclass(frozen=True, slots=True)
class RegoRule:
    """`first` and `last` are line numbers from 1, inclusive."""

    name: str
    first: int
    last: int
    text: str


def rules_of(module: str) -> list[RegoRule]:
    """The rules of a module in the order of their lines; comments and blank lines between them belong to none."""
    lines = module.split("\n")
    starts = [number for number, line in enumerate(lines) if _begins_rule(line)]
    ends = [*starts[1:], len(lines)][: len(starts)]
    return [_rule(lines, first, end) for first, end in zip(starts, ends, strict=True)]


def counterpart(rules: list[RegoRule], word: str) -> list[RegoRule]:
    """The rules that give this reason (or are named so, for `allow`), then those that they lean on, each once."""
    quoted = f'"{word}"'
    begin = [r for r in rules if (r.name == word if word == "allow" else quoted in _code(r.text))]
    found = list(begin)
    if word != "allow":
        for rule in found:
            found.extend(r for r in _leant_on(rules, rule) if r not in found)
    return found


def _leant_on(rules: list[RegoRule], rule: RegoRule) -> Iterator[RegoRule]:
    words = set(_WORD.findall(_code(rule.text))) - {rule.name}
    yield from (r for r in rules if r.name in words or (r.name == rule.name != "reasons"))


def _begins_rule(line: str) -> bool:
    found = _NAME.match(line)
    return found is not None and found[1] not in _NO_RULE


def _rule(lines: list[str], first: int, end: int) -> RegoRule:
    last = end
    while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].startswith("#")):
        last -= 1
    name = _NAME.match(lines[first])
    assert name is not None
    return RegoRule(name[1], first + 1, last, "\n".join(lines[first:last]))


def _code(text: str) -> str:
    """Without whole lines of comment."""
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
