"""Tasks that go on by themselves: held until they are done, and never failing in silence."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        context = contextvars.copy_context()  # of the task and of its end, so that both log about the same job
        task = asyncio.create_task(work, context=context)
        self._running.add(task)
        task.add_done_callback(self._done, context=context)

    async def cancel(self) -> None:
        """End all of them."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task failed", exc_info=task.exception())
