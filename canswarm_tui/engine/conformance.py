"""The conformance set of the policy, as data: named inputs that reach every rule and boundary, and every way to lie.

Pure: it says nothing about what the answers are. That is for v1's rules to say; every engine is then held against
them. An input is {"envelope": {kind, lamport, payload}, "facts": {…}}, see `envelope.rego`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

KINDS: Final = (
    "ATTEST", "CLAIM", "COMMIT", "DECIDE", "FINAL", "FINALIZE", "NEED", "PLAN", "PROPOSE", "RELEASE", "YIELD",
)  # fmt: skip
ODD_KINDS: Final = ("GOSSIP", "", "need", "NEED ", " NEED", "NEED\0", "ΝEED", "COMMITS", "commit", "*", "x" * 300)
LIMITS: Final = (65536, 1048576)
"""Of a payload in bytes, in the two versions of the policy."""
SIZES: Final = (0, 1, 2**31, 2**53, 2**63, *(limit + step for limit in LIMITS for step in (-1, 0, 1)))
ODD_SIZES: Final[tuple[Json, ...]] = (-1, -65536, 0.5, 65535.5, -0.5, "100", "65536", True)

LAMPORTS: Final = (1, 2, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63)
ODD_LAMPORTS: Final[tuple[Json, ...]] = (
    0, -1, -(2**63), 0.5, 1.5, -0.5, "1", "", True, False, None, [], [1], {}, {"value": 1}, 1e-300,
)  # fmt: skip
WHOLE_FLOATS: Final = (1.0, 2.0**60, 1.5e300)
"""Only v1's fact tells them from integers, so a host that gave them a good fact would be wrong, not the rules."""
ARTIFACT: Final = "ab" * 32
ARTIFACTS: Final[tuple[Json, ...]] = (
    ARTIFACT,
    "",
    "AB" * 32,
    "x",
    0,
    1,
    1.5,
    True,
    False,
    [],
    [ARTIFACT],
    {},
    {"a": 1},
)
"""What a payload may call its artifact; anything but null names one."""
ODD_PAYLOADS: Final[tuple[Json, ...]] = (0, 1, True, False, "", "artifact_hash", [], ["x"])
WRONG: Final[tuple[Json, ...]] = (None, True, False, 0, 1, -1, 0.5, "", "true", "NEED", [], [True], {}, {"a": True})
"""Values of every JSON type, put in the place of each field."""

FACT_NAMES: Final = (
    "signature_valid", "payload_hash_valid", "lamport_positive", "policy_hash_current", "payload_size_bytes",
    "artifact_named", "artifact_present",
)  # fmt: skip
_FIELDS: Final = (
    ("envelope",), ("envelope", "kind"), ("envelope", "lamport"), ("envelope", "payload"),
    ("envelope", "payload", "artifact_hash"), ("facts",), *(("facts", name) for name in FACT_NAMES),
)  # fmt: skip
_TRUTHS: Final = ("signature_valid", "payload_hash_valid", "lamport_positive", "policy_hash_current")


@dataclass(frozen=True, slots=True)
class Case:
    """One input by name. `must_deny`: a fact is missing, so that no policy at all may allow it."""

    name: str
    input: Json
    must_deny: bool = False


def conformance_set() -> Iterator[Case]:
    """Every case, always the same and in the same order; names are unique."""
    yield from _kinds()
    yield from _sizes()
    yield from _lamports()
    yield from _artifacts()
    yield from _roots()
    for base_name, base in (("NEED", envelope_input()), ("COMMIT", commit_input())):
        yield from _deleted(base_name, base)
        yield from _mistyped(base_name, base)
    yield from _combinations()


def envelope_input(
    kind: Json = "NEED", lamport: Json = 1, payload: Json = None, facts: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """An input that every version allows, but for what is given; `payload` None is an empty object."""
    all_facts: dict[str, Json] = {
        "signature_valid": True,
        "payload_hash_valid": True,
        "lamport_positive": True,
        "policy_hash_current": True,
        "payload_size_bytes": 2,
        "artifact_named": False,
        "artifact_present": False,
    }
    inner: dict[str, Json] = {"kind": kind, "lamport": lamport, "payload": {} if payload is None else payload}
    return {"envelope": inner, "facts": {**all_facts, **(facts or {})}}


def commit_input() -> dict[str, Json]:
    """A COMMIT with an artifact that is there."""
    return envelope_input("COMMIT", 1, {"artifact_hash": ARTIFACT}, {"artifact_named": True, "artifact_present": True})


def _kinds() -> Iterator[Case]:
    for kind in (*KINDS, *ODD_KINDS):
        yield Case(f"kind {kind!r}", envelope_input(kind))
        named = {"artifact_named": True, "artifact_present": True}
        yield Case(f"kind {kind!r} with an artifact", envelope_input(kind, 1, {"artifact_hash": ARTIFACT}, named))


def _sizes() -> Iterator[Case]:
    for size in (*SIZES, *ODD_SIZES):
        for kind in ("NEED", "FINAL"):
            yield Case(f"{kind} of size {size!r}", envelope_input(kind, facts={"payload_size_bytes": size}))


def _lamports() -> Iterator[Case]:
    for lamport in (*LAMPORTS, *ODD_LAMPORTS):
        yield Case(f"lamport {lamport!r}, by its fact good", envelope_input(lamport=lamport))
    for lamport in (*LAMPORTS, *ODD_LAMPORTS, *WHOLE_FLOATS):
        facts: dict[str, Json] = {"lamport_positive": False}
        yield Case(f"lamport {lamport!r}, by its fact bad", envelope_input(lamport=lamport, facts=facts))


def _artifacts() -> Iterator[Case]:
    payloads: list[tuple[str, Json]] = [("none", {}), ("null", {"artifact_hash": None}), ("elsewhere", {"other": 1})]
    payloads += [(f"{value!r}", {"artifact_hash": value}) for value in ARTIFACTS]
    payloads += [(f"in a payload {value!r}", value) for value in ODD_PAYLOADS]
    for kind, (name, payload) in itertools.product(("NEED", "COMMIT", "GOSSIP"), payloads):
        for named, present in itertools.product((True, False), repeat=2):
            facts: dict[str, Json] = {"artifact_named": named, "artifact_present": present}
            case = f"{kind} with artifact {name}, named {named}, present {present}"
            yield Case(case, envelope_input(kind, 1, payload, facts))
    null = envelope_input()
    _place(null, ("envelope", "payload"), None)
    yield Case("NEED with payload null", null)


def _roots() -> Iterator[Case]:
    for value in WRONG:
        yield Case(f"input {value!r}", value, must_deny=True)
    good = envelope_input()
    yield Case("only an envelope", {"envelope": good["envelope"]}, must_deny=True)
    yield Case("only facts", {"facts": good["facts"]}, must_deny=True)
    yield Case("an envelope without its frame", good["envelope"], must_deny=True)
    yield Case("facts and envelope exchanged", {"envelope": good["facts"], "facts": good["envelope"]}, must_deny=True)
    crowded = copy.deepcopy(good)
    for path in (("more",), ("envelope", "facts"), ("facts", "allow"), ("envelope", "payload", "allow")):
        _place(crowded, path, True)
    yield Case("fields that nobody asked for", crowded)
    yield Case("allow in the input", {"allow": True, "reasons": [], "decision": {"allow": True}}, must_deny=True)


def _deleted(base_name: str, base: dict[str, Json]) -> Iterator[Case]:
    for path in _FIELDS:
        yield Case(f"{base_name} without {'.'.join(path)}", _without(base, path), must_deny="facts" in path)
    for first, second in itertools.combinations(_FIELDS, 2):
        both = _without(_without(base, second), first)
        name = f"{base_name} without {'.'.join(first)} and {'.'.join(second)}"
        yield Case(name, both, must_deny="facts" in first or "facts" in second)


def _mistyped(base_name: str, base: dict[str, Json]) -> Iterator[Case]:
    for path, value in itertools.product(_FIELDS, WRONG):
        changed = copy.deepcopy(base)
        _place(changed, path, value)
        yield Case(f"{base_name} with {'.'.join(path)} {value!r}", changed, must_deny=path == ("facts",))


def _combinations() -> Iterator[Case]:
    artifacts: tuple[tuple[str, Json, bool, bool], ...] = (
        ("none", {}, False, False),
        ("there", {"artifact_hash": ARTIFACT}, True, True),
        ("lost", {"artifact_hash": ARTIFACT}, True, False),
    )
    truths = itertools.product((True, False), repeat=len(_TRUTHS))
    sizes = (2, 65537, 1048577)
    for holds, kind, size, (name, payload, named, present) in itertools.product(
        truths, ("NEED", "COMMIT", "PLAN", "GOSSIP"), sizes, artifacts
    ):
        facts: dict[str, Json] = dict(zip(_TRUTHS, holds, strict=True))
        facts |= {"payload_size_bytes": size, "artifact_named": named, "artifact_present": present}
        lamport = 1 if facts["lamport_positive"] else 0
        signs = "".join("+" if one else "-" for one in holds)
        yield Case(f"{signs} {kind} of {size} bytes, artifact {name}", envelope_input(kind, lamport, payload, facts))


def _place(root: dict[str, Json], path: tuple[str, ...], value: Json) -> None:
    inner = root
    for name in path[:-1]:
        step = inner[name]
        assert isinstance(step, dict)
        inner = step
    inner[path[-1]] = value


def _without(root: dict[str, Json], path: tuple[str, ...]) -> dict[str, Json]:
    """A copy without the field; the same where it is not there."""
    changed = copy.deepcopy(root)
    inner: Json = changed
    for name in path[:-1]:
        inner = inner.get(name) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner.pop(path[-1], None)
    return changed
