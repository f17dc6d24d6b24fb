"""The routes of the link. Each call belongs to one running job, and carries the token of the job's sandbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Any

from anyio import BrokenResourceError, ClosedResourceError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from orchestrator.db.models import MODEL, Job
from orchestrator.errors import BadRequest, Conflict, Forbidden, Problem, RecordClosed, RecordFull, Unavailable
from orchestrator.files.job_files import DiskFull, TooBig
from orchestrator.jobs.service import JobService
from orchestrator.link import message_parser
from orchestrator.link.guard import Guard
from orchestrator.link.pieces import pieces
from orchestrator.web.problems import on_crash, on_problem, on_record_closed, on_record_full
from protocol import messages

log = logging.getLogger(__name__)

#: Time limit of a message in seconds, from the end of its headers.
MESSAGE_SECONDS = 30.0


def create_link(job_service: JobService) -> ASGIApp:
    """Return the application for the link's socket."""

    def caller(request: Request) -> Job:
        job: Job = request.scope["job"]  # the guard has found it
        return job

    async def take(request: Request) -> StreamingResponse:
        job = caller(request)
        version = message_parser.take(await _body(request)).version
        if version != messages.VERSION:
            detail = f"The agent's image has version {version[:40]!r}, the orchestrator has {messages.VERSION!r}."
            await job_service.refuse(job, f"{detail} Build both with `make up`.")
            raise Conflict(409, "version", "Versions differ", detail)
        return _long_answer(await job_service.take(job))

    async def uploads(request: Request) -> StreamingResponse:
        return StreamingResponse(job_service.uploads(caller(request)), media_type="application/x-tar")

    async def events(request: Request) -> JSONResponse:
        job = caller(request)
        reports = await asyncio.to_thread(message_parser.batch, await _body(request), job.steps_count, time.time())
        return _answer(messages.Acknowledged(await job_service.record(job, reports)))

    async def commands(request: Request) -> JSONResponse:
        return _answer(await job_service.commands(caller(request)))

    async def ask(request: Request) -> JSONResponse:
        job = caller(request)
        question = message_parser.ask(await _body(request))
        _check_thinks(job)
        return _answer(await job_service.answer(job, question))

    async def hear(request: Request) -> JSONResponse:
        job = caller(request)
        question = message_parser.hear(await _body(request))
        _check_thinks(job)
        return _answer(await job_service.hear(job, question))

    async def outcome(request: Request) -> StreamingResponse:
        job = caller(request)
        return _long_answer(await job_service.accept_outcome(job, message_parser.outcome(await _body(request))))

    async def artifact(request: Request) -> JSONResponse:
        job = caller(request)
        try:
            return _answer(await job_service.receive(job, _stream(request)))
        except TooBig as error:
            raise BadRequest(413, "zip-too-big", "ZIP too big", str(error)) from error
        except DiskFull as error:
            raise Unavailable(507, "disk-full", "Disk full", str(error)) from error
        except ClientDisconnect:
            log.info("the stream of its ZIP broke off")
            raise BadRequest(400, "broken-off", "Broken off", "The stream ended before the ZIP did.") from None

    async def look(request: Request) -> JSONResponse:
        job = caller(request)
        with job_service.file_requests.answering(job.id, request.path_params["look_id"]) as answer:
            try:
                async with asyncio.timeout_at(answer.over):
                    line, blocks = await _line(_stream(request))
                    job_service.file_requests.deliver(answer, message_parser.found(line, answer.look))
                    await answer.fill(blocks)
            except (TimeoutError, ClientDisconnect, BrokenResourceError, ClosedResourceError):
                pass  # too slow, or one of the two sides has gone: no client needs an error
        return JSONResponse(None, headers={"Connection": "close"})  # the rest of the request is not read

    async def views(request: Request) -> JSONResponse:
        job = caller(request)
        job_service.viewers.report(job.id, message_parser.shown(await _body(request)))
        return JSONResponse(None)

    routes = [
        Route("/take", take, methods=["POST"]),
        Route("/uploads", uploads, methods=["GET"]),
        Route("/events", events, methods=["POST"]),
        Route("/commands", commands, methods=["GET"]),
        Route("/ask", ask, methods=["POST"]),
        Route("/hear", hear, methods=["POST"]),
        Route("/outcome", outcome, methods=["POST"]),
        Route("/artifact", artifact, methods=["PUT"]),
        Route("/looks/{look_id}", look, methods=["PUT"]),
        Route("/views", views, methods=["POST"]),
    ]
    later = partial(on_record_full, status=503)  # tells an agent to try again until there is disk space
    app = Starlette(
        routes=routes,
        exception_handlers={
            Problem: on_problem,
            RecordFull: later,
            RecordClosed: on_record_closed,
            Exception: on_crash,
        },
    )
    return Guard(app, job_service)


def _check_thinks(job: Job) -> None:
    if job.planned_by != MODEL:
        raise Forbidden(403, "no-model", "No model", "The plan of this job was made without a model.")


def _answer(message: Any) -> JSONResponse:
    return JSONResponse(_content(message))


def _long_answer(message: Any) -> StreamingResponse:
    """Return an answer that may have megabytes, such as a plan or the documents for the ZIP."""
    return StreamingResponse(pieces(_content(message)), media_type="application/json")


def _content(message: Any) -> dict[str, Any]:
    if message is None:
        raise Conflict(409, "ended", "Ended", "The job has ended meanwhile.")
    return asdict(message)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(MESSAGE_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > message_parser.MESSAGE_BYTES:
                    detail = f"A message has {message_parser.MESSAGE_BYTES:,} bytes at most."
                    raise BadRequest(413, "too-long", "Too long", detail)
    except TimeoutError:
        detail = f"A message may take {MESSAGE_SECONDS:g} s."
        raise BadRequest(408, "too-slow", "Too slow", detail) from None
    except ClientDisconnect:
        raise BadRequest(400, "broken-off", "Broken off", "The message was not whole.") from None
    return bytes(body)


async def _line(blocks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first line of a stream, and the rest of the stream."""
    begun = bytearray()
    async for block in blocks:
        begun += block
        if b"\n" in block:
            break
        if len(begun) > message_parser.MESSAGE_BYTES:
            raise BadRequest(413, "too-long", "Too long", f"A line has {message_parser.MESSAGE_BYTES:,} bytes at most.")
    line, _, first = bytes(begun).partition(b"\n")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    return line, rest()


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
