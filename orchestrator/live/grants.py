"""Signed grants to see a running job. A signature replaces storage.

A link carries a grant to a browser, and a cookie stores it there. Both are signed with a key that never leaves the data
folder. A link's grant is not valid as a cookie or vice versa, nor for another job, service or mode.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from protocol import messages

Mode = Literal["watch", "control"]
Kind = Literal["link", "cookie"]

#: Characters of a desktop's password: the maximum of VNC.
PASSWORD_CHARACTERS = 8

_GRANT = re.compile(
    rf"({'|'.join(get_args(messages.Service))})\.([0-9a-f]{{16}})\.({'|'.join(get_args(Mode))})\.([01])\.([0-9]{{1,12}})"
    r"\.([A-Za-z0-9_-]{43})",
    re.ASCII,
)


@dataclass(frozen=True)
class Grant:
    """Permission to see one service of one job until a time (seconds since the epoch)."""

    job_id: str
    service: messages.Service
    mode: Mode
    until: int
    follow: bool = False  # follow the newest job


class Signer:
    """Signs and verifies with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, kind: Kind, grant: Grant) -> str:
        """Sign a grant as text that is safe in URLs and cookies."""
        text = f"{grant.service}.{grant.job_id}.{grant.mode}.{grant.follow:d}.{grant.until}"
        return f"{text}.{self._digest(kind, text)}"

    def read(self, kind: Kind, text: str) -> Grant | None:
        """Return the grant of a text signed as this kind, expired or not. Returns None for any other text."""
        found = _GRANT.fullmatch(text)
        if not found:
            return None
        service, job_id, mode, follow, until, digest = found.groups()
        if not secrets.compare_digest(digest, self._digest(kind, text.rpartition(".")[0])):
            return None
        return Grant(job_id, service, mode, int(until), follow == "1")  # type: ignore[arg-type]

    def password(self, sandbox_id: str, mode: Mode) -> str:
        """Derive the desktop's VNC password. VNC recognises the viewer's mode by the password."""
        return self._digest("password", f"{sandbox_id}.{mode}")[:PASSWORD_CHARACTERS]

    def _digest(self, kind: str, text: str) -> str:
        made = hmac.digest(self._key, f"{kind}:{text}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")
