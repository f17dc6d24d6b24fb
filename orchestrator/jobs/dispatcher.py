"""The step from waiting to running. A job gets its sandbox when its turn comes and no obstacle prevents the start."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
import time

from orchestrator import logs
from orchestrator.concurrency.background import Going, Tasks
from orchestrator.concurrency.notifier import Notifier, heard_within
from orchestrator.db.models import FINAL, Job
from orchestrator.db.store import Store
from orchestrator.engines.base import Engine, Spec
from orchestrator.errors import DiskUnreadable, EngineDown, EngineError, ImageMissing
from orchestrator.files.job_files import JobFiles
from orchestrator.jobs.finalizer import Finalizer
from orchestrator.jobs.hooks import Hooks
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

#: Seconds until the dispatcher checks again for an obstacle that jobs wait for.
OBSTACLE_SECONDS = 2.0

#: Timeouts, in seconds, for asking the engine for the image and the disk for its free space. After a timeout, jobs wait
#: for the engine or the disk.
ENGINE_SECONDS, DISK_SECONDS = 5.0, 5.0

#: Timeout, in seconds, for making room on the disk. After a timeout, jobs wait for the disk.
ROOM_SECONDS = 5.0

#: Seconds until the dispatcher looks at the queue again if nothing calls ``look``.
IDLE_SECONDS = 60.0


class Dispatcher:
    """Claims jobs, oldest first, and starts their sandboxes."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        job_files: JobFiles,
        finalizer: Finalizer,
        notifier: Notifier,
        tasks: Tasks,
        hooks: Hooks,
    ) -> None:
        self._settings, self._store, self._engine, self._job_files = settings, store, engine, job_files
        self._finalizer, self._notifier, self._tasks, self._hooks = finalizer, notifier, tasks, hooks
        self._work = asyncio.Event()
        self._starting: set[str] = set()
        self._going = Going()
        self._obstacle = True  # jobs may have waited for an obstacle before a restart
        self._logged = ""  # the obstacle that the log has, without its numbers
        self.stopped = False

    def look(self) -> None:
        """Make the dispatcher look at the queue, because a job may be able to start."""
        self._work.set()

    def is_starting(self, job_id: str) -> bool:
        return job_id in self._starting

    async def run(self) -> None:
        """Start jobs, one after the other, while the system runs."""
        again = logs.Again(log)
        while True:
            self._work.clear()
            pause = IDLE_SECONDS
            if not self.stopped:
                try:
                    pause = await self._start_waiting()
                    again.well()
                except Exception as error:
                    again.wrong(error, "starting jobs failed, trying again")
                    pause = OBSTACLE_SECONDS
            await heard_within(self._work, pause)

    async def _start_waiting(self) -> float:
        """Start jobs while there are free slots, and return the seconds until the next look."""
        for job in await self._store.to_cancel():  # requested before a restart
            self._finalizer.begin(job, "cancelled", None, "The job was cancelled before it started.")
        while not self.stopped and await self._store.first_scheduled():
            image_id, obstacle = await self._look_for_obstacle()
            if obstacle:
                self._obstacle = True
                self._log_obstacle(*obstacle)
                await self._wait_for(*obstacle)
                return OBSTACLE_SECONDS
            self._logged = ""
            if self._obstacle:
                self._obstacle = False
                await self._wait_for("slot", "")
            token = _new_token()
            claimed = await self._store.claim(
                self._settings.max_concurrent_jobs,
                {
                    "sandbox_id": token.partition(".")[0],
                    "token_sha256": digest(token),
                    "image": self._settings.agent_image,
                    "image_id": image_id,
                },
            )
            if claimed is None:
                break
            self._notifier.ring(claimed.id)
            self._begin(claimed, token)
        return IDLE_SECONDS

    def _log_obstacle(self, what: str, detail: str) -> None:
        """Log an obstacle when it appears or changes. Numbers such as the free space change all the time."""
        same = re.sub(r"[\d.,]+", "", f"{what} {detail}")
        log.log(logging.DEBUG if same == self._logged else logging.WARNING, "jobs wait for %s: %s", what, detail)
        self._logged = same

    async def _wait_for(self, what: str, detail: str) -> None:
        for job_id in await self._store.wait_for(what, detail):
            self._notifier.ring(job_id)

    async def _look_for_obstacle(self) -> tuple[str, tuple[str, str] | None]:
        """Return the image's ID, and the obstacle that keeps jobs from starting, if any, with a sentence about it."""
        try:
            short = await self._going.within("disk", self._disk_short, DISK_SECONDS)
            if short:
                with contextlib.suppress(TimeoutError):  # making room goes on, and the next look asks again
                    await self._going.within("room", self._hooks.room_needed.emit, ROOM_SECONDS)
                short = await self._going.within("disk", self._disk_short, DISK_SECONDS)
        except DiskUnreadable as error:
            short = str(error)
        except TimeoutError:
            short = f"The disk of {self._job_files.folder} does not answer within {DISK_SECONDS:g} s."
        if short:
            return "", ("disk", short)
        try:
            return await self._going.within("image", self._image, ENGINE_SECONDS), None
        except TimeoutError:
            return "", ("engine", f"The {self._engine.name} does not answer within {ENGINE_SECONDS:g} s.")
        except ImageMissing as error:
            return "", ("image", str(error))
        except EngineError as error:
            return "", ("engine", str(error))

    async def _disk_short(self) -> str | None:
        return await asyncio.to_thread(self._job_files.disk_short)

    async def _image(self) -> str:
        return await self._engine.image(self._settings.agent_image)

    def _begin(self, job: Job, token: str) -> None:
        self._starting.add(job.id)
        self._tasks.spawn(self._start_sandbox(job, token))

    async def _start_sandbox(self, job: Job, token: str) -> None:
        assert job.sandbox_id and job.image_id  # noqa: S101 - the claim has set both
        logs.concerns(job.id, job.sandbox_id)
        spec = Spec(job.sandbox_id, token, job.image_id, job.memory, job.cpus, job.processes, job.network)
        give_up = time.monotonic() + self._settings.start_seconds
        try:
            while True:
                try:
                    await self._engine.start(spec)
                    break
                except EngineDown:
                    if time.monotonic() > give_up or await self._has_ended(job.id):
                        raise
                    await asyncio.sleep(OBSTACLE_SECONDS)
            log.info("its sandbox runs")
            if await self._has_ended(job.id):  # cancelled meanwhile
                await self._engine.stop(job.sandbox_id)
        except EngineError as error:
            detail = f"The engine could not start the job's container. In its own words: {error}"
            await self._finalizer.close(job, "failed", "engine_error", detail)
        finally:
            self._starting.discard(job.id)
            await self._hooks.sandbox_started.emit(job.sandbox_id)

    async def _has_ended(self, job_id: str) -> bool:
        job = await self._store.job(job_id)
        return job is None or job.status in FINAL or job.settled_at is not None

    async def again(self, job: Job) -> None:
        """Start a sandbox again for a job that its agent never took. No work of such a job has begun."""
        token = f"{job.sandbox_id}.{secrets.token_urlsafe(32)}"
        again = await self._store.renew_token(job.id, digest(token))
        if again:
            self._begin(again, token)


def _new_token() -> str:
    """Return a new token: the ID of a new sandbox, a dot, and the sandbox's secret."""
    return f"{secrets.token_hex(6)}.{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """Return the hash that is stored in place of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
