"""Who may see what of a running job: grants that are signed, so that nobody has to keep them.

A link carries a grant to a browser, and a cookie keeps it there. Both are signed with a key that never leaves the data
folder; neither is taken for the other, and none is taken for another job, another service or another mode.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import itsdangerous

from protocol import messages

Mode = Literal["watch", "control"]
Kind = Literal["link", "cookie"]

#: Characters of a desktop's password: all that VNC takes.
PASSWORD_CHARACTERS = 8


@dataclass(frozen=True)
class Grant:
    """May be shown one service of one job, until a moment (seconds since the epoch)."""

    job_id: str
    service: messages.Service
    mode: Mode
    until: int
    follow: bool = False  # goes on to the newest job


class Signer:
    """Signs with one key, from which each kind of text gets a key of its own."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, kind: Kind, grant: Grant) -> str:
        """A grant as text, which can stand in a URL or a cookie as it is."""
        text = f"{grant.service}.{grant.job_id}.{grant.mode}.{grant.follow:d}.{grant.until}"
        return self._of(kind).sign(text).decode()

    def read(self, kind: Kind, text: str) -> Grant | None:
        """The grant of a text that we have signed as this kind, whether its time is over or not; None of any other."""
        try:
            service, job_id, mode, follow, until = self._of(kind).unsign(text).decode().split(".")
        except itsdangerous.BadSignature:
            return None
        return Grant(job_id, service, mode, int(until), follow == "1")  # type: ignore[arg-type]

    def password(self, sandbox_id: str, mode: Mode) -> str:
        """The password that the screen itself asks for: by it the screen knows who may type."""
        return self._of("password").get_signature(f"{sandbox_id}.{mode}")[:PASSWORD_CHARACTERS].decode()

    def _of(self, kind: str) -> itsdangerous.Signer:
        # SHA-384 fills 64 characters without spare bits, so each changed character is another signature
        return itsdangerous.Signer(self._key, kind, key_derivation="hmac", digest_method=hashlib.sha384)
