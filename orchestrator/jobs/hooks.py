"""Named events of a job's life, each with any number of subscribers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, ParamSpec

from orchestrator.db.models import Job

P = ParamSpec("P")

log = logging.getLogger(__name__)


class Hook(Generic[P]):
    """One event. Subscribers are called in the order in which they subscribed.

    The work that emits the event waits for each of them, so a subscriber with long work starts a task of its own. If
    one fails, the log says so, and the others are called all the same.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._subscribers: list[Callable[P, Awaitable[None] | None]] = []

    def subscribe(self, call: Callable[P, Awaitable[None] | None]) -> None:
        self._subscribers.append(call)

    async def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for call in self._subscribers:
            try:
                waits = call(*args, **kwargs)
                if waits is not None:
                    await waits
            except Exception:
                log.exception("a subscriber of %s failed", self.name)


class Hooks:
    """All events. The comment says when each is emitted."""

    def __init__(self) -> None:
        self.room_needed = Hook[[]]("room_needed")  # the disk is short, and a job is about to start
        self.sandbox_started = Hook[[str]]("sandbox_started")  # by its id; also where the start failed
        self.job_settling = Hook[[str]]("job_settling")  # by its id, before it is decided how the job ends
        self.job_ended = Hook[[Job]]("job_ended")  # the job has its final state, and its slot is free
