"""The servers that end-to-end tests share, and places on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from canswarm_tui.sandbox.servers import Server
from tests.conftest import V1_SITE
from tests.end_to_end.places import Place, Servers, load_redis, make_place


@pytest.fixture
def servers(clean_redis: str, nats_url: str, etcd_endpoint: str, minio: Server, ipfs_api: str, opa_url: str) -> Servers:
    return Servers(clean_redis, nats_url, etcd_endpoint, minio, ipfs_api, opa_url)


@pytest.fixture
def new_place(servers: Servers, tmp_path: Path) -> Callable[..., Place]:
    """Makes places on the shared servers: the real v1 site, or the one given; its decisions are in Redis."""

    def make(name: str, site: Path = V1_SITE) -> Place:
        load_redis(site, servers.redis)
        return make_place(tmp_path / name, site, servers)

    return make
