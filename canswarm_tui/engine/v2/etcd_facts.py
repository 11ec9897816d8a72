"""What an etcd cluster says of itself: for the preflight and the diagnostics. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.unknown_fields import UnknownFieldSet

from canswarm_tui.engine.errors import EngineError
from canswarm_tui.engine.v2.etcd_client import EtcdClient
from canswarm_tui.engine.v2.etcd_connection import Message
from canswarm_tui.engine.v2.etcd_stubs import rpc

DEFAULT_QUOTA_BYTES = 2 * 1024**3
_QUOTA_FIELD = 12
"""`StatusResponse.dbSizeQuota`, new in etcd 3.6 and unknown to our stubs (etcd's `rpc.proto`)."""
_ALARMS = {1: "NOSPACE", 2: "CORRUPT"}


@dataclass(frozen=True, slots=True)
class EtcdMember:
    name: str
    client_urls: tuple[str, ...]
    is_leader: bool
    is_learner: bool


@dataclass(frozen=True, slots=True)
class EtcdFacts:
    """Of the member that answered, at one instant. Sizes are in bytes."""

    endpoint: str
    version: str
    cluster_id: int
    revision: int
    leader: str | None
    """The leader's name; None: the cluster has none, or it may not be asked for its members."""
    has_leader: bool
    raft_term: int
    raft_index: int
    db_size_bytes: int
    db_in_use_bytes: int
    quota_bytes: int | None
    """None: etcd before 3.6 does not say; its default is `DEFAULT_QUOTA_BYTES`."""
    alarms: tuple[str, ...]
    """`NOSPACE` or `CORRUPT`, with the member's number: such as `NOSPACE on ac7d…`."""
    members: tuple[EtcdMember, ...]
    auth_enabled: bool | None
    """None: etcd does not tell us."""
    errors: tuple[str, ...]
    """What the member itself calls wrong."""

    @property
    def version_tuple(self) -> tuple[int, ...]:
        """The version as numbers, for comparing: (3, 6, 16)."""
        return tuple(int(part) for part in self.version.split("-")[0].split("+")[0].split(".") if part.isdigit())


def read_facts(client: EtcdClient) -> EtcdFacts:
    """Ask a member that answers; raises `Unreachable` or `Refused`."""
    status = client.read("Status", rpc.StatusRequest())
    alarms = client.read("Alarm", rpc.AlarmRequest(action=rpc.AlarmRequest.GET)).alarms
    members = tuple(
        EtcdMember(m.name, tuple(m.clientURLs), status.leader == m.ID, m.isLearner)
        for m in client.read("MemberList", rpc.MemberListRequest()).members
    )
    return EtcdFacts(
        endpoint=client.endpoint,
        version=status.version,
        cluster_id=status.header.cluster_id,
        revision=status.header.revision,
        leader=next((m.name for m in members if m.is_leader), None),
        has_leader=status.leader != 0,
        raft_term=status.raftTerm,
        raft_index=status.raftIndex,
        db_size_bytes=status.dbSize,
        db_in_use_bytes=status.dbSizeInUse,
        quota_bytes=_quota(status),
        alarms=tuple(f"{_ALARMS.get(a.alarm, a.alarm)} on {a.memberID:x}" for a in alarms),
        members=members,
        auth_enabled=_auth_enabled(client),
        errors=tuple(status.errors),
    )


def may_write(client: EtcdClient, key: bytes) -> None:
    """Raises `Refused` if the user may not write `key`. Writes nothing.

    etcd checks the rights for both branches of a transaction before it looks which one to take.
    """
    never = rpc.Compare(key=key, target=rpc.Compare.VERSION, result=rpc.Compare.LESS, version=0)
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=key))
    client.read("Txn", rpc.TxnRequest(compare=[never], success=[put]))


def _quota(status: Message) -> int | None:
    fields: Message = UnknownFieldSet(status)
    for field in fields:
        if field.field_number == _QUOTA_FIELD and isinstance(field.data, int):
            return field.data
    return None


def _auth_enabled(client: EtcdClient) -> bool | None:
    try:
        return bool(client.read("AuthStatus", rpc.AuthStatusRequest()).enabled)
    except EngineError:
        # Only root may ask when it is on, and before 3.5 nobody can; not knowing is no failure.
        return None
