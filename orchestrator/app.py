"""Puts the pieces together; alone knows them all."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from agent import wire
from orchestrator.api import afterwards, events, files, jobs, notebook, openapi, system, templates
from orchestrator.api.context import Context, name_the_job, only_known_parameters
from orchestrator.api.guard import Guard
from orchestrator.diagnosis.run import Diagnosis
from orchestrator.engines.docker import DockerEngine
from orchestrator.errors import Problem, RecordFull
from orchestrator.gateway.app import create_gateway
from orchestrator.link.app import create_link
from orchestrator.llm import choose
from orchestrator.logs import Access
from orchestrator.problems import ProblemResponse, answer, on_crash, on_http_error, on_problem, on_record_full
from orchestrator.records import Records
from orchestrator.scheduler import Scheduler
from orchestrator.settings import Settings
from orchestrator.signing import Signer
from orchestrator.store import Store
from orchestrator.templates import Templates
from orchestrator.vault import Vault

ABOUT = """Turns a prompt into a finished piece of work: a fresh container for each job, and a ZIP on every ending.

Errors are problem details (RFC 9457); `detail` says what happened and what to do."""


@dataclass(frozen=True)
class System:
    """Everything that runs: the three doors and what is behind them."""

    users: ASGIApp
    link: ASGIApp
    gateway: ASGIApp
    scheduler: Scheduler
    _context: Context

    async def take_up(self) -> None:
        """Put in order what a sudden end left half done, before any door opens."""
        await self.scheduler.take_up()

    async def start(self) -> None:
        await self.scheduler.start()

    async def stop(self) -> None:
        """Drain, cancel, and remove every sandbox, while both doors are open."""
        await self._context.diagnosis.stop()
        await self.scheduler.stop()

    async def record_gone(self) -> str:
        """Return, with a sentence, where the record was taken away; then ``abandon`` is to be called, not ``stop``."""
        return await self.scheduler.record_gone()

    async def abandon(self) -> None:
        await self.scheduler.abandon()

    async def close(self) -> None:
        """Let go of the engine and of the record, when both doors are closed."""
        await self._context.engine.close()
        await self._context.models.close()
        self._context.store.close()
        self._context.records.close()


def create_system(settings: Settings) -> System:
    """Build the system; raises OrchestratorError where a setting or another orchestrator stands in the way."""
    models = choose(settings)
    predefined = Templates()
    records = Records(settings.agent_output_dir, settings.disk_reserve)
    vault = Vault(records)
    store = Store(records.database)
    engine = DockerEngine(settings.docker_host, settings.run_dir, settings.link_dir, settings.live_dir)
    signer = Signer(records.key("views"))
    scheduler = Scheduler(settings, store, engine, records, vault, models, signer)
    diagnosis = Diagnosis(settings, store, engine, records, models, signer)
    context = Context(settings, store, scheduler, engine, records, predefined, diagnosis, models, signer)

    users = Access(Guard(create_app(context), settings, engine), "api")
    link = Access(create_link(scheduler), "link", quiet=("GET", "POST", "PUT"))
    gateway = Access(create_gateway(settings, store, scheduler, signer), "gateway", quiet=("GET", "POST"))
    return System(users, link, gateway, scheduler, context)


def create_app(context: Context) -> FastAPI:
    """The users' door, without its guard."""
    app = FastAPIOffline(title="containerized-agent", version=wire.VERSION, description=ABOUT, redoc_url=None)
    app.state.context = context
    for module in (jobs, events, files, notebook, afterwards, templates, system):
        app.include_router(module.router, dependencies=[Depends(name_the_job), Depends(only_known_parameters)])
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RecordFull, on_record_full)
    app.add_exception_handler(events.NothingMore, events.on_nothing_more)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, on_crash)
    app.openapi = lambda: openapi.document(app, context.settings)  # type: ignore[method-assign]
    return app


async def _on_invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    wrong = []
    for item in error.errors()[:50]:
        field = ".".join(str(part) for part in item["loc"][1:])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "there is no such field"
        if item["type"] in ("model_type", "dict_type", "model_attributes_type"):
            message = "must be a JSON object"
        wrong.append({"field": field[:200], "message": message})
    sentence = "; ".join(f"{item['field']}: {item['message']}" if item["field"] else item["message"] for item in wrong)
    return answer(Problem(422, "invalid", "Invalid request", f"{sentence}.", errors=wrong))
