"""Tells those who wait that something has changed; they look for themselves what it is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Notifier:
    """Rings per job. Who listens before looking misses nothing."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._rings: Counter[str] = Counter()  # of those that somebody listens to
        self.closed = False

    def ring(self, job_id: str) -> None:
        if listeners := self._listeners.get(job_id):
            self._rings[job_id] += 1
            for heard in listeners:
                heard.set()

    def rings(self, job_id: str) -> int:
        """How often it has rung since somebody listens without a break: where that is the same, nothing is new."""
        return self._rings[job_id]

    def close(self) -> None:
        """Wake all who listen, for good: the system stops."""
        self.closed = True
        for job_id in self._listeners:
            self.ring(job_id)

    @contextmanager
    def listening(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each ring; clear it, look, then wait for it."""
        heard = asyncio.Event()
        self._listeners[job_id].add(heard)
        try:
            yield heard
        finally:
            self._listeners[job_id].discard(heard)
            if not self._listeners[job_id]:
                del self._listeners[job_id]
                self._rings.pop(job_id, None)


async def wait_until(
    notifier: Notifier, job_id: str, condition: Callable[[], Awaitable[T]], deadline: float | None = None
) -> T | None:
    """Return what a condition gives as soon as that is true. It is asked now and after each ring of a job's notifier.

    Returns None if the deadline (a time of ``time.monotonic()``) passes first, or the system stops.
    """
    with notifier.listening(job_id) as heard:
        while True:
            heard.clear()
            if found := await condition():
                return found
            left = None if deadline is None else deadline - time.monotonic()
            if notifier.closed or (left is not None and left <= 0):
                return None
            await heard_within(heard, left)


async def heard_within(heard: asyncio.Event, seconds: float | None) -> bool:
    """Wait for a ring, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await heard.wait()
        return True
    except TimeoutError:
        return False
