"""Hooks of schemathesis (see test_openapi.py) that direct its requests at existing jobs of every kind."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import httpx
import schemathesis

#: Kinds of jobs, with the id of a job of each kind. Each request for a scheduled job gets a new job.
JOBS: dict[str, str] = json.loads(os.environ["JOBS"])
ALL = ("completed", "failed", "cancelled", "expired", "running", "scheduled", "unknown")

#: No request may end the running job, and a request that waits for a job's end needs a job that ends.
NOT_RUNNING = tuple(kind for kind in ALL if kind != "running")
KINDS = {
    "GET /status/{job_id}": NOT_RUNNING,
    "GET /jobs/{job_id}": NOT_RUNNING,
    "GET /jobs/{job_id}/log": NOT_RUNNING,
    "GET /jobs/{job_id}/events": NOT_RUNNING,
    "POST /cancel/{job_id}": NOT_RUNNING,
    "DELETE /jobs/{job_id}": ("scheduled", "unknown"),
}

http = httpx.Client(base_url=os.environ["SYSTEM"], headers={"Authorization": f"Bearer {os.environ['API_KEY']}"})


def scheduled() -> str:
    answer = http.post("/schedule", json={"steps": [{"kind": "shell", "script": "true"}]})
    return str(answer.json()["job_id"])


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Choose the job of a request by a checksum of the request, so that each run chooses the same."""
    job_id = (case.path_parameters or {}).get("job_id")
    if job_id is None or (case.meta and case.meta.phase.name == "stateful" and job_id not in JOBS.values()):
        return
    kinds = KINDS.get(case.operation.label, ALL)
    kind = kinds[zlib.crc32(repr((job_id, case.query, case.headers)).encode()) % len(kinds)]
    case.path_parameters["job_id"] = JOBS.get(kind) or scheduled()


#: Reasons to reject a request that the OpenAPI document allows. JSON Schema cannot express these rules.
REASONS = (
    "must be a path inside the workspace",
    "prompt is empty",
    "must be between 64m and this machine's memory",  # written as 1m
    "must be at least 65536",  # also written as a text with a unit
    "must be at most 1099511627776",
    "must be an integer",  # 587.0, which is an integer in JSON Schema
    "there is no template",
    "There is no model",
    "no model is asked",
    "give template or steps, not both",
    "inputs need a template",
    "no such input",
    "cannot be the name of a secret",
    "has no value",
    "cannot be hidden",  # six characters, including white space at the start or the end
    "that no environment variable can have",
    "part of the mark",
    "has more than 16,384 bytes",
    "the values together",
    "contains the value of",
    "needs wait",
)


@schemathesis.check
def refused_for_what_no_schema_can_say(context: Any, response: Any, case: Any) -> None:
    """Check that POST /schedule accepts every request that the document allows.

    The exceptions are prompts that cannot become a plan, and REASONS.
    """
    # the document does not describe the JSON inside a form's fields
    allowed = case.media_type == "application/json" and case.meta and case.meta.generation.mode.is_positive
    answers = (200, 202, 409, 424)  # with fail, the last two are about the job
    if case.operation.label == "POST /schedule" and allowed and response.status_code not in answers:
        found = response.json()
        assert response.status_code == 422, found
        assert found["type"] == "/problems/no-plan" or all(
            any(reason in error["message"] for reason in REASONS) for error in found["errors"]
        ), f"this was allowed by the document: {found['detail']}"
