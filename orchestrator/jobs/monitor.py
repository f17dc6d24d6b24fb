"""Supervision of running jobs from outside: sandboxes that end, limits that run out, and jobs found after a restart.

No state lives in memory alone, and all times are in the store. ``reconcile`` brings the engine and the record together
at every start, at every reconnection to the engine, and on a clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial

from orchestrator import logs
from orchestrator.concurrency.background import Tasks
from orchestrator.concurrency.notifier import heard_within
from orchestrator.db.models import Job
from orchestrator.db.store import Store
from orchestrator.engines.base import Engine, Exit, Sandbox
from orchestrator.errors import EngineError
from orchestrator.jobs.dispatcher import Dispatcher
from orchestrator.jobs.finalizer import Finalizer
from orchestrator.jobs.hooks import Hooks
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

#: Seconds that a cancelled agent has to end the job's processes. After that, the monitor ends the job from outside.
CANCEL_SECONDS = 1.0

#: Seconds after a limit that the agent should keep itself. After that, the monitor ends the job from outside.
LATE_SECONDS = 5.0

#: Seconds between two comparisons with the engine.
RECONCILE_SECONDS = 30.0

#: The exit code of a container whose agent got SIGKILL. The kernel sends it when the memory is used up.
KILLED = 137


class Monitor:
    """Ends jobs from outside if their agents do not."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        finalizer: Finalizer,
        dispatcher: Dispatcher,
        tasks: Tasks,
        hooks: Hooks,
    ) -> None:
        self._settings, self._store, self._engine = settings, store, engine
        self._finalizer, self._dispatcher, self._tasks = finalizer, dispatcher, tasks
        self._started_at = time.time()
        self._early: set[str] = set()  # sandboxes that ended before their start was done
        self._connected = asyncio.Event()  # set at each connection to the engine: ends may have been missed
        hooks.sandbox_started.subscribe(self._look_if_early)

    async def run(self) -> None:
        """Look at each sandbox that ends, while the system runs."""
        async for sandbox_id in self._engine.ended():
            if sandbox_id:
                self._tasks.spawn(self._look_at_sandbox(sandbox_id))
            else:
                self._connected.set()

    async def compare(self) -> None:
        """Compare the engine with the record at each connection and on a clock, while the system runs.

        One loop does both, because two comparisons at a time could start the same sandbox twice.
        """
        while True:
            connected = await heard_within(self._connected, RECONCILE_SECONDS)
            self._connected.clear()
            await self.reconcile_quietly()
            if connected:
                self._dispatcher.look()

    async def _look_at_sandbox(self, sandbox_id: str) -> None:
        job = await self._store.job_of_sandbox(sandbox_id)
        if job is None or job.status != "running":
            return
        logs.concerns(job.id, sandbox_id)
        if self._dispatcher.is_starting(job.id):
            self._early.add(sandbox_id)
            return
        try:
            exit = await self._engine.exit(sandbox_id)
        except EngineError as error:
            # the next comparison with the engine finds the sandbox
            log.warning("how its sandbox ended could not be asked: %s", error)
            return
        if exit is not None:
            await self._sandbox_ended(job, exit)

    async def _sandbox_ended(self, job: Job, exit: Exit) -> None:
        """Close a job whose sandbox ended before the job did."""
        said = f" It last printed:\n{exit.last_lines}" if exit.last_lines else ""
        how = "is gone" if exit.code == -1 else f"ended with exit code {exit.code}"
        if job.cancel_requested_at and not job.settled_at:
            await self._finalizer.close(job, "cancelled", None, "The job was cancelled.")
        elif exit.out_of_memory and exit.code == KILLED:  # the engine also says so if only a child was killed
            detail = "The container's memory was used up. Ask for more with limits.memory."
            await self._finalizer.close(job, "failed", "out_of_memory", detail)
        elif job.taken_at is None and self._too_late_to_speak(job):
            said = said or " It printed nothing."
            detail = f"The agent sent no message within {self._settings.start_seconds:g} s (START_SECONDS).{said}"
            await self._finalizer.close(job, "failed", "engine_error", detail)
        elif job.taken_at is None:
            detail = f"The container {how} before the agent sent a message.{said}"
            await self._finalizer.close(job, "failed", "engine_error", detail)
        else:
            detail = f"The container {how} in phase {job.phase}, before the job did.{said}"
            await self._finalizer.close(job, "failed", "agent_lost", detail)

    async def reconcile_quietly(self) -> list[asyncio.Task[None]]:
        """Call ``reconcile``, and log its errors. The next comparison tries again."""
        with logs.about():  # reconcile sets the job of the log lines, and later lines are not about that job
            try:
                return await self.reconcile()
            except EngineError as error:
                log.warning("the engine could not be asked: %s", error)
            except Exception:
                log.exception("the comparison with the engine failed")
        return []

    async def reconcile(self) -> list[asyncio.Task[None]]:
        """Bring the engine and the record together: no job without a sandbox, no sandbox without a job.

        Returns the tasks that look at ended sandboxes. It waits neither for these tasks nor for removals, so a stuck
        container delays no other work.
        """
        looks = list[asyncio.Task[None]]()
        jobs = {job.sandbox_id or "": job for job in await self._store.running()}
        sandboxes = await self._engine.sandboxes()
        for sandbox_id in {sandbox.id for sandbox in sandboxes} - jobs.keys():
            owner = await self._store.job_of_sandbox(sandbox_id)
            if owner is None or owner.status != "running":
                self._finalizer.remove(sandbox_id)
        if lost := self._without(jobs, sandboxes):
            # A start may have finished while the engine answered, so ask again. No start begins for a job in `lost`.
            lost = self._without(lost, await self._engine.sandboxes())
        for sandbox_id, job in lost.items():
            logs.concerns(job.id, sandbox_id)
            if self._finalizer.is_closing(job.id) or await self._finalizer.finish_stored(job):
                continue
            if job.taken_at is None and not job.cancel_requested_at and not self._dispatcher.stopped:
                await self._dispatcher.again(job)
            else:
                look = partial(self._look_at_sandbox, sandbox_id)
                looks.append(self._tasks.spawn_once(f"look at {sandbox_id}", look))
        return looks

    def _without(self, jobs: dict[str, Job], sandboxes: list[Sandbox]) -> dict[str, Job]:
        """Return the jobs whose sandbox does not run, except jobs that are starting or closing."""
        running = {sandbox.id for sandbox in sandboxes if sandbox.running}
        return {
            sandbox_id: job
            for sandbox_id, job in jobs.items()
            if sandbox_id not in running
            and not self._dispatcher.is_starting(job.id)
            and not self._finalizer.is_closing(job.id)
        }

    async def remove_all(self) -> None:
        """Remove every sandbox, regardless of the record. Raises EngineError."""
        await asyncio.gather(*(self._engine.stop(sandbox.id) for sandbox in await self._engine.sandboxes()))

    async def tick(self) -> None:
        """End the jobs whose time is over. All times are in the store, so a restart changes nothing."""
        now = time.time()
        for job in await self._store.running():
            logs.concerns(job.id, job.sandbox_id)
            if self._dispatcher.is_starting(job.id) or self._finalizer.is_closing(job.id):
                continue
            packaging = job.packaging_at or job.settled_at
            if job.taken_at is None:
                if self._too_late_to_speak(job):
                    self._tasks.spawn_once(f"give up {job.id}", partial(self._never_spoke, job))
            elif packaging:
                if now > self._since(packaging) + self._settings.package_seconds + LATE_SECONDS:
                    detail = f"Packaging took longer than {self._settings.package_seconds:g} s (PACKAGE_SECONDS)."
                    self._finalizer.begin(job, "failed", "agent_lost", detail)
            elif job.cancel_requested_at and now > job.cancel_requested_at + CANCEL_SECONDS:
                self._finalizer.begin(job, "cancelled", None, "The job was cancelled.")
            elif now > self._since(job.taken_at) + self._longest(job) + LATE_SECONDS:
                detail = f"The job was ended from outside at its time limit of {job.seconds:g} s."
                self._finalizer.begin(job, "failed", "timed_out", detail)

    def _longest(self, job: Job) -> float:
        """Return the seconds that all steps and checks of a job may take, including waits for a turn at the model.

        The job's limit applies to all steps together, and once more to each check. A repaired plan runs its check
        again. Waiting for a turn at the model counts against no limit.
        """
        waits = 0.0 if job.turn_waits_since is None else time.time() - job.turn_waits_since
        return job.seconds * (2 + job.repairs if job.check_command else 1) + job.turn_waited + waits

    def _too_late_to_speak(self, job: Job) -> bool:
        return time.time() > self._since(job.started_at) + self._settings.start_seconds

    def _since(self, at: float | None) -> float:
        """Return the start of a limit. It is not before our own start, because no agent could reach us until then."""
        return max(at or 0.0, self._started_at)

    async def _never_spoke(self, job: Job) -> None:
        assert job.sandbox_id  # noqa: S101 - a running job has a sandbox
        with contextlib.suppress(EngineError):
            await self._engine.kill(job.sandbox_id)  # then its end is handled like any other end
            exit = await self._engine.exit(job.sandbox_id)
            if exit:
                await self._sandbox_ended(job, exit)

    async def enforce_cancel(self, job_id: str) -> None:
        """Make sure that a cancelled job's processes end within two seconds, if necessary from outside."""
        job = await self._store.job(job_id)
        logs.concerns(job_id, job.sandbox_id if job else None)
        if job and job.taken_at is None:
            await self._finalizer.close(job, "cancelled", None, "The job was cancelled while its container started.")
            return
        await asyncio.sleep(CANCEL_SECONDS)
        job = await self._store.job(job_id)
        if job and job.status == "running" and not job.packaging_at and not job.settled_at:
            log.warning("its agent did not end it in time, so its container is ended")
            await self._finalizer.close(job, "cancelled", None, "The job was cancelled.")

    def _look_if_early(self, sandbox_id: str) -> None:
        if sandbox_id in self._early:
            self._early.discard(sandbox_id)
            self._tasks.spawn(self._look_at_sandbox(sandbox_id))
