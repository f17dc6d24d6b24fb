"""Error responses, as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match

from orchestrator.errors import Problem

MEDIA_TYPE = "application/problem+json"


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def answer(problem: Problem) -> ProblemResponse:
    content: dict[str, Any] = {
        "type": f"/problems/{problem.type}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    return ProblemResponse(content, problem.status, problem.headers)


async def on_problem(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it alone
    return answer(error)


def of_http_error(request: Request, error: HTTPException) -> Problem:
    """Convert an error of the framework, such as an unknown path or a wrong method."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = {
        404: f"There is nothing at {request.url.path[:200]!r}. GET / lists the addresses.",
        405: f"{request.method} is not allowed here: {request.url.path[:200]!r} takes {', '.join(_allowed(request))}.",
    }.get(error.status_code, str(error.detail))
    if error.status_code == 413:
        return Problem(413, "too-large", "Too large", detail)
    word = phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    return Problem(error.status_code, word, phrase, detail, headers)


def _allowed(request: Request) -> list[str]:
    """Return all methods of a path. The framework names only those of its first route."""
    routes = request.app.router.routes
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def on_record_full(request: Request, error: Exception, status: int = 507) -> ProblemResponse:
    """Report that the record is full. The request was not stored."""
    return answer(Problem(status, "disk-full", "Disk full", str(error), {"Retry-After": "10"}))


async def on_record_closed(request: Request, error: Exception) -> ProblemResponse:
    """Nothing can be stored until the orchestrator is started again."""
    return answer(Problem(503, "record-closed", "Record closed", str(error), {"Retry-After": "30"}))


async def on_crash(request: Request, error: Exception) -> ProblemResponse:
    """Report a bug of the orchestrator. The log has the traceback, the answer does not."""
    detail = "The orchestrator failed; its log has the details. If the request named a job, the job is not lost."
    # the server closes the connection afterwards; without this header, the client would send its next request into it
    return answer(Problem(500, "internal-error", "Internal error", detail, {"Connection": "close"}))
