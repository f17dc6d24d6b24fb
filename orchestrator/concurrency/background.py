"""Tasks that go on by themselves: held until they are done, and never failing in silence."""

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
        context = contextvars.copy_context()  # of the task and of its end, so that both log about the same job
        task = asyncio.create_task(work, context=context)
        self._running.add(task)
        task.add_done_callback(self._done, context=context)
        return task

    def spawn_once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Begin work unless the work of this name still goes on; return its task. What a clock begins may hang."""
        task = self._named.get(name)
        if task is None:
            task = self._named[name] = self.spawn(work())
            task.add_done_callback(lambda _: self._named.pop(name))
        return task

    async def cancel(self) -> None:
        """End all of them."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task failed", exc_info=task.exception())


class Going:
    """Work that may hang, by name: what goes on is waited for, and never begun a second time beside it."""

    def __init__(self) -> None:
        self._going: dict[str, asyncio.Task[Any]] = {}

    async def within(self, name: str, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """What work gives; raises TimeoutError where that takes longer. It goes on then."""
        task = self._going.get(name)
        if task is None or task.done():
            task = self._going[name] = asyncio.create_task(work())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked for, whoever still waits
        await self.wait(name, seconds)
        if not task.done():
            raise TimeoutError
        result: T = task.result()
        return result

    async def wait(self, name: str, seconds: float) -> None:
        """Return when the work of this name is done, or is none, or the time is over."""
        if task := self._going.get(name):
            await asyncio.wait({task}, timeout=seconds)
