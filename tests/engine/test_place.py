"""What a run locks: the same server under another name is the same target."""

from __future__ import annotations

import pytest

from canswarm_tui.engine.place import target_locks
from canswarm_tui.engine.settings import EtcdSettings, IpfsSettings, OpaSettings, S3Settings, Settings


def of(host: str) -> Settings:
    return Settings(
        etcd=EtcdSettings(endpoints=(f"http://{host}:2379",)),
        s3=S3Settings(endpoint=f"http://{host}:9000"),
        ipfs=IpfsSettings(api=f"http://{host}:5001"),
        opa=OpaSettings(url=f"http://{host}:8181"),
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "[::1]", "127.0.0.2"])
def test_this_machine_is_one_target_under_all_its_names(host: str) -> None:
    assert target_locks(of(host)) == target_locks(of("127.0.0.1"))


def test_another_port_bucket_or_prefix_is_another_target() -> None:
    locks = target_locks(of("127.0.0.1"))
    other = Settings(
        etcd=EtcdSettings(prefix="/other/"), s3=S3Settings(bucket="other"), opa=OpaSettings(url="http://127.0.0.1:8182")
    )
    for name in ("etcd", "s3", "opa"):
        assert not set(locks[name]) & set(target_locks(other)[name])


def test_clusters_that_share_a_member_are_one_target_and_a_name_that_nobody_knows_stands_for_itself() -> None:
    def cluster(*hosts: str) -> set[str]:
        urls = tuple(f"http://{host}:2379" for host in hosts)
        return set(target_locks(Settings(etcd=EtcdSettings(endpoints=urls)))["etcd"])

    assert cluster("192.0.2.1", "192.0.2.2") & cluster("192.0.2.2", "192.0.2.3")
    assert any("nobody.invalid:2379" in lock for lock in cluster("nobody.invalid"))
