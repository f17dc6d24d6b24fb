"""File responses: whole files or byte ranges, always sent as attachments."""

from __future__ import annotations

import re
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from os import stat_result
from typing import Any, BinaryIO
from urllib.parse import quote

import anyio
from anyio import AsyncFile, to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from orchestrator.errors import BadRequest
from orchestrator.web.problems import answer

#: These headers stop a browser from rendering a job's file as our page, and stop shared caches from storing it.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
    "Cache-Control": "private, max-age=0, must-revalidate",
}

#: Characters that end or escape a quoted name, and control characters.
_NOT_IN_QUOTES = re.compile(r'["\\\x00-\x1f\x7f]')

_HEADERS = {"ETag": {"description": "The SHA-256 of the file.", "required": True, "schema": {"type": "string"}}}


def answers(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Build the OpenAPI responses of a route that returns a file."""
    content: dict[str, Any] = {"headers": _HEADERS, "content": {media_type: {}}}
    parts: dict[str, Any] = {**content["content"], "multipart/byteranges": {}}
    return {
        200: {"description": "The whole file.", **content},
        206: {"description": "The requested parts.", **content, "content": parts},
        304: {"description": "The file is unchanged: `If-None-Match` has its `ETag`.", "headers": _HEADERS},
    }


#: Request headers that a file route reads, for the OpenAPI document.
ASKS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
        for name, description in (
            ("Range", "Parts of the file, such as `bytes=0-99`."),
            ("If-Range", "An `ETag`. If it is no longer current, the answer is the whole file."),
            ("If-None-Match", "An `ETag` that the client already has."),
        )
    ]
}


def attachment(name: str) -> str:
    """Build the Content-Disposition of a file that the client saves under this name.

    Browsers and wget read ``filename*`` (RFC 6266). curl and older clients read only ``filename``, without escapes.
    They get the name as raw UTF-8, with ``_`` for quotes, backslashes and control characters. Starlette sends a header
    as Latin-1, so the value has one character for each byte.
    """
    plain = _NOT_IN_QUOTES.sub("_", name)
    value = f'attachment; filename="{plain}"'
    if plain != name or not name.isascii() or "%" in name:  # some clients decode a plain name's percent signs
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return value.encode().decode("latin-1")


class Contents(FileResponse):
    """Response for an open file. The client gets the whole file even if it is deleted meanwhile. Closes the file.

    ``file`` supports read and seek; ``size`` is in bytes, ``modified`` in seconds since the epoch.
    """

    def __init__(self, file: BinaryIO, size: int, modified: float, name: str, media_type: str, etag: str) -> None:
        found = stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, size, int(modified), int(modified), int(modified)))
        headers = {"ETag": etag, "Content-Disposition": attachment(name), **SAFE_HEADERS}
        super().__init__(name, media_type=media_type, headers=headers, stat_result=found)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: Message | None = None

        async def watched(message: Message) -> None:
            """Pass the messages on, but hold back Starlette's own 400 and 416 so that problem details replace them."""
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused = message
            elif refused is None:
                await send(message)

        try:
            await super().__call__(scope, receive, watched)
        finally:
            await to_thread.run_sync(self._file.close)
        if refused is not None:
            size = int(self.headers["content-length"])
            await answer(no_such_part(size) if refused["status"] == 416 else bad_range())(scope, receive, send)

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[AsyncFile[bytes]]:
        yield anyio.wrap_file(self._file)


def unchanged(request: Request, etag: str) -> Response | None:
    """Return 304 if the client has this version (``If-None-Match``, RFC 9110, 13.1.2)."""
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    headers: Mapping[str, str] = {"ETag": etag, **SAFE_HEADERS}
    return Response(status_code=304, headers=headers) if known & {etag.removeprefix("W/"), "*"} else None


def no_such_part(size: int) -> BadRequest:
    """Build the error for a Range beyond the end of the file."""
    detail = f"The Range is beyond the end of the file, which has {size:,} bytes."
    return BadRequest(416, "no-such-part", "No such part", detail, {"Content-Range": f"bytes */{size}"})


def bad_range() -> BadRequest:
    """Build the error for a malformed Range header."""
    return BadRequest(400, "bad-range", "Bad range", "The Range header is malformed. Use the form bytes=0-99.")
