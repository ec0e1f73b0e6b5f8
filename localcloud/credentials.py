"""Access keys of the cloud: the owner's, random and kept in the state folder, and those of roles, which guests get from IMDS."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

_KEY_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Credentials:
    """An access key. `principal` is the ARN of the user or role session; empty for the owner, who may do everything."""

    access_key: str
    secret_key: str
    token: str = ""
    principal: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r})"


def ensure_owner(path: Path) -> Credentials:
    """Return the owner's access key; create it, readable by the owner only, if the file does not exist."""
    if not path.exists():
        access_key = "AKIA" + "".join(secrets.choice(_KEY_CHARACTERS) for _ in range(16))
        new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        new.touch(0o600, exist_ok=False)
        new.write_text(json.dumps({"access_key": access_key, "secret_key": secrets.token_urlsafe(30)}))
        with contextlib.suppress(FileExistsError):
            os.link(new, path)  # the first of two processes wins
        new.unlink()
    return read_owner(path)


def read_owner(path: Path) -> Credentials:
    """Return the owner's access key. Raises OSError or ValueError if there is none."""
    values = json.loads(path.read_text())
    return Credentials(str(values["access_key"]), str(values["secret_key"]))


def proof(owner: Credentials, nonce: str, body: bytes) -> str:
    """Return what only the owner's cloud can reply to a nonce: an HMAC over it and the reply's body."""
    return hmac.new(owner.secret_key.encode(), nonce.encode() + b"\n" + body, hashlib.sha256).hexdigest()
