"""Tells those who wait that something has changed; they look for themselves what it is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """Rings per job. Who listens before looking misses nothing."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closed = False

    def ring(self, job_id: str) -> None:
        for heard in self._listeners.get(job_id, ()):
            heard.set()

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


async def heard_within(heard: asyncio.Event, seconds: float) -> bool:
    """Wait for a ring, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await heard.wait()
        return True
    except TimeoutError:
        return False
