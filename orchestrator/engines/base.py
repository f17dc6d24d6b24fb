"""The engine's port: a few verbs with exact words. An engine knows nothing of jobs or prompts.

Nothing here depends on how an engine makes its sandboxes, or on which machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Spec:
    """A sandbox to start. Sizes are bytes."""

    sandbox_id: str
    token: str
    image_id: str
    memory: int
    cpus: float
    processes: int
    network: str  # none or internet


@dataclass(frozen=True)
class Sandbox:
    """A sandbox of ours, as the engine sees it."""

    id: str
    running: bool


@dataclass(frozen=True)
class Exit:
    """How a sandbox ended."""

    code: int
    out_of_memory: bool
    last_lines: str


@dataclass(frozen=True)
class Concern:
    """A fault of an engine, as a sentence, and what a person can do about it. Jobs suffer from a ``serious`` one."""

    detail: str
    to_do: str
    serious: bool = False


@dataclass(frozen=True)
class Facts:
    """What an engine says of itself, its machine and an image. Sizes are bytes, times seconds since the epoch."""

    version: str  # its name and version
    detail: str  # sentences about its kind
    concerns: tuple[Concern, ...]
    storage: str  # a sentence: where it keeps sandboxes and images
    free: int | None  # free space there; None if it cannot be seen from here
    cpus: int
    memory: int
    clock_ahead: float  # seconds that its clock is ahead of ours
    image_version: str | None  # None where the image, or its label, is not there
    image_made: float | None


class Engine(Protocol):
    """Every verb raises EngineDown if the engine does not answer, EngineError with its words if it refuses.

    Both errors say what a person can do.
    """

    name: str  # the engine and its address, as a sentence names it
    advice: str  # a sentence: how a person examines an engine that hangs

    async def image(self, name: str) -> str:
        """The immutable id of an image; raises ImageMissing where it is not there or of another version."""

    async def facts(self, image: str) -> Facts:
        """What is to be known where something does not work."""

    async def start(self, spec: Spec) -> Sandbox:
        """Start a sandbox and return when it runs; a leftover of the same name is removed first."""

    def ended(self) -> AsyncIterator[str]:
        """The ids of sandboxes that ended, or are gone, as it happens.

        One reader of the engine's own stream for all. The empty string says that the reader connected (again), and
        that ends may have been missed.
        """

    async def exit(self, sandbox_id: str) -> Exit | None:
        """How a sandbox ended; None where it runs. One that is gone ended with code -1."""

    async def kill(self, sandbox_id: str) -> None:
        """End every process of a sandbox at once and keep its files; of one that is gone: nothing."""

    async def stop(self, sandbox_id: str) -> None:
        """End and remove a sandbox; of one that is gone: nothing."""

    async def sandboxes(self) -> list[Sandbox]:
        """All sandboxes of this orchestrator, running or not."""

    async def written(self) -> dict[str, int]:
        """Bytes that each sandbox has written to the record's disk, by its id; none if sandboxes use another disk.

        Slow, because the engine looks at every file.
        """

    def salvage(self, sandbox_id: str, path: str) -> AbstractAsyncContextManager[Iterator[bytes]]:
        """A tar stream of what is left at a path, to be read on another thread."""

    def viewer_socket(self, sandbox_id: str, service: str) -> Path | None:
        """The socket on this machine that leads to a live service of a sandbox; None if there is none."""

    async def networks(self) -> list[IPv4Network | IPv6Network]:
        """The addresses that sandboxes may have."""

    async def close(self) -> None:
        """Let go of the engine, and of what was made for all sandboxes."""
