"""What a check finds, and what it has to look at. A check is a coroutine function of a case; it blocks no loop."""

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

#: Threads of the checks' own: a disk that hangs holds up nothing else.
THREADS = 4


@dataclass(frozen=True)
class Finding:
    """What a check found. ``warning``: it works, but look at it; ``failed``: jobs suffer."""

    result: Literal["ok", "warning", "failed"]
    detail: str
    to_do: str = ""


def clock() -> float:
    """The same for as long as nobody sets the clock; it goes on while the machine sleeps."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Case:
    """The system that is looked at."""

    settings: Settings
    store: Store
    engine: Engine
    job_files: JobFiles
    models: Models
    signer: Signer
    # both ask the engine, and raise EngineError, also where it takes too long
    facts: Callable[[], Awaitable[Facts]]
    image_id: Callable[[], Awaitable[str]]
    clock: float = field(default_factory=clock)  # as it was at the start
    stopped: bool = False
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "diagnosis"))

    async def on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def not_tried() -> Finding:
    """Of a check that needs what another one has found to be missing."""
    return Finding("warning", "Not tried: the engine, or the image, is not as it must be.", "Put that right first.")


def lasting(seconds: float) -> str:
    """A time as a person says it."""
    for unit, length in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
