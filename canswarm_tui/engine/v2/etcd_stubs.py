"""etcd3 on today's protobuf: its client with the current gRPC stubs of aetcd under it.

etcd3 0.12 carries stubs generated in 2019. Protobuf 4 and later refuse them, unless it runs as pure Python, which is
ten times slower for the whole process. aetcd carries stubs of the same services, generated anew; put under the names
that etcd3 imports, they make its whole interface work at full speed. That must happen before the first
`import etcd3`, so everything here takes etcd3, its messages and grpc from this module.
"""

from __future__ import annotations

import importlib
import os
import sys

# gRPC's C core would write its own lines across the screen; what matters comes as an exception.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from aetcd.rpc import auth_pb2, kv_pb2, rpc_pb2, rpc_pb2_grpc

_UNDER = {
    "etcd3.etcdrpc.auth_pb2": auth_pb2,
    "etcd3.etcdrpc.kv_pb2": kv_pb2,
    "etcd3.etcdrpc.rpc_pb2": rpc_pb2,
    "etcd3.etcdrpc.rpc_pb2_grpc": rpc_pb2_grpc,
}
for _name, _module in _UNDER.items():
    sys.modules.setdefault(_name, _module)

etcd3 = importlib.import_module("etcd3")
"""The etcd3 package."""
rpc = importlib.import_module("etcd3.etcdrpc")
"""etcd's messages and service stubs: `rpc.RangeRequest`, `rpc.MaintenanceStub`, …"""

__all__ = ["etcd3", "grpc", "rpc"]
