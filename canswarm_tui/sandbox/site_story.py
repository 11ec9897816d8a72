"""What happens in one thread of the demonstration site: its messages and the ops that they leave, both in order.

Pure and deterministic: the story of thread `i` follows from the seed and `i` alone, so several processes can tell them.
Every thread has 11 ops. Threads 0 to 15 hold every trap that real sites hold; then the sixteen repeat.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from canswarm_tui.engine.v1.envelope import Json

OPS_A_THREAD: Final = 11
PERIOD: Final = 16
DEFAULT_NEED: Final = "default-need"

FIRST_LAMPORT: Final = 101
"""Below it is the history of older versions."""
_STRIDE: Final = 16
"""Lamport values kept for a thread; v1 leaves gaps, too."""
_START_NS: Final = 1_795_400_000_000_000_000
_THREAD_NS: Final = 90_000_000
_MESSAGE_NS: Final = 4_000_000
_TYPES: Final = ("classify", "generic", "résumé→要約")
_NUMBERS: Final[dict[str, Json]] = {
    "beyond_2_53": 2**53 + 1,
    "beyond_2_64": 2**64 + 1,
    "negative": -(2**53) - 1,
    "floats": [0.1, -0.0, 1e22, 5e-324, 1.0],
    "nested": [[], [None, [True, {"δ": None}]], {"": []}],
    "text": 'naïve 🐝 \u2028 \\ " \t',
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the thread; `role` is the last part of its subject."""

    kind: str
    role: str
    payload: Json
    lamport: int
    ts_ns: int
    ids: tuple[str, str]
    """Envelope id and nonce."""


@dataclass(frozen=True, slots=True)
class OpRow:
    """One row of `ops`, without thread and actor; its payload is still a value."""

    op_id: str
    lamport: int
    op_type: str
    task_id: str
    payload: Json
    timestamp_ns: int


@dataclass(slots=True)
class Story:
    """One thread. `decision` is what its DECIDE left in Redis, if it had one."""

    index: int
    thread_id: str
    task_id: str
    need_id: str
    rng: random.Random
    actor: str
    artifact: str
    """Hash of the blob that its COMMIT names."""
    neighbour_task: str
    """The first task of the thread before."""
    lamport: int
    ts_ns: int
    messages: list[Message] = field(default_factory=list)
    ops: list[OpRow] = field(default_factory=list)
    decision: dict[str, Json] | None = None

    def uuid(self) -> str:
        return _uuid(self.rng)

    def say(self, kind: str, payload: dict[str, Json]) -> None:
        """The next message; the ops that follow have its lamport."""
        self.lamport += 1
        self.ts_ns += _MESSAGE_NS
        ids = (self.uuid(), self.uuid())
        self.messages.append(Message(kind, kind.lower(), payload, self.lamport, self.ts_ns, ids))

    def op(self, op_type: str, task_id: str, payload: dict[str, Json], lamport: int | None = None) -> None:
        stamp = self.ts_ns + 500_000 + len(self.ops)
        row = OpRow(self.uuid(), self.lamport if lamport is None else lamport, op_type, task_id, payload, stamp)
        self.ops.append(row)

    def note(self, task_id: str, kind: str, payload: dict[str, Json]) -> None:
        self.op("ANNOTATE", task_id, {"annotation_type": kind, **payload})

    @property
    def now_ns(self) -> int:
        return self.ts_ns + 400_000


def identities(seed: int, index: int) -> tuple[random.Random, str, str]:
    """The random numbers of a thread after its first two: its thread id and its first task's id."""
    rng = random.Random(f"canswarm site {seed} thread {index}")
    return rng, _uuid(rng), _uuid(rng)


def tell(seed: int, index: int, actor: str, artifact: str) -> Story:
    """The story of thread `index`, from 0; `artifact` is the hash of the blob that it commits."""
    rng, thread_id, task_id = identities(seed, index)
    neighbour = identities(seed, index - 1)[2] if index else task_id
    lamport = FIRST_LAMPORT + index * _STRIDE
    ts_ns = _START_NS + index * _THREAD_NS
    story = Story(index, thread_id, task_id, _uuid(rng), rng, actor, artifact, neighbour, lamport, ts_ns)
    _VARIANTS.get(index % PERIOD, plain)(story)
    return story


def last_lamport(threads: int) -> int:
    """What v1's clock shows after so many threads."""
    return FIRST_LAMPORT + threads * _STRIDE


def plain(story: Story) -> None:
    """NEED, PROPOSE, CLAIM, COMMIT, three ATTEST, DECIDE, FINALIZE."""
    _begin(story)
    _attest(story, 3)
    _decide(story)
    _finalize(story, story.task_id)


def odd_need(story: Story) -> None:
    """A need id with `:`, `/`, spaces and letters beyond ASCII."""
    story.need_id = f"zone:{story.index}/größe 要 {story.index}"
    plain(story)


def default_need(story: Story) -> None:
    """The need that everybody forgets to name is decided once; later threads go on without a decision."""
    story.need_id = DEFAULT_NEED
    plain(story) if story.index < PERIOD else bootstrap(story)


def bootstrap(story: Story) -> None:
    """An old planner: a proposal for `global`, and FINALIZE of a task that no ADD_TASK made."""
    story.say("NEED", {"task": "classify", "data": "sample input"})
    story.op("ADD_TASK", story.task_id, {"type": "generic", "requires": [], "produces": []})
    other = story.uuid()
    _propose(story, "global", other)
    _claim(story, other)
    _commit(story, other)
    _attest(story, 5, other)
    _finalize(story, other, {"reason": "bootstrap_k1", "verifier": "verifier-1"})


def unknown_task(story: Story) -> None:
    """A CLAIM without a task id is noted for `unknown`."""
    _need(story)
    _propose(story, story.need_id, story.task_id)
    story.say("CLAIM", {"lease_ttl": story.rng.randrange(30, 600)})
    story.note("unknown", "claim", _claim_note(story, 300))
    _commit(story, story.task_id)
    _attest(story, 3)
    _decide(story)
    _finalize(story, story.task_id)


def linked(story: Story) -> None:
    """An edge from the task of the thread before."""
    _begin(story)
    _attest(story, 2)
    _decide(story)
    story.lamport += 1
    ends: dict[str, Json] = {"parent": story.neighbour_task, "child": story.task_id}
    story.op("LINK", story.neighbour_task, ends)
    _finalize(story, story.task_id)


def late_op(story: Story) -> None:
    """An op that comes last with a small lamport, and changes nothing for that reason."""
    _begin(story)
    early = story.lamport
    _attest(story, 2)
    _decide(story)
    _finalize(story, story.task_id)
    story.op("STATE", story.task_id, {"state": "VERIFIED"}, early)


def state_before_task(story: Story) -> None:
    """STATE is inserted before an ADD_TASK with a smaller lamport: the type stays NULL, as insertion order wants it."""
    story.op("STATE", story.task_id, {"state": "VERIFIED"}, story.lamport + 2)
    _begin(story)
    _attest(story, 2)
    _decide(story)
    _finalize(story, story.task_id)


def numbers(story: Story) -> None:
    """Payloads with what JSON can hold and programmes stumble over."""
    _begin(story, _NUMBERS)
    _attest(story, 3)
    _decide(story)
    _finalize(story, story.task_id, _NUMBERS)


def unfinished(story: Story) -> None:
    """Still open: seven attestations, no decision, no FINALIZE."""
    _begin(story)
    _attest(story, 7)


def every_op_type(story: Story) -> None:
    """REQUIRES and PRODUCES, which make no task, and the state VERIFIED."""
    _need(story)
    story.op("REQUIRES", story.task_id, {"requires": ["label", "größe"]})
    story.op("PRODUCES", story.uuid(), {"produces": ["label"]})
    _propose(story, story.need_id, story.task_id)
    _claim(story, story.task_id)
    _commit(story, story.task_id)
    story.lamport += 1
    story.op("STATE", story.task_id, {"state": "VERIFIED"})
    _decide(story)
    _finalize(story, story.task_id)


def foreign_task(story: Story) -> None:
    """Finalizes the task of another thread: one task's ops come from two threads."""
    _begin(story)
    _attest(story, 3)
    _decide(story)
    _finalize(story, story.neighbour_task)


_VARIANTS: Final[dict[int, Callable[[Story], None]]] = {
    1: odd_need,
    2: default_need,
    3: bootstrap,
    4: unknown_task,
    5: linked,
    6: late_op,
    7: state_before_task,
    8: numbers,
    9: unfinished,
    10: every_op_type,
    11: foreign_task,
}


def _begin(story: Story, extra: dict[str, Json] | None = None) -> None:
    _need(story)
    _propose(story, story.need_id, story.task_id, extra)
    _claim(story, story.task_id)
    _commit(story, story.task_id)


def _need(story: Story) -> None:
    kind = _TYPES[story.rng.randrange(3)]
    wants: dict[str, Json] = {"requires": [], "produces": ["label"]}
    story.say("NEED", {"need_id": story.need_id, "task_type": kind, **wants})
    story.op("ADD_TASK", story.task_id, {"type": kind, **wants})


def _propose(story: Story, noted_for: str, task_id: str, extra: dict[str, Json] | None = None) -> None:
    plan: list[Json] = [{"task_id": task_id, "type": "worker", "n": story.rng.random() * 1e6, **(extra or {})}]
    named: dict[str, Json] = {"proposal_id": _proposal_id(story), "plan": plan}
    story.say("PROPOSE", {"need_id": story.need_id, **named} if noted_for != "global" else {"plan": plan})
    story.note(noted_for, "proposal", {**named, "proposer": story.actor, "metadata": {}})


def _claim(story: Story, task_id: str) -> None:
    lease = story.rng.randrange(30, 600)
    story.say("CLAIM", {"task_id": task_id, "lease_ttl": lease})
    story.note(task_id, "claim", _claim_note(story, lease))


def _claim_note(story: Story, lease: int) -> dict[str, Json]:
    return {"claim_id": story.uuid(), "claimer": story.actor, "lease_ttl": lease, "claimed_at": story.now_ns}


def _commit(story: Story, task_id: str) -> None:
    what: dict[str, Json] = {"artifact_hash": story.artifact}
    story.say("COMMIT", {"task_id": task_id, **what, "commit_id": _commit_id(story)})
    note: dict[str, Json] = {"commit_id": _commit_id(story), **what}
    story.note(task_id, "commit", {**note, "committer": story.actor, "committed_at": story.now_ns})


def _attest(story: Story, times: int, task_id: str | None = None) -> None:
    task = task_id or story.task_id
    commit: dict[str, Json] = {"commit_id": _commit_id(story)}
    for _ in range(times):
        story.say("ATTEST", {"task_id": task, **commit, "proposal_id": _proposal_id(story), "need_id": story.need_id})
        who: dict[str, Json] = {"attester": story.actor, "verdict": "approved", "attested_at": story.now_ns}
        story.note(task, "attestation", {"attestation_id": story.uuid(), **commit, **who})


def _decide(story: Story) -> None:
    choice: dict[str, Json] = {"need_id": story.need_id, "proposal_id": _proposal_id(story), "epoch": 1}
    story.say("DECIDE", {"task_id": story.task_id, **choice, "k_plan": 1})
    story.op("STATE", story.task_id, {"state": "DECIDED"})
    story.note(story.task_id, "decide", {**choice, "k_plan": 1, "decider": story.actor, "decided_at": story.now_ns})
    who: dict[str, Json] = {"k_plan": 1, "decider_id": story.actor, "timestamp_ns": story.now_ns}
    story.decision = {**choice, "lamport": story.lamport, **who}


def _finalize(story: Story, task_id: str, metadata: dict[str, Json] | None = None) -> None:
    facts: dict[str, Json] = {"metadata": metadata or {"ok": True, "δ": None}}
    story.say("FINALIZE", {"task_id": task_id, **facts})
    story.op("STATE", task_id, {"state": "FINAL"})
    story.note(task_id, "finalize", {"finalized_by": story.actor, "finalized_at": story.now_ns, **facts})


def _proposal_id(story: Story) -> str:
    return str(uuid.uuid5(uuid.UUID(story.thread_id), "proposal"))


def _commit_id(story: Story) -> str:
    return str(uuid.uuid5(uuid.UUID(story.thread_id), "commit"))


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
