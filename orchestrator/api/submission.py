"""Parses the body of POST /schedule: JSON, or a form with files."""

from __future__ import annotations

import asyncio
import re
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header

from orchestrator.api import json_body, schemas
from orchestrator.api.context import Context
from orchestrator.errors import BadRequest
from orchestrator.files.uploads import FILE_FIELD, read_form

T = TypeVar("T", bound=BaseModel)

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ScheduleRequest"},
                "examples": {name: {"summary": name, "value": value} for name, value in schemas.EXAMPLES.items()},
            },
            "multipart/form-data": {
                "schema": {"$ref": "#/components/schemas/ScheduleForm"},
                # without it, the page /docs sends each text of a list as a field of its own
                "encoding": {name: {"contentType": "application/json"} for name in schemas.FORM_EXAMPLES},
            },
        },
    }
}

RETRY_BODY = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RetryRequest"}}},
    }
}

#: `curl -d` sends this type by default, also for JSON.
URLENCODED = "application/x-www-form-urlencoded"

#: The types of JSON. Clients without a better one send text/plain or none.
JSON_TYPES = re.compile(r"(application|text)/(x-)?json|[\w.-]+/[\w.-]+\+json|text/plain|", re.ASCII)

#: Maximum fields of a form without files.
FIELDS = 100

#: The beginning of a form without files, and characters that every form library would encode.
_FORM, _RAW = re.compile(rb"\s*[A-Za-z_][\w.\[\]-]{0,99}="), re.compile(r"""[^!-~]|["<>\\^`{|}]""")


async def read(request: Request, here: Context, job_id: str) -> tuple[schemas.ScheduleRequest, list[dict[str, Any]]]:
    """Return the request and its uploaded files.

    Raises BadRequest, Unavailable if the disk is full, and RequestValidationError that names each wrong field. After an
    error, nothing is left on disk.
    """
    header = request.headers.get("content-type", "")
    kind = header.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        percent_encoded = "aiohttp/" in request.headers.get("user-agent", "")
        form = await read_form(
            header, request.stream(), here.job_files, job_id, here.settings.max_upload, percent_encoded
        )
        try:
            return _checked(_content(form.fields), schemas.ScheduleRequest), form.uploads
        except BaseException:
            await asyncio.to_thread(here.job_files.remove, job_id)
            raise
    if kind != URLENCODED and not JSON_TYPES.fullmatch(kind):
        raise BadRequest(
            415,
            "not-json",
            "Not JSON",
            f"The body has the type {kind[:80]!r}. Send JSON (-H 'Content-Type: application/json') or a form "
            f"(-F prompt='…' -F files=@sales.csv).",
        )
    body = await request.body()
    if kind == URLENCODED and _FORM.match(body):
        return _checked(_content(_urlencoded(body)), schemas.ScheduleRequest), []
    return _checked(json_body.parse(body, _charset(request)), schemas.ScheduleRequest), []


async def read_retry(request: Request) -> schemas.RetryRequest:
    """Return the body of a retry, which is usually empty. Raises the same errors as ``read``."""
    body = await request.body()
    if not body.strip():
        return schemas.RetryRequest()
    return _checked(json_body.parse(body, _charset(request)), schemas.RetryRequest)


def _charset(request: Request) -> str:
    return parse_options_header(request.headers.get("content-type"))[1].get(b"charset", b"").decode("latin-1")


def _urlencoded(body: bytes) -> dict[str, str]:
    """Return the fields of a form without files (`curl -d prompt=…`, or a page's form).

    `curl -d` does not encode a text. Raises BadRequest if such a text could be read in two ways.
    """
    try:
        text = body.decode().strip()
        pairs = parse_qsl(text, True, True, "utf-8", "strict", FIELDS)
    except ValueError:
        _refuse_form()
    found: dict[str, str] = {}
    known = schemas.ScheduleRequest.model_fields
    if _RAW.search(text) and (re.search(r"\+|%[0-9A-Fa-f]{2}", text) or any(name not in known for name, _ in pairs)):
        _refuse_form()
    for name, value in pairs:
        if FILE_FIELD.fullmatch(name):
            _refuse_field(name, "was sent as text; -F files=@sales.csv sends a file")
        if name in found:
            _refuse_field(name, "is given more than once")
        found[name] = value
    return found


def _content(fields: dict[str, str]) -> dict[str, Any]:
    """Return the request of a form. An empty field counts as missing, because a page's form sends all of its fields."""
    content: dict[str, Any] = {}
    for name, text in fields.items():
        # the schema reports unknown fields below
        if name not in schemas.ScheduleRequest.model_fields or (name in schemas.TEXT_FIELDS and text):
            content[name] = text
        if name in content or not text:
            continue
        try:
            content[name] = json_body.parse_text(text)
        except ValueError as error:
            texts = ", ".join(schemas.TEXT_FIELDS)
            _refuse_field(name, f"is not valid JSON{error}. In a form, only {texts} and the files are not JSON")
    return content


def _refuse_form() -> NoReturn:
    detail = (
        "The form is not percent-encoded, so its + and & may be text or not. Send each field with --data-urlencode "
        "'prompt=…' or -F prompt='…', or send JSON."
    )
    raise BadRequest(422, "invalid", "Invalid request", detail)


def _refuse_field(name: str, message: str) -> NoReturn:
    name = name[:80]
    errors = [{"field": name, "message": message}]
    raise BadRequest(422, "invalid", "Invalid request", f"{name}: {message}.", errors=errors)


def _checked(content: Any, model: type[T]) -> T:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in wrong]) from None
