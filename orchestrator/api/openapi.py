"""The OpenAPI document: FastAPI's own, corrected where the real responses differ."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from orchestrator.api.schemas import ProblemView, RetryRequest, ScheduleForm, ScheduleRequest
from orchestrator.settings import Settings
from orchestrator.web.problems import MEDIA_TYPE

#: Models that no route signature names, because the routes parse these bodies and build these answers themselves.
MODELS = (ScheduleRequest, ScheduleForm, RetryRequest, ProblemView)

#: Errors that any call may get before its route runs.
ANYWHERE = {
    401: "API_KEY is set, and the call does not have it.",
    403: "The `Host` or `Origin` is foreign, or a job called its own system.",
    413: "The request body is too large.",
    422: "A field or parameter is unknown, missing or invalid.",
    503: "The engine does not answer, so the system cannot tell whether the client is a job.",
}

KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "The value of API_KEY, if it is set. Otherwise no call needs a key.",
}

REF = "#/components/schemas/{model}"


def document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Build the document of an app when a client first requests it."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = made.setdefault("components", {})
    for model in MODELS:
        schema = model.model_json_schema(ref_template=REF)
        parts["schemas"].update(schema.pop("$defs", {}))
        parts["schemas"][model.__name__] = schema
    parts["securitySchemes"] = {"API_KEY": KEY}
    made["security"] = [{"API_KEY": []}] if settings.api_key else [{}, {"API_KEY": []}]
    for item in made["paths"].values():
        for operation in item.values():
            _correct(operation)
    app.openapi_schema = made
    return made


def _correct(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        _never_null(parameter)
    answers = operation["responses"]
    for status, description in ANYWHERE.items():
        answer = answers.setdefault(str(status), {"description": "", "content": {MEDIA_TYPE: {}}})
        if answer["description"] in ("", HTTPStatus(status).phrase):
            answer["description"] = description
    for answer in answers.values():
        content = answer.get("content", {})
        if MEDIA_TYPE in content:  # the framework lists the model under the route's own media type
            answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": REF.format(model=ProblemView.__name__)}}}
        elif "text/event-stream" in content:
            answer["content"] = {"text/event-stream": {}}  # OpenAPI 3.1 cannot describe stream items


def _never_null(parameter: dict[str, Any]) -> None:
    """Remove null from parameters. None means a missing parameter; a query or a header cannot contain null."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    if kinds:
        schema.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
