"""When a question is asked again, and after how long: the one policy for every kind of model.

The SDKs' own retries are off. What they raise becomes a Failure, which knows nothing of them.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

T = TypeVar("T")

#: Called before a wait, with its seconds and why.
OnWait = Callable[[float, str], None]

#: Too early, a conflict or a timeout, too many: the same request may do better later. So may all of 5xx but 501.
AGAIN = (408, 409, 425, 429)


class Failure(Exception):
    """A request that got no answer, told without the SDK that it was made with.

    ``status`` is that of HTTP, or None where there was none; ``words`` are the server's, or the network's.
    """

    def __init__(
        self, words: str, status: int | None = None, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> None:
        super().__init__(words)
        self.words, self.status, self.body = words, status, body
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}

    @property
    def error(self) -> dict[str, Any]:
        """The ``error`` of the body, which both protocols have; empty where it has another shape."""
        body = self.body[0] if isinstance(self.body, list) and self.body else self.body
        error = body.get("error") if isinstance(body, dict) else None
        return error if isinstance(error, dict) else {}

    @property
    def may_pass(self) -> bool:
        """Whether the same request may do better later."""
        if self.error.get("code") == "insufficient_quota":
            return False  # a 429 that means: the account has no money
        return self.status is None or self.status in AGAIN or (self.status >= 500 and self.status != 501)

    @property
    def asked_seconds(self) -> float | None:
        """The seconds that the server asks to wait: from a header, or from Google's RetryInfo in the body."""
        for detail in self.error.get("details") or []:
            if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
                # a Duration as JSON has it, see google/protobuf/duration.proto
                found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay")))
                if found:
                    return float(found[1])
        if found := re.fullmatch(r"\d+(?:\.\d+)?", self.headers.get("retry-after-ms", "").strip()):
            return float(found[0]) / 1000
        return _retry_after(self.headers.get("retry-after", "").strip())


def _retry_after(value: str) -> float | None:
    """Seconds, or a date, see RFC 9110, 10.2.3."""
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True)
class Pace:
    """How often a request is made, and the longest first and any further wait in seconds.

    Where the server names no time, waits grow by two, and each is drawn from the whole of its range ("full jitter"):
    many that failed together do not come back together.
    """

    tries: int = 8
    first: float = 1.0
    longest: float = 30.0
    draw: Callable[[float, float], float] = field(default=random.uniform)

    def wait(self, failed: int, failure: Failure) -> float:
        """Seconds to wait after so many failures."""
        asked = failure.asked_seconds
        if asked is not None:
            return asked + self.draw(0, self.first)
        return self.draw(0, min(self.longest, self.first * 2 ** (failed - 1)))


async def persist(send: Callable[[], Awaitable[T]], pace: Pace, end: float, on_wait: OnWait | None = None) -> T:
    """What ``send`` gives, asked again where that may help; raises the last Failure.

    ``end`` is a time of the event loop: a wait that would last longer is not begun.
    """
    failed = 0
    while True:
        try:
            return await send()
        except Failure as failure:
            failed += 1
            seconds = pace.wait(failed, failure)
            left = end - asyncio.get_running_loop().time()
            if not failure.may_pass or failed >= pace.tries or seconds >= left:
                raise
            why = failure.words
        if on_wait:
            on_wait(seconds, why)
        await asyncio.sleep(seconds)
