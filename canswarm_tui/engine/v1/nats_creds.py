"""A NATS credentials file, as `nsc` writes it: the user's JWT, and the seed that signs the server's nonce.

nats-py reads one only with the package nkeys; what that does is a little base32 around an Ed25519 seed.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey

from canswarm_tui.engine.errors import SettingsError

_SECTION: Final = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END [A-Z ]+-{3,}")
_SEED_OF_A_USER: Final = b"\x95\x00"
"""First bytes of a seed whose text begins with SU: a seed (18), of a user (20), five bits each from the left."""


@dataclass(frozen=True, slots=True)
class Credentials:
    jwt: str = field(repr=False)
    key: SigningKey = field(repr=False)

    def user_jwt(self) -> bytes:
        return self.jwt.encode()

    def sign(self, nonce: str) -> bytes:
        """The signature of the server's nonce, in base64."""
        return base64.b64encode(self.key.sign(nonce.encode()).signature)


def read_credentials(path: Path) -> Credentials:
    """Raises `SettingsError` for a file that can't be read or holds no user's JWT and seed."""
    try:
        sections = dict(_SECTION.findall(path.read_text(encoding="ascii")))
        return Credentials(sections["NATS USER JWT"], _signing_key(sections["USER NKEY SEED"]))
    except OSError as exc:
        raise SettingsError(
            "site.nats_creds", f"{path} can't be read ({exc.strerror})", "check site.nats_creds"
        ) from exc
    except (KeyError, ValueError) as exc:
        happened = f"{path} holds no JWT of a user with its seed"
        raise SettingsError("site.nats_creds", happened, "name the .creds file that nsc wrote for v1's user") from exc


def _signing_key(seed: str) -> SigningKey:
    """Two bytes of kind, 32 of the seed, two of CRC-16/XMODEM, in base32. Raises `ValueError`."""
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    whole = int.from_bytes(raw[-2:], "little") == binascii.crc_hqx(raw[:-2], 0)
    if len(raw) != 36 or not raw.startswith(_SEED_OF_A_USER) or not whole:
        raise ValueError("no seed of a user")
    return SigningKey(raw[2:34])
