"""Signed grants to see a running job. A signature replaces storage.

A link carries a grant to a browser, and a cookie stores it there. Both are signed with a key that never leaves the data
folder. A link's grant is not valid as a cookie or vice versa, nor for another job, service or mode.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import itsdangerous

from protocol import messages

Mode = Literal["watch", "control"]
Kind = Literal["link", "cookie"]

#: Characters of a desktop's password: the maximum of VNC.
PASSWORD_CHARACTERS = 8


@dataclass(frozen=True)
class Grant:
    """Permission to see one service of one job until a time (seconds since the epoch)."""

    job_id: str
    service: messages.Service
    mode: Mode
    until: int
    follow: bool = False  # follow the newest job


class Signer:
    """Signs and verifies with one key, from which each kind of text gets a key of its own."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, kind: Kind, grant: Grant) -> str:
        """Sign a grant as text that is safe in URLs and cookies."""
        text = f"{grant.service}.{grant.job_id}.{grant.mode}.{grant.follow:d}.{grant.until}"
        return self._of(kind).sign(text).decode()

    def read(self, kind: Kind, text: str) -> Grant | None:
        """Return the grant of a text signed as this kind, expired or not. Returns None for any other text."""
        try:
            service, job_id, mode, follow, until = self._of(kind).unsign(text).decode().split(".")
        except itsdangerous.BadSignature:
            return None
        return Grant(job_id, service, mode, int(until), follow == "1")  # type: ignore[arg-type]

    def sign_session(self, until: int, api_key: bytes) -> str:
        """Sign the time until which a browser is logged in. With another API key, the text is invalid."""
        return self._of("session", api_key).sign(str(until)).decode()

    def read_session(self, text: str, api_key: bytes) -> int | None:
        """Return the time of a signed session, or None for any other text."""
        try:
            return int(self._of("session", api_key).unsign(text))
        except itsdangerous.BadSignature:
            return None

    def password(self, sandbox_id: str, mode: Mode) -> str:
        """Derive the desktop's VNC password. VNC recognises the viewer's mode by the password."""
        return self._of("password").get_signature(f"{sandbox_id}.{mode}")[:PASSWORD_CHARACTERS].decode()

    def _of(self, kind: str, more: bytes = b"") -> itsdangerous.Signer:
        # SHA-384 fills 64 characters without spare bits, so each changed character is another signature
        return itsdangerous.Signer(self._key, kind.encode() + more, key_derivation="hmac", digest_method=hashlib.sha384)
