"""Background tasks. Each is kept referenced until it is done, and its failure is logged."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


class Tasks:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._named: dict[str, asyncio.Task[None]] = {}

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        context = contextvars.copy_context()  # shared by the task and its callback, so both log about the same job
        task = asyncio.create_task(work, context=context)
        self._running.add(task)
        task.add_done_callback(self._done, context=context)
        return task

    def spawn_once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Start work unless work of this name still runs, and return its task.

        Use it for work that a clock starts, because such work may hang.
        """
        task = self._named.get(name)
        if task is None:
            task = self._named[name] = self.spawn(work())
            task.add_done_callback(lambda _: self._named.pop(name))
        return task

    async def cancel(self) -> None:
        """Cancel all running tasks and wait for their end."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task failed", exc_info=task.exception())


class Going:
    """Named work that may hang. While work of a name runs, callers wait for it, and no second run starts."""

    def __init__(self) -> None:
        self._going: dict[str, asyncio.Task[Any]] = {}

    async def within(self, name: str, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return the result of work. Raises TimeoutError if it takes longer; the work then goes on."""
        task = self._going.get(name)
        if task is None or task.done():
            task = self._going[name] = asyncio.create_task(work())
            # asyncio complains about an exception that no caller has read
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await self.wait(name, seconds)
        if not task.done():
            raise TimeoutError
        result: T = task.result()
        return result

    async def wait(self, name: str, seconds: float) -> None:
        """Wait until the work of this name is done or the time is over. Without such work, return at once."""
        if task := self._going.get(name):
            await asyncio.wait({task}, timeout=seconds)
