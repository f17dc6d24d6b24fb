"""What is posted to /schedule: JSON, or a form with files."""

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
            "application/json": {"schema": {"$ref": "#/components/schemas/ScheduleRequest"}},
            "multipart/form-data": {"schema": {"$ref": "#/components/schemas/ScheduleForm"}},
        },
    }
}

RETRY_BODY = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RetryRequest"}}},
    }
}

#: What `curl -d` says where it is told nothing else; the body is JSON all the same.
JSON_TYPES = {"application/json", "application/x-www-form-urlencoded", "text/plain", ""}


async def read(request: Request, here: Context, job_id: str) -> tuple[schemas.ScheduleRequest, list[dict[str, Any]]]:
    """The request, and what is kept of each file that came with it.

    Raises BadRequest, Unavailable where the disk is full, and RequestValidationError that names each wrong field;
    then nothing is left on disk.
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
            f"The body must be JSON (-H 'Content-Type: application/json') or a form (-F), not {kind[:80]!r}.",
        )
    return _checked(_json(await request.body()), schemas.ScheduleRequest), []


async def read_retry(request: Request) -> schemas.RetryRequest:
    """What comes with a retry: mostly nothing. Raises as ``read`` does."""
    body = await request.body()
    return _checked(_json(body), schemas.RetryRequest) if body.strip() else schemas.RetryRequest()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            400, "not-json", "Not JSON", f"The body could not be read as JSON: {str(error)[:200]}."
        ) from None


def _content(form: UploadForm) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, text in form.fields.items():
        # of an unknown field it is said below that it is unknown
        if name in schemas.TEXT_FIELDS or name not in schemas.ScheduleRequest.model_fields:
            content[name] = text
            continue
        try:
            content[name] = json.loads(text)
        except (ValueError, RecursionError) as error:
            known = ", ".join(schemas.TEXT_FIELDS)
            message = f"is not JSON, as all fields of a form but {known} and the files: {str(error)[:200]}"
            detail = f"{name[:80]}: {message}."
            errors = [{"field": name[:80], "message": message}]
            raise BadRequest(422, "invalid", "Invalid request", detail, errors=errors) from None
    return content


def _checked(content: Any, model: type[T]) -> T:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in wrong]) from None
