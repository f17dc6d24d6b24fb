"""Parses the body of POST /schedule: JSON, or a form with files."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from orchestrator.api import schemas
from orchestrator.api.context import Context
from orchestrator.errors import BadRequest
from orchestrator.files.uploads import UploadForm, read_form

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

#: `curl -d` sends this type by default, although the body is JSON.
JSON_TYPES = {"application/json", "application/x-www-form-urlencoded", "text/plain", ""}


async def read(request: Request, here: Context, job_id: str) -> tuple[schemas.ScheduleRequest, list[dict[str, Any]]]:
    """Return the request and its uploaded files.

    Raises BadRequest, Unavailable if the disk is full, and RequestValidationError that names each wrong field. After an
    error, nothing is left on disk.
    """
    header = request.headers.get("content-type", "")
    kind = header.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await read_form(header, request.stream(), here.job_files, job_id, here.settings.max_upload)
        try:
            return _checked(_content(form), schemas.ScheduleRequest), form.uploads
        except BaseException:
            await asyncio.to_thread(here.job_files.remove, job_id)
            raise
    if kind not in JSON_TYPES:
        raise BadRequest(
            415,
            "not-json",
            "Not JSON",
            f"The body has the type {kind[:80]!r}. Send JSON (-H 'Content-Type: application/json') or a form (-F).",
        )
    return _checked(_json(await request.body()), schemas.ScheduleRequest), []


async def read_retry(request: Request) -> schemas.RetryRequest:
    """Return the body of a retry, which is usually empty. Raises the same errors as ``read``."""
    body = await request.body()
    return _checked(_json(body), schemas.RetryRequest) if body.strip() else schemas.RetryRequest()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, "not-json", "Not JSON", f"The body is not valid JSON: {str(error)[:200]}.") from None


def _content(form: UploadForm) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, text in form.fields.items():
        if not text and (name == "files" or name in schemas.ScheduleRequest.model_fields):
            continue  # pages send each field, and an empty field was not filled in
        # the schema reports unknown fields below
        if name in schemas.TEXT_FIELDS or name not in schemas.ScheduleRequest.model_fields:
            content[name] = text
            continue
        try:
            content[name] = json.loads(text)
        except (ValueError, RecursionError) as error:
            known = ", ".join(schemas.TEXT_FIELDS)
            message = f"is not valid JSON. In a form, only {known} and the files are not JSON: {str(error)[:200]}"
            detail = f"{name[:80]}: {message}."
            errors = [{"field": name[:80], "message": message}]
            raise BadRequest(422, "invalid", "Invalid request", detail, errors=errors) from None
    return content


def _checked(content: Any, model: type[T]) -> T:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in wrong]) from None
