"""Answers that are no success, as RFC 9457 problem details."""

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


async def on_http_error(request: Request, error: Exception) -> ProblemResponse:
    """What the framework itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    phrase = HTTPStatus(error.status_code).phrase
    detail = {
        404: f"There is nothing at {request.url.path[:200]!r}. GET / says where things are.",
        405: f"{request.method} is not possible here. GET /docs says what is.",
    }.get(error.status_code, str(error.detail))
    if error.status_code == 413:
        return answer(Problem(413, "too-large", "Too large", detail))
    word = phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    return answer(Problem(error.status_code, word, phrase, detail, headers))


def _allowed(request: Request) -> list[str]:
    """The methods that a path has: the framework names those of its first route alone."""
    routes = request.app.router.routes
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def on_record_full(request: Request, error: Exception, status: int = 507) -> ProblemResponse:
    """What was asked for is not stored."""
    return answer(Problem(status, "disk-full", "Disk full", str(error), {"Retry-After": "10"}))


async def on_record_closed(request: Request, error: Exception) -> ProblemResponse:
    """Nothing can be stored until the orchestrator is started again."""
    return answer(Problem(503, "record-closed", "Record closed", str(error), {"Retry-After": "30"}))


async def on_crash(request: Request, error: Exception) -> ProblemResponse:
    """A mistake of ours: the log has the trace, the answer has none."""
    detail = "The orchestrator made a mistake; its log says more. The job, if there was one, is not lost."
    # the server closes the connection after it: who is not told would send his next request into that
    return answer(Problem(500, "internal-error", "Internal error", detail, {"Connection": "close"}))
