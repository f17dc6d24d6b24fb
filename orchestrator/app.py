"""The assembly of the system. Only this module knows all of its parts."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from orchestrator.api import (
    addresses,
    events,
    files,
    jobs,
    log,
    login,
    notebook,
    openapi,
    retry,
    system,
    templates,
    validation,
)
from orchestrator.api.context import Context, name_the_job, only_known_parameters
from orchestrator.api.guard import Guard
from orchestrator.db.store import Store
from orchestrator.diagnosis.run import Diagnosis
from orchestrator.engines.docker import DockerEngine
from orchestrator.errors import Problem, RecordClosed, RecordFull
from orchestrator.files.job_files import JobFiles
from orchestrator.gateway.app import create_gateway
from orchestrator.gateway.login import Login
from orchestrator.job_secrets.vault import Vault
from orchestrator.jobs.creation import Creation
from orchestrator.jobs.service import JobService
from orchestrator.link.app import create_link
from orchestrator.live.grants import Signer
from orchestrator.llm import choose
from orchestrator.logs import Access
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings
from orchestrator.web.problems import (
    ProblemResponse,
    answer,
    on_crash,
    on_problem,
    on_record_closed,
    on_record_full,
)
from protocol import messages

ABOUT = """Turns a prompt into a finished piece of work: a fresh container for each job, and a ZIP on every ending.

Errors are problem details (RFC 9457); `detail` says what happened and what to do."""


@dataclass(frozen=True)
class System:
    """The whole system: its three applications and the services behind them."""

    users: ASGIApp
    link: ASGIApp
    gateway: ASGIApp
    job_service: JobService
    _context: Context

    async def take_up(self) -> None:
        """Clean up after a sudden end, before any application serves."""
        await self.job_service.take_up()

    async def start(self) -> None:
        await self.job_service.start()

    async def stop(self) -> None:
        """Drain, cancel, and remove every sandbox, while the applications still serve."""
        await self._context.diagnosis.stop()
        await self.job_service.stop()

    async def record_gone(self) -> str:
        """Wait until the record was removed or replaced, and return a sentence. Call ``abandon`` then, not ``stop``."""
        return await self.job_service.record_gone()

    async def abandon(self) -> None:
        await self.job_service.abandon()

    async def close(self) -> None:
        """Close the engine and the record, after the applications have stopped."""
        await self._context.engine.close()
        await self._context.models.close()
        self._context.store.close()
        self._context.job_files.close()


def create_system(settings: Settings) -> System:
    """Build the system. Raises OrchestratorError if a setting is wrong or another orchestrator is in the way."""
    models = choose(settings)
    predefined = Templates()
    job_files = JobFiles(settings.agent_output_dir, settings.disk_reserve)
    vault = Vault(job_files)
    store = Store(job_files.database)
    engine = DockerEngine(
        settings.docker_host, settings.run_dir, settings.link_dir, settings.live_dir, job_files.folder
    )
    signer = Signer(job_files.key("views"))
    job_service = JobService(settings, store, engine, job_files, vault, models, signer)
    diagnosis = Diagnosis(settings, store, engine, job_files, models, signer)
    creation = Creation(settings, store, job_service, job_files, predefined, models)
    browsers = Login(settings, signer)
    context = Context(
        settings, store, job_service, engine, job_files, predefined, diagnosis, models, signer, creation, browsers
    )

    users = Access(Guard(create_app(context), settings, engine, browsers), "api")
    link = Access(create_link(job_service), "link", quiet=("GET", "POST", "PUT"))
    app = create_gateway(settings, store, job_service, engine, signer, browsers)
    gateway = Access(app, "gateway", quiet=("GET", "POST"))
    return System(users, link, gateway, job_service, context)


def create_app(context: Context) -> FastAPI:
    """Build the users' API, without its guard."""
    app = FastAPIOffline(title="containerized-agent", version=messages.VERSION, description=ABOUT, redoc_url=None)
    app.state.context = context
    for module in (jobs, events, log, files, notebook, retry, templates, system, login):
        app.include_router(module.router, dependencies=[Depends(name_the_job), Depends(only_known_parameters)])
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RecordFull, on_record_full)
    app.add_exception_handler(RecordClosed, on_record_closed)
    app.add_exception_handler(events.NothingMore, events.on_nothing_more)
    app.add_exception_handler(HTTPException, addresses.on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, on_crash)
    app.openapi = lambda: openapi.document(app, context.settings)  # type: ignore[method-assign]
    return app


async def _on_invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    return answer(validation.refusal(error.errors()))
