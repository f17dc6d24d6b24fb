"""Errors for an unknown address or a wrong method. They name the call that the client probably meant."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request

from orchestrator.web.problems import ProblemResponse, answer, of_http_error
from orchestrator.wording import nearest

#: Words in the addresses of other systems, with the call here.
ELSEWHERE = {
    **dict.fromkeys(("submit", "run", "runs", "execute", "create", "new", "task", "tasks", "prompt"), "POST /schedule"),
    **dict.fromkeys(("logs", "output", "stdout", "console"), "GET /jobs/{job_id}/log"),
    **dict.fromkeys(("result", "results", "artifact", "artifacts", "zip", "archive"), "GET /download/{job_id}"),
    **dict.fromkeys(("state", "progress"), "GET /status/{job_id}"),
    **dict.fromkeys(("stop", "kill", "abort", "terminate"), "POST /cancel/{job_id}"),
    **dict.fromkeys(("rerun", "restart", "again"), "POST /jobs/{job_id}/retry"),
    **dict.fromkeys(("stream", "sse"), "GET /jobs/{job_id}/events"),
    **dict.fromkeys(("ipynb", "session.ipynb"), "GET /jobs/{job_id}/notebook"),
    **dict.fromkeys(("list", "queue"), "GET /jobs"),
    **dict.fromkeys(("healthz", "readyz", "ready", "ping"), "GET /health"),
    **dict.fromkeys(("swagger", "redoc", "openapi", "swagger.json", "help"), "GET /docs"),
}

#: A job's id in an address.
ID = re.compile(r"[0-9a-f]{16}")


async def on_http_error(request: Request, error: Exception) -> ProblemResponse:
    """Answer an error of the framework. A 404 names the nearest call, and a 405 the methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    problem = of_http_error(request, error)
    parts = [part for part in request.url.path.lower().split("/") if part]
    if error.status_code in (404, 405) and request.method == "POST" and parts in ([], ["jobs"]):
        problem.detail += " POST /schedule submits a job."
    elif error.status_code == 404 and (meant := _meant(request, parts)):
        problem.detail += f" Did you mean {meant}?"
    return answer(problem)


def _meant(request: Request, parts: list[str]) -> str | None:
    """Return the call that a client probably meant, with the job's id from its address."""
    known = {**_calls(request), **ELSEWHERE}
    job_id = next((part for part in parts if ID.fullmatch(part)), "{job_id}")
    for word in reversed(parts):
        if word != job_id and (near := word if word in known else nearest(word[:50], known)):
            return known[near].replace("{job_id}", job_id)
    return None


def _calls(request: Request) -> dict[str, str]:
    """Return the calls of the API by the last word of their address. The first call with a word stays."""
    found: dict[str, str] = {}
    for path, item in request.app.openapi()["paths"].items():
        words = [part for part in path.split("/") if part and "{" not in part]
        if words:
            method = "get" if "get" in item else next(iter(item))
            found.setdefault(words[-1], f"{method.upper()} {path}")
    return {**found, "docs": "GET /docs"}
