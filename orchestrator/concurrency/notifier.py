"""Wakes waiting tasks when a job has changed. The tasks then look up the change themselves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Notifier:
    """Rings for each job. A task that listens before it looks misses no change."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._rings: Counter[str] = Counter()  # only of jobs with listeners
        self.closed = False

    def ring(self, job_id: str) -> None:
        if listeners := self._listeners.get(job_id):
            self._rings[job_id] += 1
            for heard in listeners:
                heard.set()

    def rings(self, job_id: str) -> int:
        """Return how often a job has rung since it has had listeners without a break.

        While the number is the same, nothing is new.
        """
        return self._rings[job_id]

    def close(self) -> None:
        """Wake all listeners for good, because the system stops."""
        self.closed = True
        for job_id in self._listeners:
            self.ring(job_id)

    @contextmanager
    def listening(self, job_id: str) -> Iterator[asyncio.Event]:
        """Give an event that each ring sets. Clear it, look, then wait for it."""
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
    """Return the result of a condition as soon as it is true. Check it now and after each ring for the job.

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
    """Wait for a ring, at most this many seconds, and return whether it came. None waits without a limit."""
    try:
        async with asyncio.timeout(seconds):
            await heard.wait()
        return True
    except TimeoutError:
        return False
