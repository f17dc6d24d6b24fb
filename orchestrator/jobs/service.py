"""The life of a job, from accepted to settled. All code that changes a job calls this module.

``dispatcher`` brings a job into its sandbox, ``monitor`` ends jobs from outside, and ``finalizer`` brings a job to its
final state. Each decision is stored before it is carried out, so a restart continues where the last run ended.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from orchestrator import logs
from orchestrator.concurrency.background import Going, Tasks
from orchestrator.concurrency.notifier import Notifier, wait_until
from orchestrator.db.models import FINAL, MODEL, Job, Step
from orchestrator.db.store import DAY, Report, Store
from orchestrator.engines.base import Engine
from orchestrator.errors import EngineError, Unavailable, no_such_job
from orchestrator.files.job_files import JobFiles
from orchestrator.files.uploads import tar
from orchestrator.job_secrets.validation import keys
from orchestrator.job_secrets.vault import Hiding, Lost, Vault
from orchestrator.jobs.dispatcher import Dispatcher, digest
from orchestrator.jobs.event_feed import EventFeed, without_pictures
from orchestrator.jobs.finalizer import Finalizer
from orchestrator.jobs.hooks import Hooks
from orchestrator.jobs.monitor import LATE_SECONDS, Monitor
from orchestrator.live.file_requests import FileRequests
from orchestrator.live.grants import Signer
from orchestrator.live.viewers import Viewers
from orchestrator.llm import Models
from orchestrator.planning.step_rows import planned_step
from orchestrator.reasoning import model_prompts
from orchestrator.reasoning.model_calls import Call
from orchestrator.reasoning.model_session import ModelSession
from orchestrator.reports.notebook import in_words
from orchestrator.settings import Settings
from orchestrator.sizes import show_size
from protocol import messages

log = logging.getLogger(__name__)

#: Seconds between two checks: of time limits, of expired files, and of the free disk space.
TICK_SECONDS, EXPIRE_SECONDS, ROOM_SECONDS = 1.0, 60.0, 5.0

#: Timeout, in seconds, for asking the engine how much sandboxes have written.
WRITTEN_SECONDS = 20.0

#: Detail of a job that was still running when the system was stopped.
STOPPED = "The system was stopped before the job had ended. POST /jobs/{job_id}/retry runs the job again."

#: Maximum seconds that an agent's request for commands is held open.
COMMAND_SECONDS = 25.0


class JobService:
    """Accepts jobs, starts each in a sandbox when its turn comes, and brings each to a final state."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        job_files: JobFiles,
        vault: Vault,
        models: Models,
        signer: Signer,
    ) -> None:
        self._settings, self._store, self._job_files, self._vault = settings, store, job_files, vault
        self._engine = engine
        self.notifier, self.hooks = Notifier(), Hooks()
        self.file_requests = FileRequests(store, self.notifier)
        self.event_feed = EventFeed(store, self.notifier)
        self.viewers = Viewers(store, self.notifier, signer)
        self._tasks, self._going = Tasks(), Going()
        self._making_room, self._room_again = asyncio.Lock(), logs.Again(log)
        self._hiding = Hiding(vault, keys(settings))
        self._finalizer = Finalizer(store, engine, job_files, self._hiding, settings, self.notifier, self.hooks)
        self._dispatcher = Dispatcher(
            settings, store, engine, job_files, self._finalizer, self.notifier, self._tasks, self.hooks
        )
        self._monitor = Monitor(settings, store, engine, self._finalizer, self._dispatcher, self._tasks, self.hooks)
        self._model_session = ModelSession(
            settings, store, self.notifier, self._tasks, self._hiding, models, job_files.upload
        )
        self.hooks.room_needed.subscribe(self._make_room_for_start)
        self.hooks.job_settling.subscribe(self._model_session.end)
        self.hooks.job_ended.subscribe(self._forget)
        self.hooks.job_ended.subscribe(lambda job: self._dispatcher.look())  # its slot is free
        self._expiring = asyncio.Lock()
        self._clock = AsyncIOScheduler()

    @property
    def draining(self) -> bool:
        """True while the system stops. It then accepts and starts no more jobs."""
        return self._dispatcher.stopped

    # ── for the users' door ──────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, job: Job, steps: list[Step], secrets: dict[str, str]) -> None:
        """Accept a job and store it durably. Raises Unavailable; the caller then removes the job's folder."""
        logs.concerns(job.id)
        if self.draining:
            raise Unavailable(
                503,
                "shutting-down",
                "Shutting down",
                "The system is being stopped; submit again later.",
                {"Retry-After": "30"},
            )
        if secrets:
            try:
                await asyncio.to_thread(self._vault.keep, job.id, secrets)
            except OSError as error:
                detail = f"The secrets could not be stored: {error.strerror}."
                raise Unavailable(507, "disk-full", "Disk full", detail) from None
        if not await self._store.add(job, steps, self._settings.max_queued_jobs):
            raise Unavailable(
                429,
                "queue-full",
                "Queue full",
                f"{self._settings.max_queued_jobs} jobs are waiting (MAX_QUEUED_JOBS); submit again later.",
                {"Retry-After": "10"},
            )
        log.info("accepted, planned by %s", job.planned_by)
        self._dispatcher.look()

    async def cancel(self, job_id: str, why: str = "") -> Job:
        """Cancel a job in any phase, and return its new state. A job that has ended does not change.

        If no person asked for the cancellation, ``why`` is the sentence that explains the job's end.
        """
        job = await self._store.request_cancel(job_id, why)
        if job is None:
            raise no_such_job(job_id)
        self.notifier.ring(job_id)
        if job.status == "scheduled":
            await self._finalizer.close(job, "cancelled", None, "The job was cancelled before it started.")
        elif job.status == "running" and job.settled_at is None and job.cancel_requested_at:
            log.info("cancellation asked for in phase %s", job.phase)
            self._tasks.spawn_once(f"cancel {job_id}", partial(self._monitor.enforce_cancel, job_id))
        return await self._store.job(job_id) or job

    async def delete(self, job_id: str) -> None:
        """Remove a job, its events and its files. If it has not ended, cancel it first. Raises Unavailable."""
        await self.cancel(job_id)
        job = await self.wait(job_id, self._settings.package_seconds + 2 * LATE_SECONDS)
        if job.status not in FINAL:
            raise Unavailable(
                503,
                "not-ended",
                "Not ended",
                f"Job {job_id} was cancelled but has not ended yet: its files are still being saved. Try again later.",
                {"Retry-After": "10"},
            )
        await asyncio.to_thread(self._job_files.remove, job_id)
        await self._store.delete(job_id)
        self.notifier.ring(job_id)
        log.info("deleted")

    async def wait(self, job_id: str, seconds: float) -> Job:
        """Wait until a job has ended, at most this many seconds, and return its state then."""
        seen: list[Job] = []

        async def ended() -> bool:
            job = await self._store.job(job_id)
            if job is None:
                raise no_such_job(job_id)
            seen[:] = [job]
            return job.status in FINAL

        await wait_until(self.notifier, job_id, ended, time.monotonic() + seconds)
        return seen[0]

    # ── for the agents' door ─────────────────────────────────────────────────────────────────────────────────────

    async def job_of_token(self, token: str) -> Job | None:
        """Return the running job whose sandbox has this token, or None."""
        sandbox_id, _, _ = token.partition(".")
        job = await self._store.job_of_sandbox(sandbox_id)
        if job is None or job.status != "running" or not job.token_sha256:
            return None
        return job if secrets.compare_digest(job.token_sha256, digest(token)) else None

    async def take(self, job: Job) -> messages.Order | None:
        """Answer the agent's first request with its order. Returns None if the job has ended meanwhile."""
        taken = await self._store.take(job.id)
        if taken is None:
            return None
        self.notifier.ring(job.id)
        try:
            given = await asyncio.to_thread(self._vault.open, job.id) if job.secrets else {}
        except Lost as error:
            self._finalizer.begin(job, "failed", "secrets_lost", f"The secrets of the job cannot be read: {error}.")
            return None
        steps = await self._store.steps(job.id)
        planned = [planned_step(step) for step in steps if step.number != messages.CHECK]
        return messages.Order(
            job_id=job.id,
            planned_by=job.planned_by,
            thinks=job.planned_by == MODEL,
            steps=planned,
            uploads=[upload["name"] for upload in job.uploads],
            outputs=job.outputs,
            check=job.check_command,
            network=job.network,
            seconds=job.seconds,
            cpus=job.cpus,
            zip_bytes=job.zip_bytes,
            package_seconds=self._settings.package_seconds,
            link_lost_seconds=self._settings.link_lost_seconds,
            required=job.outputs if job.planned_by != MODEL or "outputs" in job.given else [],
            check_given=job.planned_by != MODEL or "check" in job.given,
            review=self._model_session.review(job),
            step_seconds=self._settings.model_step_seconds,
            secrets=given,
            **(model_prompts.wanted(job) if job.planned_by == MODEL else {}),
        )

    async def refuse(self, job: Job, detail: str) -> None:
        """End a job as failed because the orchestrator cannot work with its agent."""
        self._finalizer.begin(job, "failed", "engine_error", detail)

    async def record(self, job: Job, reports: list[Report]) -> int:
        """Store the agent's reports, and return the number of its last report that is on disk."""
        hidden = await self._hiding.of(job)
        if hidden:  # searching a large batch takes long
            reports = await asyncio.to_thread(hidden.structure, reports)
        for report in reports:
            if report.kind == "result" and (said := in_words(without_pictures(report.data))):
                report.words = f"{said}\n"
        last = await self._store.record(job.id, reports)
        self.notifier.ring(job.id)
        return last

    async def commands(self, job: Job) -> messages.Commands:
        """Return the commands for the agent. Wait for one, but at most ``COMMAND_SECONDS``."""

        async def wanted() -> messages.Commands | None:
            now = await self._store.job(job.id)
            if now is None or now.status != "running" or now.cancel_requested_at:
                return messages.Commands(["cancel"])
            looks, views = self.file_requests.unheard(job.id), self.viewers.unheard(now)
            return messages.Commands(looks=looks, views=views) if looks or views else None

        found = await wait_until(self.notifier, job.id, wanted, time.monotonic() + COMMAND_SECONDS)
        return found or messages.Commands()

    def _forget(self, job: Job) -> None:
        self._model_session.forget(job.id)
        self.viewers.forget(job.id)

    def uploads(self, job: Job) -> Iterator[bytes]:
        """Return the uploaded files of a job as a tar stream. Blocks."""
        return tar(job.uploads, partial(self._job_files.upload, job.id))

    async def answer(self, job: Job, ask: messages.Ask) -> messages.Answered | None:
        """Begin to answer the agent's question to the model. Returns None if the job has ended meanwhile."""
        return await self._model_session.answer(job, ask)

    async def hear(self, job: Job, question: messages.Hear) -> messages.Answered | None:
        """Return the progress of a question, or its answer. Returns None if the job has ended meanwhile."""
        return await self._model_session.hear(job, question)

    def writing(self, job_id: str) -> Call | None:
        """Return the model call whose answer is being written for a job, or None."""
        return self._model_session.writing(job_id)

    async def accept_outcome(self, job: Job, outcome: messages.Outcome) -> messages.Settled | None:
        """Decide how a job ends, and return the documents for its ZIP. Returns None if it has ended meanwhile."""
        return await self._finalizer.settle_from_agent(job, outcome)

    async def receive(self, job: Job, chunks: AsyncIterator[bytes]) -> messages.Stored | None:
        """Store a job's ZIP and finish the job. Returns None if the job has ended meanwhile."""
        return await self._finalizer.receive(job, chunks)

    # ── starting and stopping ────────────────────────────────────────────────────────────────────────────────────

    async def take_up(self) -> None:
        """Clean up after a sudden end of the orchestrator.

        Call it before any server accepts requests. It removes the files and secrets of jobs that are not in the record.
        A job whose request is still coming in is not in the record either.
        """
        try:
            await self._take_up()
        except Exception:  # for example, a full or damaged record: jobs go on, and /health says what is wrong
            log.exception("not all that the last end broke off could be taken up")

    async def start(self) -> None:
        """Begin to start jobs, to supervise them, and to expire files."""
        self._tasks.spawn(self._monitor.run())
        self._tasks.spawn(self._monitor.compare())
        self._tasks.spawn(self._dispatcher.run())
        self._every(TICK_SECONDS, self._monitor.tick)
        self._every(ROOM_SECONDS, self.make_room)
        self._every(EXPIRE_SECONDS, self._expire_alone, next_run_time=datetime.now(UTC))
        self._clock.start()

    async def _take_up(self) -> None:
        for job_id in await asyncio.to_thread(self._job_files.with_uploads_alone):
            if await self._store.job(job_id) is None:  # the end came before the job was accepted
                await asyncio.to_thread(self._job_files.remove, job_id)
        for job_id in await asyncio.to_thread(self._vault.kept):
            known = await self._store.job(job_id)
            if known is None:  # the end came before the job was accepted
                await asyncio.to_thread(self._job_files.remove, job_id)
            elif known.status in FINAL:
                await asyncio.to_thread(self._vault.forget, job_id)
        await self._model_session.take_up()

    def _every(self, seconds: float, call: Callable[[], Awaitable[None]], **options: object) -> None:
        again = logs.Again(log)

        async def called() -> None:
            try:
                await call()
                again.well()
            except asyncio.CancelledError:
                pass  # the clock was shut down, and would log this as an error
            except Exception as error:
                again.wrong(error, "regular work failed, and is tried again every %g s", seconds)

        self._clock.add_job(called, "interval", seconds=seconds, max_instances=1, **options)

    async def _expire_alone(self) -> None:
        """Expire files, one run at a time. Two runs at once would each make the room that one needs."""
        async with self._expiring:
            with self._job_files.noting_fault():
                await self.expire()

    async def _make_room_for_start(self) -> None:
        """Make room for a job that is about to start. The job asks again soon, so a failure is logged once."""
        try:
            await self._expire_alone()
            self._room_again.well()
        except Exception as error:
            self._room_again.wrong(error, "the disk is short, and old results could not be removed")

    async def expire(self) -> None:
        """Remove files that were kept long enough, make room, and remove old jobs from the record."""
        for job in await self._store.to_expire(time.time(), self._settings.retention_days):
            await self._expire(job, "kept long enough")
        await self.make_room()
        await self._forget_ended()
        while await self._store.give_back():
            pass  # in small steps, so that others may write in between

    async def make_room(self) -> None:
        """If the disk is short, end the jobs that fill it, and then remove the oldest files of ended jobs."""
        async with self._making_room:
            if not await self._disk_short() or not await self._end_eaters():
                return
            for job in await self._store.first_to_go(time.time() - 60 * self._settings.min_keep_minutes):
                if not await self._disk_short():
                    break
                await self._expire(job, "the disk is short")

    async def _disk_short(self) -> str | None:
        return await asyncio.to_thread(self._job_files.disk_short)

    async def _end_eaters(self) -> bool:
        """End the jobs that have written more than DISK_RESERVE each, the largest first, while the disk is short.

        Returns False if one of these jobs is being packed, because it frees its space soon without help.
        """
        try:
            written = await self._going.within("written", self._engine.written, WRITTEN_SECONDS)
        except (EngineError, TimeoutError) as error:
            log.warning("the disk is short, and what jobs have written is not known: %s", error or "no answer in time")
            return True
        for sandbox_id, size in sorted(written.items(), key=lambda item: item[1], reverse=True):
            short = await self._disk_short()
            if not short or size <= self._settings.disk_reserve:
                break
            job = await self._store.job_of_sandbox(sandbox_id)
            with logs.about(job.id if job else None, sandbox_id):
                if job and job.status == "running" and (job.packaging_at or job.settled_at):
                    log.info(
                        "the disk is short, and it has written %s: its files go when it is packed", show_size(size)
                    )
                    return False
                if job and job.status == "running":
                    detail = f"The job had written {show_size(size)} when the disk got short, so it was ended. {short}"
                    await self._finalizer.close(job, "failed", "disk_full", detail)
                try:
                    await self._engine.stop(sandbox_id)  # its files go with it
                except EngineError as error:
                    log.warning("its sandbox could not be removed yet: %s", error)
        return True

    async def _forget_ended(self) -> None:
        """Remove from the record the jobs that ended more than RECORD_DAYS ago."""
        if not self._settings.record_days:
            return
        while job_ids := await self._store.to_forget(time.time() - self._settings.record_days * DAY):
            for job_id in job_ids:
                await asyncio.to_thread(self._job_files.remove, job_id)  # a sudden end may have left files
            while not await self._store.forget(job_ids):
                pass  # in small steps, so that others may write in between
            for job_id in job_ids:
                self.notifier.ring(job_id)
            log.info("%d jobs have left the record: they ended more than RECORD_DAYS ago", len(job_ids))

    async def _expire(self, job: Job, why: str) -> None:
        with logs.about(job.id):
            await self._store.expire(job.id)
            await asyncio.to_thread(self._job_files.remove, job.id)
            log.info("its files are removed: %s", why)

    async def stop(self) -> None:
        """Give running jobs time to end, cancel the rest, and remove every sandbox. Waiting jobs stay."""
        self._dispatcher.stopped = True
        if not await self._idle_within(self._settings.drain_seconds):
            for job in await self._store.running():
                with logs.about(job.id, job.sandbox_id):
                    await self.cancel(job.id, STOPPED.format(job_id=job.id))
            await self._idle_within(self._settings.package_seconds + 2 * LATE_SECONDS)
        await asyncio.gather(*await self._monitor.reconcile_quietly(), return_exceptions=True)
        self._clock.shutdown(wait=False)
        await self._finalizer.wait()
        self.notifier.close()
        await self._tasks.cancel()

    async def record_gone(self) -> str:
        """Wait until the record is removed or replaced while the system runs, and return a sentence about it.

        After that, nothing can be stored any more.
        """
        while True:
            if said := await asyncio.to_thread(self._job_files.gone):
                return said
            await asyncio.sleep(TICK_SECONDS)

    async def abandon(self) -> None:
        """Stop after the record is gone, and all jobs with it. Remove every sandbox and release all waiting calls."""
        self._dispatcher.stopped = True
        self._clock.shutdown(wait=False)
        try:
            await self._monitor.remove_all()
        except EngineError as error:
            log.warning("the sandboxes could not be removed: %s", error)
        self.notifier.close()
        await self._tasks.cancel()

    async def _idle_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while running := await self._store.running():
            if time.monotonic() >= end:
                return False
            await self.wait(running[0].id, end - time.monotonic())
        return True
