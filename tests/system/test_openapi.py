"""The OpenAPI document against the system, tried by machine: what it says is so, and no request gets around it.

Schemathesis makes the requests from the document itself: those that it allows, and those that it does not. Jobs of
every kind exist, so that more is reached than a 404.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis

from tests.support.system import COUNTING, ROOT, System

KEY = "a-key-of-the-tests"


class Place:
    """A system with a job of every kind: what it does with its only slot never ends, so all others wait."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.jobs = {"unknown": "0" * 16}
        self.jobs["expired"] = system.shell("true", keep_days=1e-9)
        system.completed(self.jobs["expired"])
        system.stop()  # what has expired is removed at the start
        system.start()
        self.jobs["completed"] = system.submit(**COUNTING)
        self.jobs["failed"] = system.shell("echo no; exit 3")
        for kind in ("completed", "failed"):
            assert system.ended(self.jobs[kind])["status"] == kind
        self.jobs["running"] = system.shell("echo ready; sleep 3600", limits={"seconds": 3600})
        system.says(self.jobs["running"], "ready")
        self.jobs["cancelled"] = self.id("scheduled")
        system.cancel(self.jobs["cancelled"])
        assert system.status(self.jobs["expired"])["artifact"]["expired"]

    def id(self, kind: str) -> str:
        """The id of a job of a kind; one that is scheduled is made for each who asks."""
        return self.jobs.get(kind) or self.system.shell("true", labels={"team": "red"})


@pytest.fixture(scope="module")
def place(engine: None) -> Iterator[Place]:
    system = System(API_KEY=KEY, MAX_CONCURRENT_JOBS="1")
    try:
        yield Place(system.start())
    finally:
        system.close()


@pytest.fixture(scope="module")
def api(place: Place) -> Any:
    """The document, as schemathesis reads it."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return schemathesis.openapi.from_url(f"{place.system.http.base_url}/openapi.json", headers=headers)


@pytest.fixture
def ends(place: Place) -> Iterator[None]:
    """Cancels whatever waits, again and again: so each wait and each stream of a job that never starts has an end."""
    stop = threading.Event()

    def cancel_all() -> None:
        with httpx.Client(base_url=place.system.http.base_url, headers=place.system.http.headers) as http:
            while not stop.wait(0.1):
                for job in http.get("/jobs", params={"status": "scheduled", "limit": 500}).json()["jobs"]:
                    http.post(job["links"]["cancel"])

    thread = threading.Thread(target=cancel_all)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.timeout(600)
def test_no_request_gets_an_answer_that_is_not_in_the_document(place: Place, ends: None) -> None:
    logged = len(place.system.log.read_text())
    url = str(place.system.http.base_url)
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--no-color", "--config-file", "tests/data/schemathesis.toml", "run", f"{url}/openapi.json"]
    env = {**os.environ, "API_KEY": KEY, "SYSTEM": url, "JOBS": json.dumps(place.jobs)}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in run.stdout, run.stdout
    assert "Traceback" not in place.system.log.read_text()[logged:]
    assert place.system.status(place.jobs["running"])["status"] == "running"


ENDED = ("completed", "failed", "cancelled")

#: What each call answers for each kind of job. (A job that is not there is 404 for all of them.)
KINDS: dict[str, dict[str, int]] = {
    "GET /status/{job_id}": dict.fromkeys((*ENDED, "expired", "running", "scheduled"), 200),
    "GET /jobs/{job_id}": dict.fromkeys((*ENDED, "expired", "running", "scheduled"), 200),
    "GET /jobs/{job_id}/log": {**dict.fromkeys((*ENDED, "running", "scheduled"), 200), "expired": 410},
    "GET /jobs/{job_id}/events": dict.fromkeys((*ENDED, "expired"), 200),
    "GET /download/{job_id}": {**dict.fromkeys(ENDED, 200), "expired": 410, "running": 409, "scheduled": 409},
    "HEAD /download/{job_id}": {**dict.fromkeys(ENDED, 200), "expired": 410, "running": 409, "scheduled": 409},
    "GET /jobs/{job_id}/files": {**dict.fromkeys((*ENDED, "running", "scheduled"), 200), "expired": 410},
    "GET /jobs/{job_id}/notebook": {**dict.fromkeys((*ENDED, "running", "scheduled"), 200), "expired": 410},
    "POST /cancel/{job_id}": dict.fromkeys((*ENDED, "expired", "scheduled"), 200),
    "POST /jobs/{job_id}/retry": {**dict.fromkeys((*ENDED, "expired"), 202), "running": 409, "scheduled": 409},
    "DELETE /jobs/{job_id}": {"scheduled": 204},
}


#: Which files a job has is no matter of its kind alone: see test_files.py.
ONE_FILE = {"GET /jobs/{job_id}/files/{path}"}


@pytest.mark.parametrize("call", KINDS)
def test_jobs_of_every_kind_are_answered_as_documented(place: Place, api: Any, call: str) -> None:
    method, path = call.split()
    for kind, status in {**KINDS[call], "unknown": 404}.items():
        case = api[path][method].Case(
            path_parameters={"job_id": place.id(kind)}, headers={"Authorization": f"Bearer {KEY}"}
        )
        answer = case.call_and_validate()
        assert answer.status_code == status, kind
        media = answer.headers.get("content-type", [""])[0].partition(";")[0]
        if status >= 400:
            assert media == "application/problem+json"
        assert answer.headers.get("etag") if call.endswith("/download/{job_id}") and status == 200 else True


def test_the_table_has_every_call_about_a_job(api: Any) -> None:
    calls = {operation.ok().label for operation in api.get_all_operations()}
    assert {call for call in calls if "{job_id}" in call} - ONE_FILE == set(KINDS)
