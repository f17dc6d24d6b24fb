"""What may be done with a job afterwards: run it again, delete it from every state."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.system import COUNTING, System, until


def test_a_retry_is_a_new_job_with_the_same_plan(system: System) -> None:
    first = system.submit(**COUNTING)
    system.completed(first)
    answer = system.http.post(f"/jobs/{first}/retry")
    assert answer.status_code == 202
    second = answer.json()["job_id"]
    assert second != first and answer.headers["location"] == f"/status/{second}"
    system.completed(second)
    assert system.zip(second).manifest["plan"] == system.zip(first).manifest["plan"]
    assert system.status(second)["labels"] == {"team": "blue"}
    assert system.status(first)["status"] == "completed"


def test_a_failed_job_can_be_run_again_and_a_running_one_cannot(system: System) -> None:
    failed = system.shell("exit 3")
    system.ended(failed)
    again = system.http.post(f"/jobs/{failed}/retry").json()["job_id"]
    assert system.ended(again)["reason"] == "step_failed"
    running = system.shell("echo ready; sleep 600")
    system.says(running, "ready")
    answer = system.http.post(f"/jobs/{running}/retry")
    assert answer.status_code == 409 and "running" in answer.json()["detail"]
    assert system.http.post("/jobs/0123456789abcdef/retry").status_code == 404


@pytest.mark.parametrize("state", ["scheduled", "running", "completed", "failed", "cancelled"])
def test_a_job_can_be_deleted_from_every_state(make_system: Callable[..., System], state: str) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="1").start()
    blocker = ""
    if state == "scheduled":
        blocker = system.shell("echo ready; sleep 600")
        system.says(blocker, "ready")
    job = system.shell({"failed": "exit 1", "completed": "true"}.get(state, "echo ready; sleep 600"))
    if state in ("running", "cancelled"):
        system.says(job, "ready")
    if state == "cancelled":
        system.cancel(job)
    if state in ("completed", "failed", "cancelled"):
        system.ended(job)
    assert system.status(job)["status"] == state
    assert system.http.delete(f"/jobs/{job}").status_code == 204
    for path in (f"/status/{job}", f"/download/{job}", f"/jobs/{job}/events"):
        assert system.http.get(path).status_code == 404
    assert job not in [found["job_id"] for found in system.http.get("/jobs").json()["jobs"]]
    assert not (system.record / job).exists()
    assert system.http.delete(f"/jobs/{job}").status_code == 404
    if blocker:
        system.cancel(blocker)
        system.ended(blocker)
    until(lambda: not system.containers(), "its sandbox is removed")


def test_who_waits_for_a_job_that_is_deleted_is_told(system: System) -> None:
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(system.http.get, f"/status/{job}", params={"wait": 30})
        assert system.http.delete(f"/jobs/{job}").status_code == 204
        assert waiting.result().status_code in (200, 404)  # it had ended, or was gone by then


def test_a_deleted_jobs_follower_is_let_go(system: System) -> None:
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    with system.http.stream("GET", f"/jobs/{job}/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert system.http.delete(f"/jobs/{job}").status_code == 204
        for _ in lines:
            pass  # to the end of the stream
