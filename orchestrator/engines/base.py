"""The interface of an engine: a few verbs with exact meanings. An engine knows nothing of jobs or prompts.

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
    """A sandbox of this orchestrator, as the engine sees it."""

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
    """A fault of an engine, as a sentence, and the action that mends it. A ``serious`` fault harms jobs."""

    detail: str
    to_do: str
    serious: bool = False


@dataclass(frozen=True)
class Facts:
    """Facts about an engine, its machine and an image. Sizes are bytes, times are seconds since the epoch."""

    version: str  # the engine's name and version
    detail: str  # sentences about the kind of engine
    concerns: tuple[Concern, ...]
    storage: str  # a sentence: where the engine keeps sandboxes and images
    free: int | None  # free space there; None if this process cannot see it
    cpus: int
    memory: int
    clock_ahead: float  # seconds that the engine's clock is ahead of ours
    image_version: str | None  # None if the image or its label is missing
    image_made: float | None


class Engine(Protocol):
    """An engine. Each verb raises EngineDown if the engine does not answer, and EngineError if it refuses.

    EngineError has the engine's words. Both errors say what a person can do.
    """

    name: str  # the engine and its address, worded for a sentence
    advice: str  # a sentence: how a person examines an engine that hangs

    async def image(self, name: str) -> str:
        """Return the immutable ID of an image. Raises ImageMissing if it is missing or has another version."""

    async def facts(self, image: str) -> Facts:
        """Return facts that help to find a fault."""

    async def start(self, spec: Spec) -> Sandbox:
        """Start a sandbox and return when it runs. Remove a leftover of the same name first."""

    def ended(self) -> AsyncIterator[str]:
        """Yield the IDs of sandboxes as they end or disappear.

        One reader of the engine's event stream serves all sandboxes. An empty string means that the reader has
        connected or reconnected, and may have missed ends.
        """

    async def exit(self, sandbox_id: str) -> Exit | None:
        """Return how a sandbox ended, or None if it runs. A missing sandbox ended with code -1."""

    async def kill(self, sandbox_id: str) -> None:
        """Kill every process of a sandbox at once and keep its files. A missing sandbox is no error."""

    async def stop(self, sandbox_id: str) -> None:
        """Kill and remove a sandbox. A missing sandbox is no error."""

    async def sandboxes(self) -> list[Sandbox]:
        """Return all sandboxes of this orchestrator, running or not."""

    async def written(self) -> dict[str, int]:
        """Return the bytes that each sandbox has written to the record's disk, by sandbox ID.

        If sandboxes use another disk, the result is empty. Slow, because the engine looks at every file.
        """

    def salvage(self, sandbox_id: str, path: str) -> AbstractAsyncContextManager[Iterator[bytes]]:
        """Give a tar stream of the files that are left at a path. Read it on another thread."""

    def viewer_socket(self, sandbox_id: str, service: str) -> Path | None:
        """Return the socket on this machine of a sandbox's live service, or None if there is none."""

    async def networks(self) -> list[IPv4Network | IPv6Network]:
        """Return the subnets that sandboxes may have addresses in."""

    async def close(self) -> None:
        """Disconnect from the engine, and remove the resources that all sandboxes share."""
