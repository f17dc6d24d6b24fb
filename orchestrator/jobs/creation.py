"""The only way to make a job. POST /schedule, retries and all other makers of jobs use it.

The columns ``ASKED`` of a job hold its request. If a column is missing here, every submission fails. A retry keeps all
of these columns.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from pydantic import SecretStr

from orchestrator.db.models import ASKED, FINAL, MODEL, PLANNED, Job, Step
from orchestrator.db.store import Store
from orchestrator.errors import BadRequest, Conflict, Gone, SettingsError
from orchestrator.files.job_files import JobFiles
from orchestrator.files.uploads import keep_files, share_files
from orchestrator.job_secrets.validation import plain, refuse_in_clear, refuse_other_names
from orchestrator.jobs.service import JobService
from orchestrator.llm import Models
from orchestrator.planning.planner import Plan, Wanted, invalid, plan
from orchestrator.planning.step_rows import rows_of
from orchestrator.planning.steps import Limits
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings
from protocol import messages


class Request(Wanted, Protocol):
    """The parts of a ``ScheduleRequest`` that define a job."""

    @property
    def model(self) -> str | None: ...
    @property
    def outputs(self) -> list[str]: ...
    @property
    def check(self) -> str | None: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def network(self) -> str | None: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def keep_days(self) -> float | None: ...
    @property
    def secrets(self) -> dict[str, SecretStr]: ...
    def model_dump(self, *, exclude: set[str]) -> dict[str, Any]: ...


def new_id() -> str:
    """Return the id of a new job."""
    return secrets.token_hex(8)


class Creation:
    """Makes jobs. If a method raises, nothing of the new job is left on disk."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        job_service: JobService,
        job_files: JobFiles,
        templates: Templates,
        models: Models,
    ) -> None:
        self._settings, self._store, self._job_service = settings, store, job_service
        self._job_files, self._templates, self._models = job_files, templates, models

    async def create(self, request: Request, job_id: str, uploads: list[dict[str, Any]]) -> Job:
        """Make a job from a request and the uploads stored under its ID. Raises BadRequest and Unavailable."""
        planned: Plan | None = None

        def stored() -> bool:
            return bool(uploads or request.secrets or (planned and planned.sample))

        async with self._all_or_nothing(job_id, stored):
            names = [upload["name"] for upload in uploads]
            given = plain(request.secrets)
            await refuse_in_clear(given, {**request.model_dump(exclude={"secrets"}), "files": names})
            wanted_model = self._full_name(request.model) if request.model else None
            planned = plan(request, names, self._templates, self._models.default is not None)
            if wanted_model and planned.planned_by != MODEL:
                raise invalid("model", f"the plan of this job comes from {planned.planned_by}, so no model is asked")
            if planned.sample:
                uploads = await asyncio.to_thread(keep_files, planned.sample, self._job_files, job_id)
            asked = {
                "prompt": request.prompt or "",
                "planned_by": planned.planned_by,
                "network": request.network or planned.network or self._settings.default_network,
                "seconds": request.limits.seconds,
                "memory": request.limits.memory,
                "cpus": request.limits.cpus,
                "processes": request.limits.processes,
                "zip_bytes": request.limits.zip,
                "max_calls": request.limits.calls,
                "max_tokens": request.limits.tokens,
                "max_cost": request.limits.cost,
                "steps_count": len(planned.steps),
                "check_command": request.check or "",
                "outputs": request.outputs or planned.outputs,
                "given": [name for name in ("outputs", "check") if getattr(request, name)],
                "labels": request.labels,
                "keep_days": request.keep_days,
                "inputs": planned.inputs,
                "uploads": uploads,
                "secrets": sorted(given),
                "notes": planned.notes,
                "wanted_model": wanted_model,
            }
            return await self._submit(job_id, asked, lambda job: rows_of(job, planned.steps, 1), given)

    async def repeat(self, job: Job, given: Mapping[str, str]) -> Job:
        """Make a job that repeats another job; ``given`` are its secrets. Raises Problem.

        If a model made the plan, the model makes a new plan.
        """
        if job.status not in FINAL:
            raise Conflict(
                409,
                "not-ended",
                "Not ended",
                f"Job {job.id} is {job.status}; it can be run again when it has ended. POST /cancel/{job.id} ends it.",
            )
        refuse_other_names(job.secrets, given, job.id)
        asked = job.model_dump(include=set(ASKED))
        steps = await self._store.steps(job.id)
        if job.planned_by == MODEL:
            self._check_model(job)
            steps = [step for step in steps if step.number == messages.CHECK and "check" in job.given]
            asked["steps_count"] = 0
            asked["outputs"] = job.outputs if "outputs" in job.given else []
            asked["check_command"] = job.check_command if "check" in job.given else ""
        await refuse_in_clear(given, _content(asked, steps))
        job_id = new_id()
        async with self._all_or_nothing(job_id):
            if job.uploads and not await asyncio.to_thread(share_files, self._job_files, job.id, job_id):
                raise Gone(
                    410,
                    "expired",
                    "Expired",
                    f"The files that came with job {job.id} are not kept any more. "
                    f"Send them again with POST /schedule; GET /status/{job.id} has their names.",
                )
            return await self._submit(job_id, asked, lambda new: [_again(step, new) for step in steps], given)

    async def _submit(
        self, job_id: str, asked: dict[str, Any], steps: Callable[[Job], list[Step]], given: Mapping[str, str]
    ) -> Job:
        if asked.keys() != ASKED:
            raise TypeError(f"a job is asked for with all of ASKED, and nothing else: {sorted(asked.keys() ^ ASKED)}")
        job = Job(id=job_id, created_at=time.time(), **asked)
        await self._job_service.submit(job, steps(job), dict(given))
        return job

    @asynccontextmanager
    async def _all_or_nothing(self, job_id: str, stored: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
        """Remove the job's folder if the job cannot be made; ``stored`` says whether there may be a folder."""
        try:
            yield
        except BaseException:
            if stored():  # without a folder, the response need not wait for the disk
                await asyncio.to_thread(self._job_files.remove, job_id)
            raise

    def _full_name(self, model: str) -> str:
        """Return the full name of a model. Raises BadRequest if there is no such model."""
        try:
            return self._models.full_name(model)
        except SettingsError as error:
            raise invalid("model", f"{error}") from None

    def _check_model(self, job: Job) -> None:
        try:
            self._models.get(job.wanted_model)
        except SettingsError:
            detail = "A model made the plan of this job, and none is set any more."
            if job.wanted_model:
                detail = f"The model {job.wanted_model} made the plan of this job, and it is not set any more."
            detail = f"{detail} The plan in its manifest can be posted."
            raise BadRequest(422, "no-plan", "No plan", detail) from None


def _again(step: Step, job: Job) -> Step:
    return Step(**step.model_dump(include=set(PLANNED)), job_id=job.id)


def _content(asked: Mapping[str, Any], steps: list[Step]) -> dict[str, Any]:
    """Return the stored content of a request, by field."""
    return {
        **{name: asked[name] for name in ("prompt", "outputs", "labels", "inputs")},
        "check": asked["check_command"],
        "steps": [(step.title, step.source, step.path, step.args) for step in steps],
        "files": [upload["name"] for upload in asked["uploads"]],
    }
