"""File requests to running jobs: clients ask, and the jobs' agents answer.

Nothing is stored. An answer streams from the agent's upload to the waiting client, a few blocks at a time. A restart
ends all file requests.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import anyio

from orchestrator.concurrency.notifier import Notifier, wait_until
from orchestrator.db.models import FINAL
from orchestrator.db.store import Store
from orchestrator.errors import NotFound, Unavailable, no_such_job
from protocol import messages

#: Maximum number of file requests at a time in all jobs, and the seconds that one more waits.
LOOKS, TURN_SECONDS = 16, 15.0

#: Blocks of an answer to buffer for a slow client. A block is one read from a socket.
BLOCKS = 4


class Answer:
    """The answer to one file request. ``found`` describes the file or folder, ``blocks`` are the requested bytes.

    The client's handler must close it. This ends the agent's upload and lets the next request start.
    """

    def __init__(self, job_id: str, look: messages.Look, on_close: Callable[[], None]) -> None:
        self.job_id, self.look = job_id, look
        self.over = asyncio.get_running_loop().time() + messages.LOOK_SECONDS
        self.found: messages.Found | None = None
        self._into, self.blocks = anyio.create_memory_object_stream[bytes](BLOCKS)
        self._on_close: Callable[[], None] | None = on_close

    @property
    def wanted(self) -> int:
        """Return the number of content bytes that follow ``found``."""
        found = self.found
        if not isinstance(found, messages.FoundFile) or not self.look.content or self.too_large:
            return 0
        return found.end - found.begin

    @property
    def too_large(self) -> bool:
        found = self.found
        return isinstance(found, messages.FoundFile) and found.end - found.begin > messages.LIVE_FILE_BYTES

    async def fill(self, blocks: AsyncIterator[bytes]) -> None:
        """Pass on the requested bytes at the client's pace. Raises BrokenResourceError if the client disconnects."""
        left = self.wanted
        if left:
            async for block in blocks:
                await self._into.send(block[:left])
                left -= len(block)
                if left <= 0:
                    break

    def filled(self) -> None:
        """Mark the end of the content."""
        self._into.close()

    def close(self) -> None:
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
            self._into.close()
            self.blocks.close()


class FileRequests:
    """The open file requests of all jobs, and the answers in progress."""

    def __init__(self, store: Store, notifier: Notifier) -> None:
        self._store, self._notifier = store, notifier
        self._asked: dict[str, Answer] = {}  # not yet answered by an agent
        self._unheard: dict[str, list[messages.Look]] = {}  # by job: not yet sent to an agent
        self._all = asyncio.Semaphore(LOOKS)
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    # ── for the users' door ──────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, job_id: str, **wanted: Any) -> Answer | None:
        """Send a request with the fields of ``messages.Look``. Returns when the agent has described the file.

        Returns None if the job ends meanwhile. Raises Unavailable.
        """
        answer = await self._begin(job_id, wanted)
        try:
            if await self._found(answer):
                return answer
        except BaseException:
            answer.close()
            raise
        answer.close()
        return None

    async def _found(self, answer: Answer) -> bool:
        """Wait for the agent's answer. Returns False if the job has ended."""
        job_id = answer.job_id

        async def known() -> bool:
            if answer.found is not None:
                return True
            job = await self._store.job(job_id)
            if job is None:
                raise no_such_job(job_id)
            return job.status in FINAL or answer.found is not None

        if not await wait_until(self._notifier, job_id, known, time.monotonic() + messages.LOOK_BEGIN_SECONDS):
            raise Unavailable(
                504,
                "no-answer",
                "No answer",
                f"The sandbox of job {job_id} did not answer within {messages.LOOK_BEGIN_SECONDS:g} s. It is "
                "starting, or has too little CPU or memory, or too many files. Try again, or wait for the ZIP.",
                {"Retry-After": "5"},
            )
        return answer.found is not None

    async def _begin(self, job_id: str, wanted: dict[str, Any]) -> Answer:
        gate = self._gates.setdefault(job_id, asyncio.Semaphore(messages.LOOKS))
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await gate.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    gate.release()
                    raise
        except TimeoutError:
            raise Unavailable(
                429,
                "too-many-looks",
                "Too many looks",
                f"The limit is {messages.LOOKS} file requests at a time for one running job, and {LOOKS} for all jobs. "
                "Try again later.",
                {"Retry-After": "5"},
            ) from None
        look = messages.Look(secrets.token_hex(8), **wanted)
        answer = self._asked[look.id] = Answer(job_id, look, partial(self._closed, job_id, look, gate))
        self._unheard.setdefault(job_id, []).append(look)
        self._notifier.ring(job_id)
        return answer

    def _closed(self, job_id: str, look: messages.Look, gate: asyncio.Semaphore) -> None:
        self._asked.pop(look.id, None)
        unheard = self._unheard.get(job_id, [])
        if look in unheard:
            unheard.remove(look)
        if not unheard:
            self._unheard.pop(job_id, None)
        self._all.release()
        gate.release()

    # ── for the agents' door ─────────────────────────────────────────────────────────────────────────────────────

    def unheard(self, job_id: str) -> list[messages.Look]:
        """Return the file requests that the job's agent has not received, each once."""
        return self._unheard.pop(job_id, [])

    @contextmanager
    def answering(self, job_id: str, look_id: str) -> Iterator[Answer]:
        """Return the open answer of an agent for its own job, each once. Raises NotFound."""
        answer = self._asked.get(look_id)
        if answer is None or answer.job_id != job_id:
            raise NotFound(
                404, "no-such-look", "No such look", "No client waits for this answer.", {"Connection": "close"}
            )
        del self._asked[look_id]
        try:
            yield answer
        finally:
            if answer.found is None:
                self.deliver(answer, messages.FoundNone("failed", "the sandbox's answer was malformed"))
            answer.filled()

    def deliver(self, answer: Answer, found: messages.Found) -> None:
        """Give the agent's description to the waiting client."""
        answer.found = found
        self._notifier.ring(answer.job_id)
