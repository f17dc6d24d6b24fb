"""Parses server responses: event streams or JSON, with tolerance for malformed fields."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from orchestrator.llm.error_texts import words
from orchestrator.llm.retries import Failure

#: Line ends of an event stream, see https://html.spec.whatwg.org/multipage/server-sent-events.html.
FIELD = re.compile(rb"(data|event|id|retry)?(:|$)")

#: Data of the last event in an OpenAI stream.
DONE = "[DONE]"

#: White space and the mark of the byte order, which may stand before JSON.
BLANKS, BOM = "\ufeff \t\r\n", b"\xef\xbb\xbf"

#: Types of content parts that have reasoning.
REASONS = re.compile(r"think|reason|thought", re.IGNORECASE)

#: No answer has so many tokens.
MOST_TOKENS = 10**9

#: Fields in which servers say what went wrong. The first one present counts.
MESSAGES = ("message", "detail", "msg", "error_msg", "errorMessage", "error_message", "title", "type", "code")

#: Status of each error type, because errors in a stream have none. See https://platform.claude.com/docs/en/api/errors
#: and https://developers.openai.com/api/docs/guides/error-codes.
STATUS = {
    "invalid_request_error": 400, "context_length_exceeded": 400, "authentication_error": 401, "invalid_api_key": 401,
    "billing_error": 402, "permission_error": 403, "not_found_error": 404, "model_not_found": 404,
    "request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429, "insufficient_quota": 429,
    "RESOURCE_EXHAUSTED": 429, "api_error": 500, "server_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


async def messages(chunks: AsyncIterator[bytes], protocol: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of an event stream or a JSON body. ``{}`` stands for DONE.

    Raises Failure for anything else. Servers may stream unasked, or not stream although asked. Other
    data of an event is skipped, because some servers keep a connection alive with a word.
    """
    found, other = False, False
    async for name, data in _data(chunks):
        if data.strip(' "') == DONE:
            yield {}
            return
        try:
            values = list(_objects(data))
        except (ValueError, RecursionError):
            raise Failure(f"an answer that is not of {protocol} protocol", HTTPStatus.BAD_GATEWAY) from None
        if name == "error" and not any("error" in value for value in values):
            values = [{"error": value} for value in values] or [{"error": data}]
        other = other or (not values and bool(data.strip()))
        for value in values:
            found = True
            yield value
    if not found:
        said, status = (f"an answer that is not of {protocol} protocol", 200) if other else ("an empty answer", 502)
        raise Failure(said, status)


def _objects(data: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a text, one after another or in a list. Raises ValueError if one breaks off."""
    decoder, text, at = json.JSONDecoder(strict=False), data.strip(BLANKS), 0
    while text[at : at + 1] in ("{", "["):
        value, at = decoder.raw_decode(text, at)
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))
        while text[at : at + 1] and text[at] in BLANKS:
            at += 1
        if text.startswith(DONE, at):
            return


async def _data(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, str]]:
    """Yield the name and the data of each event, or the whole body if it is not an event stream."""
    data: list[bytes] = []
    name, rest, begun = "", b"", False
    is_stream = False
    body: list[bytes] = []
    async for chunk in chunks:
        if not is_stream and body:
            body.append(chunk)
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for at, line in enumerate(lines):
            line = line.removesuffix(b"\r")
            if not begun:
                line = line.removeprefix(BOM)
            if not is_stream and not line.strip():
                continue
            begun = True
            if not is_stream and not FIELD.match(line):
                body = [b"\n".join([line, *lines[at + 1 :], rest])]
                break
            is_stream = True
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")
            elif not line:
                if data:
                    yield name, b"\n".join(data).decode("utf-8", "replace")
                data, name = [], ""
            elif not FIELD.match(line) and (data or line.startswith(b"{")):
                data.append(line)  # a server that fails may write plain JSON into its stream
    rest = rest if begun else rest.removeprefix(BOM)
    if not is_stream and not body and FIELD.match(rest):
        is_stream = True
    if not is_stream:
        if whole := b"".join(body or [rest]).strip():
            yield "", whole.decode("utf-8", "replace")
        return
    if rest.startswith(b"data:"):
        data.append(rest[5:])
    elif rest and not FIELD.match(rest):
        data.append(rest)
    if data:
        yield name, b"\n".join(data).decode("utf-8", "replace")


def part(value: Any, *path: str | int) -> Any:
    """Return the value at a path in JSON, or None if the JSON has another shape."""
    for key in path:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and len(value) > key else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any) -> str:
    """Return the text of a content field: a string, a list of parts, or one part. Reasoning is left out."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(text, value))
    if isinstance(value, dict) and not _reasons(value):
        return text(value.get("text") or value.get("content") or "")
    return ""


def thought(value: Any) -> str:
    """Return the reasoning in a content field, which some servers send as parts of their own."""
    if isinstance(value, list):
        return "".join(map(thought, value))
    return all_text(value) if isinstance(value, dict) and _reasons(value) else ""


def all_text(value: Any) -> str:
    """Return every text of a field that has only reasoning."""
    if isinstance(value, list):
        return "".join(map(all_text, value))
    if isinstance(value, dict):
        names = ("text", "content", "thinking", "reasoning", "summary")
        return next((found for name in names if (found := all_text(value.get(name)))), "")
    return value if isinstance(value, str) else ""


def _reasons(value: dict[str, Any]) -> bool:
    return bool(REASONS.search(str(value.get("type") or "")))


def count(value: Any) -> int | None:
    """Return a token count, or None if the value is not one."""
    found = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS
    return int(value) if found else None


def loaded(body: str) -> Any:
    """Return the JSON of a body, or its text if it is none."""
    try:
        return json.loads(body.lstrip(BLANKS), strict=False)
    except (ValueError, RecursionError):
        return body


def failure(status: int, headers: Mapping[str, str] | None, body: Any) -> Failure:
    """Convert an answer that reports an error, in whatever shape."""
    known = status in HTTPStatus._value2member_map_
    body = body[0] if isinstance(body, list) and body else body
    said = body
    if isinstance(body, dict):
        error = body.get("error") or body.get("errors") or body
        error = error[0] if isinstance(error, list) and error else error
        said = error if isinstance(error, str) else _said(error) or _said(body)
        body = {**body, "error": error if isinstance(error, dict) else {"message": error}}
    return Failure(words(said, HTTPStatus(status).phrase if known else "no words"), status, headers, body)


def _said(error: Any) -> str:
    """Return the message of an error object. A router adds the words of the server behind it."""
    if not isinstance(error, dict):
        return str(error or "")
    found = next((error[name] for name in MESSAGES if error.get(name)), "")
    raw = part(error, "metadata", "raw") or part(error, "innererror", "message") or ""
    return " ".join(one if isinstance(one, str) else json.dumps(one) for one in (found, raw) if one)


def told(error: Any) -> Failure:
    """Convert an error in the body of a success, which has no status of its own."""
    kind = error if isinstance(error, dict) else {}
    numbers = (kind.get(name) for name in ("code", "status", "status_code", "statusCode"))
    found = [int(number) for number in map(str, numbers) if re.fullmatch(r"[45]\d\d", number)]
    named = [STATUS[str(kind.get(name))] for name in ("type", "code", "status") if str(kind.get(name)) in STATUS]
    return failure([*found, *named, HTTPStatus.BAD_GATEWAY.value][0], None, {"error": error})
