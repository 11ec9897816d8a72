"""An operator, accounts and a user of NATS, as `nsc` makes them: JWTs signed with nkeys, and a credentials file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

_PREFIX = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_NO_LIMITS = dict.fromkeys(
    ("subs", "conn", "leaf", "imports", "exports", "data", "payload", "mem_storage", "disk_storage", "streams",
     "consumer"), -1
)  # fmt: skip


def accounts(folder: Path) -> tuple[list[str], Path]:
    """(lines of a server's configuration, the credentials file of a user of its one account)."""
    operator, system, account, user = (SigningKey.generate() for _ in range(4))
    signed = {
        _name("account", key): _jwt(operator, "operator", key, "account", {"limits": {**limits, "wildcards": True}})
        for key, limits in ((system, {**_NO_LIMITS, "mem_storage": 0, "disk_storage": 0}), (account, _NO_LIMITS))
    }
    of_operator = _jwt(operator, "operator", operator, "operator", {"system_account": _name("account", system)})
    preload = "\n".join(f"{name}: {jwt}" for name, jwt in signed.items())
    lines = [f"operator: {of_operator}", f"system_account: {_name('account', system)}", "resolver: MEMORY",
             f"resolver_preload: {{\n{preload}\n}}"]  # fmt: skip
    of_user = _jwt(account, "account", user, "user", {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}})
    creds = folder / "user.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed_of(user)}\n------END USER NKEY SEED------\n"
    )
    return lines, creds


def seed_of(key: SigningKey) -> str:
    """The seed of a user."""
    kind = (18 << 11) | (_PREFIX["user"] << 3)
    return _base32(kind.to_bytes(2, "big") + bytes(key))


def _name(kind: str, key: SigningKey) -> str:
    return _base32(bytes([_PREFIX[kind]]) + bytes(key.verify_key))


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _jwt(issuer: SigningKey, of: str, subject: SigningKey, kind: str, facts: dict[str, Any]) -> str:
    claims = {"iat": 1_795_000_000, "iss": _name(of, issuer), "name": kind, "sub": _name(kind, subject),
              "nats": {**facts, "type": kind, "version": 2}}  # fmt: skip
    claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
    head, body = (_base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims))
    return f"{head}.{body}.{_base64url(issuer.sign(f'{head}.{body}'.encode()).signature)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
