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

    The work that emits the event waits for each subscriber, so a subscriber with long work starts a task of its own.
    If a subscriber fails, its error is logged, and the others are still called.
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
    """All events. The comment beside each event says when it is emitted."""

    def __init__(self) -> None:
        self.room_needed = Hook[[]]("room_needed")  # the disk is short, and a job is about to start
        self.sandbox_started = Hook[[str]]("sandbox_started")  # with the sandbox's ID; also after a failed start
        self.job_settling = Hook[[str]]("job_settling")  # with the job's ID, before its outcome is decided
        self.job_ended = Hook[[Job]]("job_ended")  # the job has its final state, and its slot is free
