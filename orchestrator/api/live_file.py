"""File answers from a running job's sandbox, and the errors if there is no answer."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
from contextlib import suppress
from email.utils import formatdate
from typing import NoReturn
from urllib.parse import quote

from anyio import EndOfStream
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.api.file_response import SAFE_HEADERS, attachment, bad_range, no_such_part, unchanged
from orchestrator.errors import BadRequest, Conflict, NotFound, Unavailable
from orchestrator.live.file_requests import Answer
from orchestrator.sizes import show_size
from protocol import messages

log = logging.getLogger(__name__)

UNKNOWN = "application/octet-stream"

_RANGE = re.compile(r"bytes *= *(?:(\d{1,18}) *- *(\d{0,18})|- *(\d{1,18}))", re.IGNORECASE | re.ASCII)


def live(job_id: str, path: str, answer: Answer, request: Request, parted: bool) -> Response:
    """Build the response whose content the agent of a running job sends."""
    found = answer.found
    if not isinstance(found, messages.FoundFile):
        refuse(job_id, path, found)
    if parted and found.begin == found.end:
        raise no_such_part(found.size)
    etag = f'W/"{found.size:x}-{int(found.modified * 1e6):x}"'
    if same := unchanged(request, etag):
        answer.close()
        return same
    if answer.too_large and answer.look.content:
        most = show_size(messages.LIVE_FILE_BYTES)
        raise BadRequest(
            413,
            "too-large",
            "Too large",
            f"{path[:200]!r} has {found.size:,} bytes. While the job runs, an answer has at most {most}. Get a part "
            f"with Range (-H 'Range: bytes=-1000' returns the last 1,000 bytes), or wait for the ZIP.",
        )
    headers = {
        "Content-Length": str(found.end - found.begin),
        "Content-Disposition": attachment(base_name(path)),
        "Accept-Ranges": "bytes",
        "Last-Modified": formatdate(found.modified, usegmt=True),
        "ETag": etag,
        **SAFE_HEADERS,
    }
    if parted:
        headers["Content-Range"] = f"bytes {found.begin}-{found.end - 1}/{found.size}"
    return _Live(answer, 206 if parted else 200, headers, media_type(path))


class _Live(StreamingResponse):
    """Stream a file from a sandbox and close the answer. An interrupted transfer never looks complete."""

    def __init__(self, answer: Answer, status: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(answer.blocks, status, headers, media_type)
        self._answer = answer

    async def stream_response(self, send: Send) -> None:
        answer, left = self._answer, self._answer.wanted
        with suppress(TimeoutError, EndOfStream):
            async with asyncio.timeout_at(answer.over):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                while left:
                    block = await answer.blocks.receive()
                    left -= len(block)
                    await send({"type": "http.response.body", "body": block, "more_body": True})
        # without a last message the server closes the connection, so the client sees that the file is incomplete
        if left:
            log.info("a file of a running job broke off %d bytes before its end", left)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


def wanted_part(request: Request) -> tuple[int | None, int | None]:
    """Return the first and last byte of the requested part, in the form of ``messages.Look``."""
    wanted = request.headers.get("range")
    # A changing file has no strong tag for If-Range. RFC 9110 says to ignore unknown range units.
    if wanted is None or "if-range" in request.headers or not wanted.strip().lower().startswith("bytes"):
        return None, None
    found = _RANGE.fullmatch(wanted.strip())
    if not found:
        raise bad_range()
    first, last, suffix = (int(number) if number else None for number in found.groups())
    if first is not None and last is not None and last < first:
        raise bad_range()
    return (None, suffix) if first is None else (first, last)


def refuse(job_id: str, path: str, found: messages.Found | None) -> NoReturn:
    """Raise the problem that says why there is no file to send."""
    shown = repr(path[:200])
    kind, detail = (found.kind, found.detail) if isinstance(found, messages.FoundNone) else ("failed", "")
    where = f"GET /jobs/{job_id}/files lists the files."
    match kind:
        case "missing":
            raise NotFound(404, "no-such-file", "No such file", f"Job {job_id} has no file {shown}. {where}")
        case "folder":
            folder = quote(path[:200])
            detail = f"{shown} is a folder. GET /jobs/{job_id}/files?under={folder} lists its files."
        case "link":
            detail = f"{shown} is or contains a symlink to {detail[:200]!r}, and symlinks are not followed. {where}"
        case "other":
            detail = f"{shown} is a pipe, a socket or a device. Only regular files can be read."
        case "denied":
            detail = f"The job's user cannot read {shown}: {detail}."
        case _:
            raise Unavailable(
                503,
                "no-look",
                "No look",
                f"The files of job {job_id} are temporarily unavailable: {detail}. Try again, or wait for the ZIP.",
                {"Retry-After": "2"},
            )
    raise Conflict(409, "not-a-file", "Not a file", detail)


def base_name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def media_type(path: str) -> str:
    """Guess the media type from a file's name."""
    found, packed = mimetypes.guess_type(base_name(path))
    return {"gzip": "application/gzip"}.get(packed, UNKNOWN) if packed else found or UNKNOWN
