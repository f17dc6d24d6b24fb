"""The retry policy of all providers.

The SDKs' own retries are off. Their exceptions become a Failure, which is independent of the SDK.
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

from orchestrator.llm import causes
from orchestrator.llm.causes import Cause

T = TypeVar("T")

#: Called before a wait with its seconds and the reason.
OnWait = Callable[[float, str], None]

#: Retryable statuses: too early, conflict, timeout, too many requests. All 5xx except 501 are retryable too.
AGAIN = (408, 409, 425, 429)


class Failure(Exception):
    """A request without an answer, independent of the SDK.

    ``status`` is the HTTP status, or None without a response. ``words`` is the message of the server or the network.
    """

    def __init__(
        self, words: str, status: int | None = None, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> None:
        super().__init__(words)
        self.words, self.status, self.body = words, status, body
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}

    @property
    def error(self) -> dict[str, Any]:
        """The ``error`` object of the body, as in both protocols. Empty if the body has another shape."""
        body = self.body[0] if isinstance(self.body, list) and self.body else self.body
        error = body.get("error") if isinstance(body, dict) else None
        return error if isinstance(error, dict) else {}

    @property
    def said(self) -> str:
        """Everything that may name the cause: the message, the code, the type, the parameter and the quotas."""
        error = self.error
        names = [str(error.get(name) or "") for name in ("code", "type", "status", "param")]
        quotas = [str(detail) for detail in _details(error) if not str(detail).startswith("{'locale")]
        return " ".join([self.words, *names, *quotas])

    @property
    def cause(self) -> Cause:
        """The cause that the server's words name."""
        return causes.found(self.status, self.said)

    @property
    def may_pass(self) -> bool:
        """Return whether a retry may succeed."""
        if self.cause:
            return False
        return self.status is None or self.status in AGAIN or (self.status >= 500 and self.status != 501)

    @property
    def asked_seconds(self) -> float | None:
        """The wait that the server asks for, from the body, a header or its words."""
        for detail in _details(self.error):
            # Google's RetryInfo has a Duration, see google/protobuf/duration.proto
            delay = causes.seconds(str(detail.get("retryDelay") or "")) if isinstance(detail, dict) else None
            if delay is not None:
                return delay
        if found := re.fullmatch(r"\d+(?:\.\d+)?", self.headers.get("retry-after-ms", "").strip()):
            return float(found[0]) / 1000
        if (asked := _retry_after(self.headers.get("retry-after", "").strip())) is not None:
            return asked
        asked = causes.wait(self.words)
        return _reset(self.error, self.headers) if asked is None else asked


def _details(error: dict[str, Any]) -> list[Any]:
    details = error.get("details")
    return details if isinstance(details, list) else []


def _reset(error: dict[str, Any], headers: Mapping[str, str]) -> float | None:
    """Parse X-RateLimit-Reset, a Unix time in seconds or milliseconds. OpenRouter has it in the body."""
    metadata = error.get("metadata")
    inner = metadata.get("headers") if isinstance(metadata, dict) else None
    value = inner.get("X-RateLimit-Reset") if isinstance(inner, dict) else headers.get("x-ratelimit-reset")
    if not re.fullmatch(r"\d{10}(\d{3})?", str(value)):
        return None
    at = int(str(value)) / (1000 if len(str(value)) == 13 else 1)
    return max(0.0, at - datetime.now(UTC).timestamp())


def _retry_after(value: str) -> float | None:
    """Parse Retry-After, which is seconds or a date (RFC 9110, 10.2.3)."""
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
    """The number of attempts, and the maximum first and later waits in seconds.

    Without a time from the server, the maximum doubles after each failure and the wait is random below it ("full
    jitter"). So clients that failed together do not retry together.
    """

    tries: int = 8
    first: float = 1.0
    longest: float = 30.0
    draw: Callable[[float, float], float] = field(default=random.uniform)

    def wait(self, failed: int, failure: Failure) -> float:
        """Return the seconds to wait after this many failures."""
        asked = failure.asked_seconds
        if asked is not None:
            return asked + self.draw(0, self.first)
        return self.draw(0, min(self.longest, self.first * 2 ** (failed - 1)))


async def persist(send: Callable[[], Awaitable[T]], pace: Pace, end: float, on_wait: OnWait | None = None) -> T:
    """Call ``send`` with retries. Raises the last Failure.

    ``end`` is a time of the event loop. A wait beyond it is not started.
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
