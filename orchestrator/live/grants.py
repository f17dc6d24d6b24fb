"""Who may see what of a running job: grants that are signed, so that nobody has to keep them.

A link carries a grant to a browser, and a cookie keeps it there. Both are signed with a key that never leaves the data
folder; neither is taken for the other, and none is taken for another job, another service or another mode.
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

#: Characters of a desktop's password: all that VNC takes.
PASSWORD_CHARACTERS = 8

_GRANT = re.compile(
    rf"({'|'.join(get_args(messages.Service))})\.([0-9a-f]{{16}})\.({'|'.join(get_args(Mode))})\.([01])\.([0-9]{{1,12}})"
    r"\.([A-Za-z0-9_-]{43})",
    re.ASCII,
)


@dataclass(frozen=True)
class Grant:
    """May be shown one service of one job, until a moment (seconds since the epoch)."""

    job_id: str
    service: messages.Service
    mode: Mode
    until: int
    follow: bool = False  # goes on to the newest job


class Signer:
    """Signs with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, kind: Kind, grant: Grant) -> str:
        """A grant as text, which can stand in a URL or a cookie as it is."""
        text = f"{grant.service}.{grant.job_id}.{grant.mode}.{grant.follow:d}.{grant.until}"
        return f"{text}.{self._digest(kind, text)}"

    def read(self, kind: Kind, text: str) -> Grant | None:
        """The grant of a text that we have signed as this kind, whether its time is over or not; None of any other."""
        found = _GRANT.fullmatch(text)
        if not found:
            return None
        service, job_id, mode, follow, until, digest = found.groups()
        if not secrets.compare_digest(digest, self._digest(kind, text.rpartition(".")[0])):
            return None
        return Grant(job_id, service, mode, int(until), follow == "1")  # type: ignore[arg-type]

    def password(self, sandbox_id: str, mode: Mode) -> str:
        """The password that the screen itself asks for: by it the screen knows who may type."""
        return self._digest("password", f"{sandbox_id}.{mode}")[:PASSWORD_CHARACTERS]

    def _digest(self, kind: str, text: str) -> str:
        made = hmac.digest(self._key, f"{kind}:{text}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")
