"""The life of a job, from accepted to settled. Whoever changes a job calls this.

Nothing here lives in memory alone: what is decided is in the store first, and ``reconcile`` brings the engine and the
record together again at every start, at every reconnection to the engine, and on a clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from agent import wire
from orchestrator.bell import Bell, heard_within
from orchestrator.closing import Closing
from orchestrator.engines.base import Engine, Exit, Spec
from orchestrator.errors import EngineDown, EngineError, ImageMissing, Unavailable, no_such_job
from orchestrator.models import FINAL, Job, Step
from orchestrator.records import Records
from orchestrator.settings import Settings
from orchestrator.store import Report, Store

log = logging.getLogger(__name__)

#: Seconds after which a cancelled agent that has not ended the job's processes is ended from outside.
CANCEL_SECONDS = 1.0

#: Seconds beyond a limit that an agent keeps itself, until it is ended from outside.
LATE_SECONDS = 5.0

#: Seconds between two looks for what a clock decides, and between two comparisons with the engine.
TICK_SECONDS, RECONCILE_SECONDS = 1.0, 30.0

#: Seconds until a waiting job's obstacle is looked at again.
OBSTACLE_SECONDS = 2.0

#: Seconds that an agent's question for commands is held.
COMMAND_SECONDS = 25.0


class Scheduler:
    """Takes jobs, starts each in a sandbox when its turn comes, and brings each to a final state."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, records: Records) -> None:
        self._settings, self._store, self._engine, self._records = settings, store, engine, records
        self.bell = Bell()
        self.draining = False
        self._closing = Closing(store, engine, records, settings, self.bell)
        self._closing.on_free = self._look
        self._work = asyncio.Event()
        self._clock = AsyncIOScheduler()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: set[str] = set()
        self._started_at = time.time()
        self._obstacle = False

    # ── for the users' door ──────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, job: Job, steps: list[Step]) -> None:
        """Take a job: it is on disk when this returns. Raises Unavailable."""
        if self.draining:
            raise Unavailable(
                503,
                "shutting-down",
                "Shutting down",
                "The system is being stopped; submit again later.",
                {"Retry-After": "30"},
            )
        if not await self._store.add(job, steps, self._settings.max_queued_jobs):
            raise Unavailable(
                429,
                "queue-full",
                "Queue full",
                f"{self._settings.max_queued_jobs} jobs are waiting (MAX_QUEUED_JOBS); submit again later.",
                {"Retry-After": "10"},
            )
        log.info("job %s: accepted, planned by %s", job.id, job.planned_by)
        self._work.set()

    async def cancel(self, job_id: str) -> Job:
        """Stop a job, whatever phase it is in; returns it as it is then. Of one that has ended: nothing."""
        job = await self._store.request_cancel(job_id)
        if job is None:
            raise no_such_job(job_id)
        self.bell.ring(job_id)
        if job.status == "scheduled":
            await self._closing.close(job, "cancelled", None, "The job was cancelled before it started.")
        elif job.status == "running" and job.settled_at is None and job.cancel_requested_at:
            log.info("job %s: cancellation asked for in phase %s", job_id, job.phase)
            self._spawn(self._enforce_cancel(job_id))
        return await self._store.job(job_id) or job

    async def wait(self, job_id: str, seconds: float) -> Job:
        """A job as it is when it has ended, or after so many seconds."""
        end = time.monotonic() + seconds
        with self.bell.listening(job_id) as heard:
            while True:
                heard.clear()
                job = await self._store.job(job_id)
                if job is None:
                    raise no_such_job(job_id)
                left = end - time.monotonic()
                if job.status in FINAL or left <= 0 or self.bell.closed:
                    return job
                await heard_within(heard, left)

    # ── for the agents' door ─────────────────────────────────────────────────────────────────────────────────────

    async def job_of_token(self, token: str) -> Job | None:
        """The running job of the sandbox that a token belongs to."""
        sandbox_id, _, _ = token.partition(".")
        job = await self._store.job_of_sandbox(sandbox_id)
        if job is None or job.status != "running" or not job.token_sha256:
            return None
        return job if secrets.compare_digest(job.token_sha256, _digest(token)) else None

    async def take(self, job: Job) -> wire.Order | None:
        """The agent's first word: what it is to do. None where the job has ended meanwhile."""
        taken = await self._store.take(job.id)
        if taken is None:
            return None
        self.bell.ring(job.id)
        steps = await self._store.steps(job.id)
        planned = [
            wire.PlannedStep(s.number, s.kind, s.title, s.source, s.seconds, s.path, s.background)  # type: ignore[arg-type]
            for s in steps
            if s.number != wire.CHECK
        ]
        return wire.Order(
            job_id=job.id,
            planned_by=job.planned_by,
            steps=planned,
            outputs=job.outputs,
            check=job.check_command,
            network=job.network,
            seconds=job.seconds,
            cpus=job.cpus,
            zip_bytes=job.zip_bytes,
            package_seconds=self._settings.package_seconds,
            link_lost_seconds=self._settings.link_lost_seconds,
        )

    async def refuse(self, job: Job, detail: str) -> None:
        """End a job whose agent cannot be worked with."""
        self._closing.begin(job, "failed", "engine_error", detail)

    async def record(self, job: Job, reports: list[Report]) -> int:
        """Store what the agent reports; returns the number of its last report that is on disk."""
        last = await self._store.record(job.id, reports)
        self.bell.ring(job.id)
        return last

    async def commands(self, job: Job) -> wire.Commands:
        """What is wanted of the agent; held until there is something, or for a while."""
        end = time.monotonic() + COMMAND_SECONDS
        with self.bell.listening(job.id) as heard:
            while True:
                heard.clear()
                now = await self._store.job(job.id)
                if now is None or now.status != "running" or now.cancel_requested_at:
                    return wire.Commands(["cancel"])
                left = end - time.monotonic()
                if left <= 0 or self.bell.closed or not await heard_within(heard, left):
                    return wire.Commands()

    async def settle(self, job: Job, outcome: wire.Outcome) -> wire.Settled | None:
        """Decide how a job ends, and give the documents for its ZIP. None where it has ended meanwhile."""
        return await self._closing.settle(job, outcome)

    async def receive(self, job: Job, chunks: AsyncIterator[bytes]) -> wire.Stored | None:
        """Store a job's ZIP and finish the job. None where it has ended meanwhile."""
        return await self._closing.receive(job, chunks)

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Take up the work where it was left."""
        self._spawn(self._watch_engine())
        self._spawn(self._dispatch())
        self._clock.add_job(self._tick, "interval", seconds=TICK_SECONDS, max_instances=1)
        self._clock.add_job(self._reconcile_quietly, "interval", seconds=RECONCILE_SECONDS, max_instances=1)
        self._clock.add_job(self.expire, "interval", minutes=10, max_instances=1, next_run_time=datetime.now(UTC))
        self._clock.start()

    async def _dispatch(self) -> None:
        while True:
            self._work.clear()
            pause = 60.0
            if not self.draining:
                try:
                    pause = await self._start_waiting()
                except Exception:
                    log.exception("starting jobs failed, trying again")
                    pause = OBSTACLE_SECONDS
            await heard_within(self._work, pause)

    async def _start_waiting(self) -> float:
        """Start jobs while there are slots; returns the seconds until the next look."""
        for job in await self._store.to_cancel():  # asked for before a restart
            self._closing.begin(job, "cancelled", None, "The job was cancelled before it started.")
        while not self.draining and await self._store.first_scheduled():
            image_id, obstacle = await self._look_for_obstacle()
            if obstacle:
                self._obstacle = True
                log.warning("jobs wait for %s: %s", *obstacle)
                await self._wait_for(*obstacle)
                return OBSTACLE_SECONDS
            if self._obstacle:
                self._obstacle = False
                await self._wait_for("slot", "")
            token = _new_token()
            claimed = await self._store.claim(
                self._settings.max_concurrent_jobs,
                {
                    "started_at": time.time(),
                    "sandbox_id": token.partition(".")[0],
                    "token_sha256": _digest(token),
                    "image": self._settings.agent_image,
                    "image_id": image_id,
                },
            )
            if claimed is None:
                break
            self.bell.ring(claimed.id)
            self._begin_sandbox(claimed, token)
        return 60.0

    async def _wait_for(self, what: str, detail: str) -> None:
        for job_id in await self._store.wait_for(what, detail):
            self.bell.ring(job_id)

    async def _look_for_obstacle(self) -> tuple[str, tuple[str, str] | None]:
        """The image's id, and what no job can start without and a sentence about it."""
        if short := self._records.disk_short():
            return "", ("disk", short)
        try:
            return await self._engine.image(self._settings.agent_image), None
        except ImageMissing as error:
            return "", ("image", str(error))
        except EngineError as error:
            return "", ("engine", str(error))

    def _begin_sandbox(self, job: Job, token: str) -> None:
        self._starting.add(job.id)
        self._spawn(self._start_sandbox(job, token))

    async def _start_sandbox(self, job: Job, token: str) -> None:
        assert job.sandbox_id and job.image_id  # noqa: S101 - the claim has set both
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
            log.info("job %s: sandbox %s runs", job.id, job.sandbox_id)
            if await self._has_ended(job.id):  # cancelled meanwhile
                await self._engine.stop(job.sandbox_id)
        except EngineError as error:
            detail = f"The engine could not start the job's container. In its own words: {error}"
            await self._closing.close(job, "failed", "engine_error", detail)
        finally:
            self._starting.discard(job.id)

    async def _has_ended(self, job_id: str) -> bool:
        job = await self._store.job(job_id)
        return job is None or job.status in FINAL or job.settled_at is not None

    # ── watching ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch_engine(self) -> None:
        async for sandbox_id in self._engine.ended():
            if sandbox_id:
                self._spawn(self._look_at_sandbox(sandbox_id))
            else:
                await self._reconcile_quietly()
                self._work.set()

    async def _look_at_sandbox(self, sandbox_id: str) -> None:
        job = await self._store.job_of_sandbox(sandbox_id)
        if job is None or job.status != "running" or job.id in self._starting:
            return
        try:
            exit = await self._engine.exit(sandbox_id)
        except EngineError as error:
            log.warning("job %s: %s", job.id, error)  # the next comparison with the engine finds it
            return
        if exit is not None:
            await self._sandbox_ended(job, exit)

    async def _sandbox_ended(self, job: Job, exit: Exit) -> None:
        """A sandbox ended by itself, and its job did not."""
        said = f" It last printed:\n{exit.last_lines}" if exit.last_lines else ""
        how = "is gone" if exit.code == -1 else f"ended with exit code {exit.code}"
        if job.cancel_requested_at and not job.settled_at:
            await self._closing.close(job, "cancelled", None, "The job was cancelled.")
        elif exit.out_of_memory:
            detail = "The container's memory was used up. Ask for more with limits.memory."
            await self._closing.close(job, "failed", "out_of_memory", detail)
        elif job.taken_at is None:
            detail = f"The container {how} before the agent said a word.{said}"
            await self._closing.close(job, "failed", "engine_error", detail)
        else:
            detail = f"The container {how} in phase {job.phase}, before the job did.{said}"
            await self._closing.close(job, "failed", "agent_lost", detail)

    async def _reconcile_quietly(self) -> None:
        try:
            await self.reconcile()
        except EngineError as error:
            log.warning("the engine could not be asked: %s", error)
        except Exception:
            log.exception("the comparison with the engine failed")

    async def reconcile(self) -> None:
        """Bring the engine and the record together: no job without a sandbox, no sandbox without a job."""
        jobs = {job.sandbox_id or "": job for job in await self._store.running()}
        sandboxes = {sandbox.id: sandbox for sandbox in await self._engine.sandboxes()}
        for sandbox_id in sandboxes.keys() - jobs.keys():
            owner = await self._store.job_of_sandbox(sandbox_id)
            if owner is None or owner.status != "running":
                await self._engine.stop(sandbox_id)
        for sandbox_id, job in jobs.items():
            if job.id in self._starting or self._closing.is_closing(job.id):
                continue
            sandbox = sandboxes.get(sandbox_id)
            if sandbox and sandbox.running:
                continue
            if await self._closing.finish_stored(job):
                continue
            if job.taken_at is None and not job.cancel_requested_at and not self.draining:
                await self._start_again(job)
            else:
                await self._look_at_sandbox(sandbox_id)

    async def _start_again(self, job: Job) -> None:
        """The agent never took the job, so nothing of it was done: a sandbox is started anew."""
        token = f"{job.sandbox_id}.{secrets.token_urlsafe(32)}"
        again = await self._store.set_sandbox(job.id, token_sha256=_digest(token))
        if again:
            self._begin_sandbox(again, token)

    async def _tick(self) -> None:
        """End what a clock says must end: all times are in the store, so a restart changes nothing."""
        now = time.time()
        for job in await self._store.running():
            if job.id in self._starting or self._closing.is_closing(job.id):
                continue
            packaging = job.packaging_at or job.settled_at
            if job.taken_at is None:
                if now > self._since(job.started_at) + self._settings.start_seconds:
                    self._spawn(self._never_spoke(job))
            elif packaging:
                if now > self._since(packaging) + self._settings.package_seconds + LATE_SECONDS:
                    detail = f"Packaging took longer than {self._settings.package_seconds:g} s (PACKAGE_SECONDS)."
                    self._closing.begin(job, "failed", "agent_lost", detail)
            elif job.cancel_requested_at and now > job.cancel_requested_at + CANCEL_SECONDS:
                self._closing.begin(job, "cancelled", None, "The job was cancelled.")
            elif now > self._since(job.taken_at) + self._longest(job) + LATE_SECONDS:
                detail = f"The job was ended from outside at its time limit of {job.seconds:g} s."
                self._closing.begin(job, "failed", "timed_out", detail)

    def _longest(self, job: Job) -> float:
        return job.seconds * (2 if job.check_command else 1)

    def _since(self, at: float | None) -> float:
        """A limit begins again when we do: an agent could not reach us meanwhile."""
        return max(at or 0.0, self._started_at)

    async def _never_spoke(self, job: Job) -> None:
        assert job.sandbox_id  # noqa: S101 - it runs
        with contextlib.suppress(EngineError):
            await self._engine.kill(job.sandbox_id)
            exit = await self._engine.exit(job.sandbox_id)
            said = f" It last printed:\n{exit.last_lines}" if exit and exit.last_lines else " It printed nothing."
            detail = f"The agent did not say a word within {self._settings.start_seconds:g} s (START_SECONDS).{said}"
            await self._closing.close(job, "failed", "engine_error", detail)

    async def _enforce_cancel(self, job_id: str) -> None:
        """See that a cancelled job's processes end within two seconds, if need be from outside."""
        job = await self._store.job(job_id)
        if job and job.taken_at is None:
            await self._closing.close(job, "cancelled", None, "The job was cancelled while its container started.")
            return
        await asyncio.sleep(CANCEL_SECONDS)
        job = await self._store.job(job_id)
        if job and job.status == "running" and not job.packaging_at and not job.settled_at:
            log.warning("job %s: its agent did not end it in time, so its container is ended", job_id)
            await self._closing.close(job, "cancelled", None, "The job was cancelled.")

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def expire(self) -> None:
        """Remove the files of jobs that ended more than RETENTION_DAYS ago."""
        for job in await self._store.to_expire(time.time() - self._settings.retention_days * 86_400):
            await asyncio.to_thread(self._records.remove, job.id)
            await self._store.expire(job.id)
            log.info("job %s: its files have expired", job.id)

    async def stop(self) -> None:
        """Let running jobs end for a while, cancel the rest, and remove every sandbox. Waiting jobs stay."""
        self.draining = True
        if not await self._idle_within(self._settings.drain_seconds):
            for job in await self._store.running():
                await self.cancel(job.id)
            await self._idle_within(self._settings.package_seconds + 2 * LATE_SECONDS)
        await self._reconcile_quietly()
        self._clock.shutdown(wait=False)
        await self._closing.wait()
        self.bell.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _idle_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while running := await self._store.running():
            if time.monotonic() >= end:
                return False
            await self.wait(running[0].id, end - time.monotonic())
        return True

    def _look(self) -> None:
        self._work.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the scheduler failed", exc_info=task.exception())


def _new_token() -> str:
    """A new sandbox's id, a dot, and its secret."""
    return f"{secrets.token_hex(6)}.{secrets.token_urlsafe(32)}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
