"""Parses server responses: event streams or JSON, with tolerance for malformed fields."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from orchestrator.llm.retries import Failure

#: Line ends of an event stream, see https://html.spec.whatwg.org/multipage/server-sent-events.html.
FIELD = re.compile(rb"(data|event|id|retry)?(:|$)")

#: Data of the last event in an OpenAI stream.
DONE = "[DONE]"


async def messages(chunks: AsyncIterator[bytes], protocol: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of an event stream or a JSON body. ``{}`` stands for DONE.

    Raises Failure for anything else. Servers may stream unasked, or not stream although asked.
    """
    found = False
    async for data in _data(chunks):
        if data.strip() == DONE:
            yield {}
            return
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            broken = found or data.lstrip()[:1] in ("{", "[")
            status = HTTPStatus.BAD_GATEWAY if broken else HTTPStatus.OK
            raise Failure(f"an answer that is not of {protocol} protocol", status) from None
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise Failure(f"an answer that is not of {protocol} protocol", HTTPStatus.OK)
            found = True
            yield part
    if not found:
        raise Failure("an empty answer", HTTPStatus.BAD_GATEWAY)


async def _data(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the data of each event, or the whole body if it is not an event stream."""
    data: list[bytes] = []
    rest = b""
    is_stream = False
    body: list[bytes] = []
    async for chunk in chunks:
        if not is_stream and body:
            body.append(chunk)
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for at, line in enumerate(lines):
            line = line.removesuffix(b"\r")
            if not is_stream and not line.strip():
                continue
            if not is_stream and not FIELD.match(line):
                body = [b"\n".join([*lines[at:], rest])]
                break
            is_stream = True
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data).decode("utf-8", "replace")
                data = []
    if not is_stream:
        body = body or [rest]
        if rest.startswith(b"data:") and len(body) == 1:
            yield rest[5:].decode("utf-8", "replace")
        elif whole := b"".join(body).strip():
            yield whole.decode("utf-8", "replace")
        return
    if rest.startswith(b"data:"):
        data.append(rest[5:])
    if data:
        yield b"\n".join(data).decode("utf-8", "replace")


def part(value: Any, *path: str | int) -> Any:
    """Return the value at a path in JSON, or None if the JSON has another shape."""
    for key in path:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and len(value) > key else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any) -> str:
    """Return the text of a content field: a string, a list of parts, or one part."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(text, value))
    if isinstance(value, dict):
        return text(value.get("text") or value.get("content") or "")
    return ""


def count(value: Any) -> int | None:
    """Return a token count, or None if the value is not one."""
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None
