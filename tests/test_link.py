"""The link as a container would misuse it: what is not understood is refused, and what comes twice does no harm."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import System, docker

from agent.link.client import Link, Refused
from protocol import messages

STEP_ENDED = {
    "kind": "step_ended", "number": 1, "step": 1, "status": "failed", "exit_code": 1, "detail": "", "output_bytes": 0,
}  # fmt: skip


class Caller:
    """Speaks on the link with the token of a running job's sandbox, as its agent does."""

    def __init__(self, system: System, job: str) -> None:
        name = f"containerized-agent-{system.status(job)['sandbox']}"
        env = json.loads(docker("inspect", "-f", "{{json .Config.Env}}", name))
        self.token = next(line.partition("=")[2] for line in env if line.startswith(messages.TOKEN_VARIABLE))
        transport = httpx.HTTPTransport(uds=str(system.run_dir / "link/link.sock"))
        self.http = httpx.Client(transport=transport, base_url="http://link", timeout=60)
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def events(self, *events: dict[str, Any]) -> httpx.Response:
        return self.http.post("/events", json={"events": [{"at": time.time(), **event} for event in events]})


@pytest.fixture
def job(system: System) -> str:
    """A job that runs until it is cancelled."""
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    return job


@pytest.fixture
def caller(system: System, job: str) -> Iterator[Caller]:
    found = Caller(system, job)
    yield found
    found.http.close()


def test_an_agent_of_another_version_is_refused_with_a_sentence(system: System, job: str, caller: Caller) -> None:
    answer = caller.http.post("/take", json={"version": "9.9.9"})
    assert answer.status_code == 409 and "9.9.9" in answer.text
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "engine_error")
    assert "9.9.9" in found["detail"] and messages.VERSION in found["detail"]


def test_without_a_token_nothing_is_answered(system: System, job: str, caller: Caller) -> None:
    sandbox = caller.token.partition(".")[0]
    for token in ("x", f"{sandbox}.", f"{sandbox}.{'a' * 43}", caller.token + "x", caller.token.upper()):
        for method, path in (("POST", "/take"), ("POST", "/events"), ("GET", "/commands"), ("PUT", "/artifact")):
            headers = {"Authorization": f"Bearer {token}"}
            assert caller.http.request(method, path, headers=headers, content=b"{}").status_code == 401


def test_an_agent_that_is_refused_before_its_message_is_read_asks_no_second_time(system: System) -> None:
    link = Link(str(system.run_dir / "link/link.sock"), "nobody")
    link.lost_after = 0.0  # a second time would be too late
    for _ in range(5):
        with pytest.raises(Refused, match="belongs to no running job"):
            link.call("POST", "/take", messages.Take("a long version " * 1_000_000))


def test_events_that_come_again_are_stored_once(system: System, job: str, caller: Caller) -> None:
    known = caller.events().json()["number"]
    new = [{"kind": "output", "number": known + i, "step": 1, "text": f"<{i}>"} for i in (1, 2, 3)]
    assert caller.events(*new[:2]).json() == {"number": known + 2}
    assert caller.events(*new[:2]).json() == {"number": known + 2}
    assert caller.events(*new).json() == {"number": known + 3}
    assert system.output(job) == "ready\n<1><2><3>"


def test_events_after_a_gap_are_not_acknowledged(system: System, job: str, caller: Caller) -> None:
    known = caller.events().json()["number"]
    event = {"kind": "output", "number": known + 2, "step": 1, "text": "too early"}
    assert caller.events(event).json() == {"number": known}
    assert system.output(job) == "ready\n"


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "output", "number": 1, "step": 2, "text": "of a step that is not there"},
        {"kind": "output", "number": 1, "step": 1, "text": "x" * (messages.OUTPUT_EVENT_CHARACTERS + 1)},
        {"kind": "output", "number": 0, "step": 1, "text": "x"},
        {"kind": "output", "number": 10**12, "step": 1, "text": "x"},
        {"kind": "output", "number": "1", "step": 1, "text": "x"},
        {"kind": "output", "number": 1, "step": 1, "text": "x", "job_id": "another"},
        {"kind": "completed", "number": 1, "status": "completed"},
        {"kind": "phase", "number": 1, "phase": "completed"},
        {**STEP_ENDED, "status": "skipped"},
        {**STEP_ENDED, "exit_code": 4000},
        {"number": 1},
    ],
)
def test_a_message_that_is_not_understood_is_refused(
    system: System, job: str, caller: Caller, event: dict[str, Any]
) -> None:
    answer = caller.events(event)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "/problems/bad-message"
    assert system.output(job) == "ready\n"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"events": 1}', b'{"other": []}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_message_is_refused(caller: Caller, body: bytes) -> None:
    assert caller.http.post("/events", content=body).status_code == 400
    assert caller.http.post("/outcome", content=body).status_code == 400


def test_a_message_that_is_too_long_is_refused_before_it_is_read(caller: Caller) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * 2**20

    assert caller.http.post("/events", content=endless()).status_code == 413


@pytest.mark.parametrize(
    "change",
    [
        {"status": "scheduled"},
        {"status": "failed", "reason": None},
        {"status": "completed", "reason": "step_failed"},
        {"reason": "engine_error"},
        {"packed": {"files": -1, "bytes": 0, "left_out": 0, "partial": False}},
    ],
)
def test_an_outcome_that_contradicts_itself_is_refused(caller: Caller, change: dict[str, Any]) -> None:
    packed = {"files": 0, "bytes": 0, "left_out": 0, "partial": False}
    outcome = {"status": "completed", "reason": None, "detail": "", "packed": packed, **change}
    assert caller.http.post("/outcome", json=outcome).status_code == 400


def test_what_was_settled_first_stays_and_a_zip_without_it_is_refused(system: System, job: str, caller: Caller) -> None:
    assert caller.http.put("/artifact", content=b"PK").status_code == 409
    assert system.status(job)["status"] == "running"
    packed = {"files": 0, "bytes": 0, "left_out": 0, "partial": False}
    first = {"status": "failed", "reason": "step_failed", "detail": "first", "packed": packed}
    second = {**first, "status": "completed", "reason": None, "detail": ""}
    assert caller.http.post("/outcome", json=first).json()["detail"] == "first"
    assert caller.http.post("/outcome", json=second).json()["detail"] == "first"
    docker("kill", f"containerized-agent-{caller.token.partition('.')[0]}")
    found = system.ended(job)
    assert (found["reason"], found["detail"]) == ("step_failed", "first")


def test_a_zip_beyond_what_was_agreed_is_refused(system: System) -> None:
    job = system.shell("echo ready; sleep 600", limits={"zip": "64k"})
    system.says(job, "ready")
    caller = Caller(system, job)

    def endless() -> Iterator[bytes]:
        block = b"x" * 2**20
        for _ in range(200):
            yield block

    with caller.http:
        try:
            status = caller.http.put("/artifact", content=endless()).status_code
        except httpx.WriteError:  # refused before all was sent
            status = 413
    assert status == 413
    assert not list(system.record.glob(f"{job}/*"))


def test_a_token_gets_the_files_of_its_own_job_alone(system: System, caller: Caller) -> None:
    steps = '[{"kind": "shell", "script": "cat secret.txt; sleep 600"}]'
    files = [("steps", (None, steps)), ("files", ("secret.txt", b"of the neighbour"))]
    neighbour = system.http.post("/schedule", files=files).json()["job_id"]
    system.says(neighbour, "of the neighbour")
    answer = caller.http.get("/uploads")
    assert answer.status_code == 200 and b"secret" not in answer.content
    sandbox = system.status(neighbour)["sandbox"]
    headers = {"Authorization": f"Bearer {sandbox}.{caller.token.partition('.')[2]}"}
    assert caller.http.get("/uploads", headers=headers).status_code == 401
    system.cancel(neighbour)


def test_a_job_that_has_ended_answers_its_token_no_more(system: System, job: str, caller: Caller) -> None:
    system.cancel(job)
    system.ended(job)
    assert caller.events().status_code == 401
    assert caller.http.put("/artifact", content=b"PK").status_code == 401
