"""The result of a check and its inputs. A check is a coroutine function of a Case and never blocks the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from orchestrator.db.store import DAY, Store
from orchestrator.engines.base import Engine, Facts
from orchestrator.files.job_files import JobFiles
from orchestrator.live.grants import Signer
from orchestrator.llm import Models
from orchestrator.settings import Settings

T = TypeVar("T")

#: Threads for the checks alone, so that a hanging disk delays nothing else.
THREADS = 4


@dataclass(frozen=True)
class Finding:
    """The result of a check. ``warning``: it works, but needs attention; ``failed``: jobs are affected."""

    result: Literal["ok", "warning", "failed"]
    detail: str
    to_do: str = ""


def clock() -> float:
    """Return a number that changes only when the clock is set. It is not affected by sleep."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Case:
    """The system under examination."""

    settings: Settings
    store: Store
    engine: Engine
    job_files: JobFiles
    models: Models
    signer: Signer
    # Both ask the engine. They raise EngineError, also after a timeout.
    facts: Callable[[], Awaitable[Facts]]
    image_id: Callable[[], Awaitable[str]]
    clock: float = field(default_factory=clock)  # at start
    stopped: bool = False
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "diagnosis"))

    async def on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def not_tried() -> Finding:
    """Return the result of a check whose prerequisite another check found missing."""
    return Finding("warning", "Skipped: the engine or the image has a fault.", "Fix it first.")


def lasting(seconds: float) -> str:
    """Format a duration in its natural unit."""
    for unit, length in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
