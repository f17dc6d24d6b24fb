"""The answers that come out of a running job's sandbox, and why there is none."""

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

from orchestrator.api.file_response import SAFE_HEADERS, bad_range, no_such_part, unchanged
from orchestrator.errors import BadRequest, Conflict, NotFound, Unavailable
from orchestrator.live.file_requests import Answer
from orchestrator.sizes import show_size
from protocol import messages

log = logging.getLogger(__name__)

UNKNOWN = "application/octet-stream"

_RANGE = re.compile(r"bytes *= *(?:(\d{1,18}) *- *(\d{0,18})|- *(\d{1,18}))", re.IGNORECASE | re.ASCII)


def live(job_id: str, path: str, answer: Answer, request: Request, parted: bool) -> Response:
    """The answer of which a running job's agent sends the content."""
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
            f"{path[:200]!r} has {found.size:,} bytes. While the job runs, {most} at a time can be had: ask for a part "
            f"with Range (-H 'Range: bytes=-1000' are the last 1,000), or wait for the ZIP.",
        )
    name, quoted = base_name(path), quote(base_name(path))
    headers = {
        "Content-Length": str(found.end - found.begin),
        "Content-Disposition": "attachment; "
        + (f'filename="{name}"' if name == quoted else f"filename*=utf-8''{quoted}"),
        "Accept-Ranges": "bytes",
        "Last-Modified": formatdate(found.modified, usegmt=True),
        "ETag": etag,
        **SAFE_HEADERS,
    }
    if parted:
        headers["Content-Range"] = f"bytes {found.begin}-{found.end - 1}/{found.size}"
    return _Live(answer, 206 if parted else 200, headers, media_type(path))


class _Live(StreamingResponse):
    """A file as a sandbox sends it. What breaks off is not ended as if it were whole. Closes the answer."""

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
        if left:  # without a last message the connection is closed, and whoever reads knows that it is not all
            log.info("a file of a running job broke off %d bytes before its end", left)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


def wanted_part(request: Request) -> tuple[int | None, int | None]:
    """First and last byte of the part that is wanted of a running job's file, as messages.Look has them."""
    wanted = request.headers.get("range")
    # of a file that changes there is no tag that If-Range could name; a unit that is not ours is to be ignored
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
    """Say why there is no file to send."""
    shown = repr(path[:200])
    kind, detail = (found.kind, found.detail) if isinstance(found, messages.FoundNone) else ("failed", "")
    where = f"GET /jobs/{job_id}/files lists those there are."
    match kind:
        case "missing":
            raise NotFound(404, "no-such-file", "No such file", f"Job {job_id} has no file {shown}. {where}")
        case "folder":
            folder = quote(path[:200])
            detail = f"{shown} is a folder. GET /jobs/{job_id}/files?under={folder} lists what is in it."
        case "link":
            detail = f"{shown} is a link, or leads over one, to {detail[:200]!r}: links are not followed. {where}"
        case "other":
            detail = f"{shown} is no regular file, but a pipe, a socket or a device."
        case "denied":
            detail = f"{shown} cannot be read by the job's own user: {detail}."
        case _:
            raise Unavailable(
                503,
                "no-look",
                "No look",
                f"Into job {job_id} nobody can look now: {detail}. Ask again, or wait for the ZIP.",
                {"Retry-After": "2"},
            )
    raise Conflict(409, "not-a-file", "Not a file", detail)


def base_name(path: str) -> str:
    """What a file is called in its folder."""
    return path.rpartition("/")[2]


def media_type(path: str) -> str:
    """What a file's name says it is."""
    found, packed = mimetypes.guess_type(base_name(path))
    return {"gzip": "application/gzip"}.get(packed, UNKNOWN) if packed else found or UNKNOWN
