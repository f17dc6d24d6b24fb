"""The end of a job: a ZIP on disk first, then the final state, then the sandbox is removed.

Normally the agent makes the ZIP (``settle_from_agent``, ``receive``). If the agent cannot, the finalizer makes it from
the files that the engine still has (``close``).
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import time
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import Any, BinaryIO

from orchestrator import logs
from orchestrator.concurrency.notifier import Notifier
from orchestrator.db.models import FINAL, MODEL, Event, Job, Step
from orchestrator.db.store import Printed, Store
from orchestrator.engines.base import Engine
from orchestrator.errors import EngineDown, EngineError, RecordFull
from orchestrator.files.job_files import DiskFull, JobFiles
from orchestrator.files.salvage import write_zip
from orchestrator.job_secrets.vault import Hiding
from orchestrator.jobs.hooks import Hooks
from orchestrator.reports import documents
from orchestrator.settings import Settings
from protocol import messages
from protocol.artifact import Artifact, regular
from protocol.redaction import Needles

log = logging.getLogger(__name__)

#: A job, its steps, and the events of its model.
Rows = tuple[Job, list[Step], list[Event]]

#: The user's folder in a sandbox.
WORKSPACE = "/workspace"

#: Maximum bytes of a ZIP beyond its workspace part, for manifest, report and output.
DOCUMENTS_BYTES = 128 * 2**20

#: The reason why a ZIP has only a part of a workspace, or nothing of it.
DISK_IS_FULL = "the host's disk is full"

#: Failed attempts to close a job, after which the job ends without a new ZIP.
ATTEMPTS = 3

#: Seconds until the finalizer retries an engine that does not answer.
ENGINE_RETRY_SECONDS = 2.0


class Finalizer:
    """Brings each job to its final state, once."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        job_files: JobFiles,
        hiding: Hiding,
        settings: Settings,
        notifier: Notifier,
        hooks: Hooks,
    ) -> None:
        self._store, self._engine, self._job_files, self._hiding = store, engine, job_files, hiding
        self._settings, self._notifier, self._hooks = settings, notifier, hooks
        self._api = documents.Api(settings.api_url, bool(settings.api_key))
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._failures: defaultdict[str, list[str]] = defaultdict(list)  # the errors of attempts to close a job
        self._removing: dict[str, asyncio.Task[None]] = {}  # by sandbox

    # ── the agent makes the ZIP ──────────────────────────────────────────────────────────────────────────────────

    async def settle_from_agent(self, job: Job, outcome: messages.Outcome) -> messages.Settled | None:
        """Decide how a job ends, and return the documents for its ZIP. Returns None if it has ended meanwhile."""
        hidden = await self._hiding.of(job)
        await self._hooks.job_settling.emit(job.id)
        told = asdict(await asyncio.to_thread(hidden.structure, outcome))
        if outcome.status == "completed":
            told["detail"] = " ".join([told["detail"], *job.notes]).strip()
        settled = await self._store.decide_outcome(job.id, told, await self._judged(job.id, outcome))
        if settled is None or settled.status != "running" or settled.outcome is None:
            return None
        self._notifier.ring(job.id)
        decided = settled.outcome
        ending, manifest, texts = await self._documents(settled)
        if ending != decided:  # some documents could not be made, and the new outcome says so
            await self._store.decide_outcome(job.id, ending, replace=True)
        return messages.Settled(ending["status"], ending["reason"], ending["detail"], manifest, texts)

    async def _judged(self, job_id: str, outcome: messages.Outcome) -> dict[str, Any]:
        """Return further fields of a completed job: how it was verified, and the model's wrong guesses corrected."""
        job = await self._store.job(job_id)
        if job is None or outcome.status != "completed":
            return {}
        check = next((step for step in await self._store.steps(job_id) if step.number == messages.CHECK), None)
        found: dict[str, Any] = {}
        if job.planned_by.startswith("template:") and job.outputs:
            found["summary"] = documents.results(job.outputs)
        guessed = job.planned_by == MODEL
        if guessed and "outputs" not in job.given:
            found["outputs"] = [path for path in job.outputs if path not in outcome.unmatched]
        if guessed and "check" not in job.given:
            if check is None or check.status != "completed" or outcome.check_dropped:
                found["check_command"] = ""
        elif check is not None and check.status == "completed":
            return {**found, "verified_by": "your check"}
        if job.accepted:
            return {**found, "verified_by": "review"}
        looked = outcome.facts if guessed else job.outputs
        if looked and all(fact.ok for fact in outcome.facts):
            return {**found, "verified_by": "facts"}
        return {**found, "verified_by": "nothing but exit codes"}

    async def receive(self, job: Job, chunks: AsyncIterator[bytes]) -> messages.Stored | None:
        """Store the agent's ZIP and finish the job. Raises TooBig and DiskFull.

        Returns None if the job has ended meanwhile.
        """
        try:
            part = await self._job_files.receive(job.id, chunks, job.zip_bytes + DOCUMENTS_BYTES)
        except DiskFull as error:
            self.begin(job, "failed", "disk_full", str(error))
            raise
        async with self._locks[job.id]:
            now = await self._store.job(job.id)
            if now is None or now.status != "running" or now.outcome is None or "packed" not in now.outcome:
                await asyncio.to_thread(part.discard)
                return None
            await asyncio.to_thread(self._job_files.keep, part)
            await self._finish(now, {"bytes": part.size, "sha256": part.sha256, **_told(now.outcome)})
            return messages.Stored(part.size, part.sha256)

    async def finish_stored(self, job: Job) -> bool:
        """Finish a job whose ZIP was on disk before the orchestrator stopped. Returns False without such a ZIP."""
        try:
            facts = await asyncio.to_thread(self._facts, job)
        except Exception:
            log.exception("its ZIP cannot be read, so it is made again")
            return False
        if facts is None:
            return False
        async with self._locks[job.id]:
            await self._finish(job, facts)
        return True

    # ── the ZIP is made here ─────────────────────────────────────────────────────────────────────────────────────

    def is_closing(self, job_id: str) -> bool:
        return job_id in self._closing

    def begin(self, job: Job, status: str, reason: str | None, detail: str) -> asyncio.Task[None]:
        """Start to close a job, and return the task. If the job is closing already, that task goes on."""
        task = self._closing.get(job.id)
        if task is None:
            context = contextvars.copy_context()  # shared by the task and its callback, so both log about the job
            work = self._close(job, status, reason, detail)
            task = self._closing[job.id] = asyncio.create_task(work, context=context)
            task.add_done_callback(partial(self._closed, job.id), context=context)
        return task

    async def close(self, job: Job, status: str, reason: str | None, detail: str) -> None:
        """End a job from outside.

        This kills the job's processes, makes a ZIP of the files that are left, sets the final state, and removes the
        sandbox.
        """
        await asyncio.shield(self.begin(job, status, reason, detail))

    async def wait(self) -> None:
        """Wait until all closings and removals that have begun are done."""
        while tasks := [*self._closing.values(), *self._removing.values()]:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self, job: Job, status: str, reason: str | None, detail: str) -> None:
        """Close a job. A failed attempt is repeated when the clock finds the job still running.

        After ``ATTEMPTS`` failures, the job ends without a new ZIP.
        """
        logs.concerns(job.id, job.sandbox_id)
        async with self._locks[job.id]:
            now = await self._store.job(job.id)
            if now is None or now.status in FINAL:
                return
            if len(self._failures[job.id]) < ATTEMPTS:
                try:
                    return await self._close_with_zip(now, status, reason, detail)
                except RecordFull:  # not counted, because no result can be stored until there is room
                    raise
                except Exception as error:
                    self._failures[job.id].append(f"{type(error).__name__}: {error}"[:200])
                    if len(self._failures[job.id]) < ATTEMPTS:
                        raise
                    log.exception("closing it failed %d times, so it ends without a new ZIP", ATTEMPTS)
            await self._close_without_zip(now, status, reason, detail)

    async def _close_with_zip(self, now: Job, status: str, reason: str | None, detail: str) -> None:
        await self._hooks.job_settling.emit(now.id)
        detail = (await self._hiding.of(now)).text(detail)  # it may have an agent's last output
        settled = await self._settle_here(now, {"status": status, "reason": reason, "detail": detail})
        unpacked = _unpacked(reason, detail)
        # From here on, no agent can take the job. If none has, its sandbox has nothing of the job. Killing that sandbox
        # could wait for an engine that hangs.
        if settled.sandbox_id and settled.taken_at is not None:
            await self._kill(settled.sandbox_id)
        facts: dict[str, Any] | None
        try:
            facts = await self._salvage(settled, unpacked, with_workspace=reason != "disk_full")
        except DiskFull as error:
            log.error("no ZIP could be stored: %s", error)
            facts = None
            _say_without_zip(settled, unpacked, f"There is no ZIP: {error}")
        await self._finish(settled, facts)

    async def _close_without_zip(self, now: Job, status: str, reason: str | None, detail: str) -> None:
        """End a job with the ZIP that an attempt left on disk. If there is none, the job's detail says why."""
        hidden = await self._hiding.of(now)
        detail = hidden.text(detail)
        settled = await self._settle_here(now, {"status": status, "reason": reason, "detail": detail})
        try:
            facts = await asyncio.to_thread(self._facts, settled)
        except Exception:
            log.exception("its ZIP cannot be read")
            facts = None
        if facts is None:
            last = hidden.text(self._failures[now.id][-1])
            why = f"There is no ZIP: {ATTEMPTS} attempts to make it failed ({last})."
            _say_without_zip(settled, _unpacked(reason, detail), why)
        await self._finish(settled, facts)

    async def _kill(self, sandbox_id: str) -> None:
        """Kill the sandbox's processes. If the engine does not answer, retry for as long as packaging may take."""
        end = time.monotonic() + self._settings.package_seconds
        while True:
            try:
                return await self._engine.kill(sandbox_id)
            except EngineDown as error:
                if time.monotonic() > end:
                    log.error("its sandbox could not be ended: %s", error)
                    return
                await asyncio.sleep(ENGINE_RETRY_SECONDS)
            except EngineError as error:
                log.error("its sandbox could not be ended: %s", error)
                return

    async def _settle_here(self, job: Job, outcome: dict[str, Any]) -> Job:
        """Decide how a job ends, unless its agent has settled that before.

        The agent's outcome stays, but without its facts about a ZIP, because that ZIP has not come.
        """
        if job.outcome is not None:
            log.warning("it ended before its ZIP had come: %s", outcome["detail"])
            outcome = {name: told for name, told in job.outcome.items() if name != "packed"}
        settled = await self._store.decide_outcome(job.id, outcome, replace=job.outcome is not None)
        return settled or job

    async def _salvage(self, job: Job, unpacked: dict[str, Any], with_workspace: bool) -> dict[str, Any]:
        """Make the ZIP of the files that are left.

        If all files are left, a completed job stays completed. If not, its outcome becomes ``unpacked``.
        """
        rows = await self._rows(job)
        hidden, secrets = await self._hiding.of(job), await self._hiding.secrets_of(job)

        def paper(artifact: Artifact) -> tuple[dict[str, Any], dict[str, str]]:
            if artifact.partial and _is_completed(job):
                job.outcome = unpacked
            job.outcome, manifest, texts = self._made(hidden, rows, artifact.secrets_found)
            return {**manifest, "salvaged": True, "partial": manifest["partial"] or artifact.partial}, texts

        async with AsyncExitStack() as stack:
            blocks: Iterator[bytes] | None = None
            why = "the job never had a container"
            if job.taken_at is not None and job.sandbox_id:
                why = DISK_IS_FULL
                if with_workspace:
                    try:
                        blocks = await stack.enter_async_context(self._engine.salvage(job.sandbox_id, WORKSPACE))
                    except EngineError as error:
                        why = f"the container is gone: {error}"
            facts: dict[str, Any] = {}

            def write(file: BinaryIO) -> None:
                deadline = time.monotonic() + self._settings.package_seconds
                budget = min(job.zip_bytes, self._job_files.room()) if with_workspace else job.zip_bytes
                full = DISK_IS_FULL if budget < job.zip_bytes else ""
                facts.update(write_zip(file, blocks, why, budget, deadline, job.outputs, paper, secrets, full))

            size, sha256 = await asyncio.to_thread(self._job_files.make, job.id, write)
        return {"bytes": size, "sha256": sha256, **facts}

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _finish(self, job: Job, artifact: dict[str, Any] | None) -> None:
        ending = job.outcome
        assert ending is not None  # noqa: S101 - all callers have settled the job
        await self._hiding.forget(job)  # the ZIP is done, so nothing needs the secrets, not even after a restart
        fields = {"phase": None, "reason": ending["reason"], "detail": ending["detail"]}
        ended = await self._store.finish(job.id, ending["status"], {**fields, "outcome": ending, "artifact": artifact})
        if ended is None:
            return
        log.info("ended: %s%s", ended.status, f" ({ended.reason})" if ended.reason else "")
        self._notifier.ring(job.id)
        self._locks.pop(job.id, None)
        await self._hooks.job_ended.emit(ended)
        if job.sandbox_id:
            self.remove(job.sandbox_id)

    def remove(self, sandbox_id: str) -> None:
        """Begin to remove a sandbox, unless its removal is already under way."""
        if sandbox_id not in self._removing:
            task = self._removing[sandbox_id] = asyncio.create_task(self._remove(sandbox_id))
            task.add_done_callback(lambda _: self._removing.pop(sandbox_id))

    async def _remove(self, sandbox_id: str) -> None:
        try:
            await self._engine.stop(sandbox_id)
        except EngineError as error:  # the next comparison with the engine finds the sandbox
            log.warning("the sandbox %s could not be removed yet: %s", sandbox_id, error)

    async def _documents(self, job: Job) -> documents.Made:
        rows, hidden = await self._rows(job), await self._hiding.of(job)
        found = (job.outcome or {}).get("packed", {}).get("secrets_found", [])
        return await asyncio.to_thread(self._made, hidden, rows, found)

    async def _rows(self, job: Job) -> Rows:
        """Read the rows from which the documents are made."""
        store = self._store
        return job, await store.steps(job.id), await store.thoughts(job.id)

    def _made(self, hidden: Needles, rows: Rows, found: list[dict[str, Any]]) -> documents.Made:
        """Make the documents for the ZIP, with secrets hidden. Blocks."""
        job, steps, thoughts = hidden.structure(rows)
        outputs: Iterator[Printed] = map(hidden.structure, self._store.outputs(job.id))
        return documents.all_of(job, steps, outputs, thoughts, found, self._api)

    def _facts(self, job: Job) -> dict[str, Any] | None:
        """Return the facts about a stored ZIP that the status shows, or None without a ZIP.

        If the orchestrator made the ZIP, the job takes its outcome from the ZIP's manifest.
        """
        measured, outcome = self._job_files.measure(job.id), job.outcome
        if measured is None or outcome is None:
            return None
        size = {"bytes": measured[0], "sha256": measured[1]}
        if "packed" in outcome:
            return {**size, **_told(outcome)}  # never open the agent's ZIP: it is untrusted
        with zipfile.ZipFile(self._job_files.artifact(job.id)) as archive:
            manifest = json.loads(archive.read("manifest.json"))
        job.outcome = {name: manifest[name] for name in ("status", "reason", "detail")}
        left_out = [item for item in manifest["left_out"] if not item["reason"].startswith("junk")]
        return {
            **size,
            "files": regular(manifest["files"]),
            "left_out": len(left_out),
            "with_secrets": len(manifest["secrets_found"]),
            "partial": manifest["partial"],
            "salvaged": True,
        }

    def _closed(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._closing.pop(job_id, None)
        self._locks.pop(job_id, None)
        if not task.cancelled() and task.exception():
            log.error("closing it failed, it is tried again", exc_info=task.exception())
        else:
            self._failures.pop(job_id, None)


def _is_completed(job: Job) -> bool:
    return job.outcome is not None and job.outcome["status"] == "completed"


def _say_without_zip(job: Job, unpacked: dict[str, Any], why: str) -> None:
    """Add the reason to the outcome of a job without a ZIP. Without its ZIP, a job does not count as completed."""
    ending = unpacked if _is_completed(job) else job.outcome
    if ending is not None:
        job.outcome = {**ending, "detail": f"{ending['detail']} {why}".strip()}


def _unpacked(reason: str | None, detail: str) -> dict[str, Any]:
    """Return the outcome of a job that completed its steps, but whose ZIP is not whole. It counts as failed."""
    detail = f"The steps were completed, but their ZIP was not: {detail}"
    return {"status": "failed", "reason": reason or "agent_lost", "detail": detail}


def _told(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that an agent has reported about its ZIP."""
    packed = outcome["packed"]
    partial = packed["partial"] or outcome["status"] != "completed"
    return {**{name: packed.get(name, 0) for name in ("files", "left_out", "with_secrets")}, "partial": partial}
